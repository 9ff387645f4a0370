/** The pages that exist, in the order of the bar. */

export const PAGES = [
  { name: 'Search', path: '/zipkin/' },
  { name: 'Targets', path: '/targets' },
] as const;
