/**
 * The query bar's language: terms that must all hold, joined by spaces or `and`.
 *
 * `service=checkout name="get /x" remote=payment error http.method=GET duration>5ms target.zone=eu-1b`
 */

export type Role = 'space' | 'word' | 'key' | 'operator' | 'value' | 'number';

export interface Token {
  role: Role;
  text: string;
  at: number;
}

export interface Problem {
  /** Where it is; `from` is the end of the text if something is still to come. */
  from: number;
  to: number;
  message: string;
}

/** Zipkin's parameters, in its units. */
export interface ZipkinQuery {
  serviceName?: string;
  spanName?: string;
  remoteServiceName?: string;
  annotationQuery?: string;
  minDuration?: number;
  maxDuration?: number;
}

export interface Query {
  tokens: Token[];
  problems: Problem[];
  zipkin: ZipkinQuery;
}

/** What the keys mean that are not tags. */
export const FIELDS = ['service', 'name', 'remote', 'duration'] as const;

const UNITS_US: Record<string, number> = { us: 1, µs: 1, ms: 1e3, s: 1e6, m: 6e7, h: 3.6e9 };

const LEXEME = /(\s+)|(=~|!~|!=|>=|<=|=|<|>)|("(?:[^"\\]|\\.)*"?)|([^\s=<>!"]+)|(.)/gsu;

interface Lexeme {
  kind: 'space' | 'operator' | 'quoted' | 'bare' | 'other';
  text: string;
  at: number;
}

function lex(text: string): Lexeme[] {
  const kinds = ['space', 'operator', 'quoted', 'bare', 'other'] as const;
  return [...text.matchAll(LEXEME)].map((match) => {
    const kind = kinds[match.slice(1).findIndex((group) => group !== undefined)]!;
    return { kind, text: match[0], at: match.index };
  });
}

export function parseQuery(text: string): Query {
  return new Parser(text).parse();
}

class Parser {
  private readonly lexemes: Lexeme[];
  private readonly tokens: Token[] = [];
  private readonly problems: Problem[] = [];
  private readonly zipkin: ZipkinQuery = {};
  private readonly tags: string[] = [];
  private at = 0;

  constructor(private readonly text: string) {
    this.lexemes = lex(text);
  }

  parse(): Query {
    for (let lexeme = this.next(); lexeme; lexeme = this.next()) this.term(lexeme);
    if (this.tags.length > 0) this.zipkin.annotationQuery = this.tags.join(' and ');
    const { minDuration, maxDuration } = this.zipkin;
    if (maxDuration !== undefined && (minDuration ?? 1) > maxDuration) {
      this.problem(null, 'no duration is in this range');
    }
    // Zipkin takes an upper bound only with a lower one.
    if (maxDuration !== undefined) this.zipkin.minDuration ??= 1;
    return { tokens: this.tokens, problems: this.problems, zipkin: this.zipkin };
  }

  /** The next lexeme that is not space; spaces on the way are kept for painting. */
  private next(): Lexeme | null {
    for (let lexeme = this.lexemes[this.at]; lexeme; lexeme = this.lexemes[this.at]) {
      this.at++;
      if (lexeme.kind !== 'space') return lexeme;
      this.token('space', lexeme);
    }
    return null;
  }

  private peek(): Lexeme | null {
    return this.lexemes.slice(this.at).find((lexeme) => lexeme.kind !== 'space') ?? null;
  }

  private token(role: Role, { text, at }: Lexeme): void {
    this.tokens.push({ role, text, at });
  }

  private problem(lexeme: Lexeme | null, message: string): void {
    const from = lexeme?.at ?? this.text.length;
    this.problems.push({ from, to: from + (lexeme?.text.length ?? 0), message });
  }

  private term(lexeme: Lexeme): void {
    if (lexeme.kind === 'bare' && /^and$/i.test(lexeme.text)) {
      this.token('word', lexeme);
      const after = this.peek();
      if (!after || /^and$/i.test(after.text))
        this.problem(after, 'expected a term after “and”, such as error');
      return;
    }
    if (lexeme.kind !== 'bare' && lexeme.kind !== 'quoted') {
      this.token('operator', lexeme);
      this.problem(lexeme, 'expected a key, such as service or http.method');
      return;
    }
    if (/^(or|not)$/i.test(lexeme.text)) {
      this.token('word', lexeme);
      this.problem(lexeme, `“${lexeme.text}” is not understood: every term must hold`);
      return;
    }
    this.token('key', lexeme);
    const key = unquote(lexeme.text);
    if (this.peek()?.kind !== 'operator') {
      if (isField(key)) this.problem(this.peek(), `expected ${operatorWords(key)} after ${key}`);
      else this.tag(lexeme, key);
      return;
    }
    this.comparison(key, this.next() as Lexeme);
  }

  private comparison(key: string, operator: Lexeme): void {
    this.token('operator', operator);
    const fits = key === 'duration' ? ['<', '<=', '>', '>='].includes(operator.text) : operator.text === '=';
    if (!fits) this.problem(operator, `expected ${operatorWords(key)} after ${key}`);
    const value = this.peek();
    if (!value || (value.kind !== 'bare' && value.kind !== 'quoted')) {
      this.problem(value, `expected ${valueWords(key)} after ${key}${operator.text}`);
      return;
    }
    this.next();
    this.token(key === 'duration' ? 'number' : 'value', value);
    if (!fits) return;
    if (key === 'duration') this.duration(operator.text, value);
    else this.equals(key, value);
  }

  private duration(operator: string, value: Lexeme): void {
    const us = parseDuration(unquote(value.text));
    if (us === null) {
      this.problem(value, 'expected a duration with its unit, such as 5ms or 1.5s');
      return;
    }
    // Zipkin's bounds are inclusive, in whole microseconds.
    const bound = {
      '>': Math.floor(us) + 1,
      '>=': Math.ceil(us),
      '<': Math.ceil(us) - 1,
      '<=': Math.floor(us),
    }[operator]!;
    if (bound < 1) this.problem(value, 'every span takes at least 1µs');
    else if (operator.startsWith('>'))
      this.zipkin.minDuration = Math.max(bound, this.zipkin.minDuration ?? 1);
    else this.zipkin.maxDuration = Math.min(bound, this.zipkin.maxDuration ?? bound);
  }

  private equals(key: string, value: Lexeme): void {
    const text = unquote(value.text);
    const names = { service: 'serviceName', name: 'spanName', remote: 'remoteServiceName' } as const;
    const name = names[key as keyof typeof names];
    if (!name) {
      this.tag(value, `${key}=${text}`);
    } else if (this.zipkin[name] !== undefined) {
      this.problem(value, `${key} is asked for twice: a search takes one`);
    } else {
      this.zipkin[name] = text;
    }
  }

  private tag(lexeme: Lexeme, term: string): void {
    // The wire joins tags by this word, without a way to quote it.
    if (/\sand\s/.test(term)) this.problem(lexeme, 'a value with the word “and” cannot be asked for');
    else this.tags.push(term);
  }
}

function isField(key: string): boolean {
  return (FIELDS as readonly string[]).includes(key);
}

function operatorWords(key: string): string {
  return key === 'duration' ? '>, >=, < or <= and a duration' : '= and a value';
}

function valueWords(key: string): string {
  if (key === 'duration') return 'a duration such as 5ms';
  if (key === 'service' || key === 'remote') return 'the name of a service';
  if (key === 'name') return 'the name of a span';
  return 'a value';
}

export function parseDuration(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)(us|µs|ms|s|m|h)$/.exec(text);
  return match ? Number(match[1]) * UNITS_US[match[2]!]! : null;
}

function unquote(text: string): string {
  return text.startsWith('"') ? text.replace(/^"|"$/g, '').replaceAll(/\\(.)/g, '$1') : text;
}

/** A name or value as the bar reads it: in quotes if it needs them. */
export function quote(name: string): string {
  return /^[^\s=<>!"]+$/u.test(name) && !/^(and|or|not)$/i.test(name)
    ? name
    : `"${name.replaceAll(/[\\"]/g, '\\$&')}"`;
}

/** What could be typed at the caret. */
export interface Want {
  kind: 'key' | 'operator' | 'value';
  /** Of the term that a value or an operator is for. */
  key: string;
  /** What is typed of it already, from `from` to the caret. */
  prefix: string;
  from: number;
}

export function wantAt(text: string, caret: number): Want {
  const lexemes = lex(text.slice(0, caret));
  const last = lexemes.at(-1);
  const typing = last && (last.kind === 'bare' || last.kind === 'quoted') ? last : null;
  const before = (typing ? lexemes.slice(0, -1) : lexemes).filter((lexeme) => lexeme.kind !== 'space');
  const operator = before.at(-1)?.kind === 'operator';
  const prefix = typing ? unquote(typing.text) : '';
  const from = typing ? typing.at : caret;
  if (operator) return { kind: 'value', key: unquote(before.at(-2)?.text ?? ''), prefix, from };
  const previous = before.at(-1);
  const complete = previous && !typing && previous.kind === 'bare' && isField(previous.text);
  const touching = complete && last?.kind !== 'operator' && before.at(-2)?.kind !== 'operator';
  if (touching) return { kind: 'operator', key: previous.text, prefix: '', from: caret };
  return { kind: 'key', key: '', prefix, from };
}

/** Zipkin's own parameters, as its links have them, in this language. */
export function fromZipkin(params: URLSearchParams): string {
  const terms: string[] = [];
  const put = (key: string, name: string) => {
    const value = params.get(name);
    if (value && value !== 'all') terms.push(`${key}=${quote(value)}`);
  };
  put('service', 'serviceName');
  put('name', 'spanName');
  put('remote', 'remoteServiceName');
  for (const term of (params.get('annotationQuery') ?? '').split(' and ').map((part) => part.trim())) {
    if (!term) continue;
    const equals = term.indexOf('=');
    terms.push(equals < 0 ? quote(term) : `${quote(term.slice(0, equals))}=${quote(term.slice(equals + 1))}`);
  }
  const minimum = params.get('minDuration');
  const maximum = params.get('maxDuration');
  // Zipkin's pages write units, its API takes microseconds.
  const withUnit = (text: string) => (/^\d+$/.test(text) ? `${text}us` : text);
  if (minimum) terms.push(`duration>=${withUnit(minimum)}`);
  if (maximum) terms.push(`duration<=${withUnit(maximum)}`);
  return terms.join(' ');
}
