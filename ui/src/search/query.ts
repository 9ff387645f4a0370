export function quote(name: string): string {
  return /^[\w.\-/:]+$/.test(name) ? name : `"${name.replaceAll('"', '\\"')}"`;
}
