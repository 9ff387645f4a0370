import { describe, expect, it } from 'vitest';
import { fromZipkin, parseDuration, parseQuery, quote, wantAt, type ZipkinQuery } from './query';

function check(text: string, expected: ZipkinQuery): void {
  const query = parseQuery(text);
  expect(query.problems, text).toEqual([]);
  expect(query.zipkin, text).toEqual(expected);
}

function refuses(text: string, wrong: string, message: string): void {
  const [problem] = parseQuery(text).problems;
  expect(problem, text).toBeDefined();
  expect(text.slice(problem!.from, problem!.to), text).toBe(wrong);
  expect(problem!.message, text).toContain(message);
}

describe('a query', () => {
  it('becomes the parameters of Zipkin', () => {
    check('', {});
    check('  ', {});
    check('service=checkout', { serviceName: 'checkout' });
    check('service = checkout', { serviceName: 'checkout' });
    check('name="get /x"', { spanName: 'get /x' });
    check('remote=payment error', { remoteServiceName: 'payment', annotationQuery: 'error' });
    check('http.method=GET and error', { annotationQuery: 'http.method=GET and error' });
    check('target.zone=eu-1b', { annotationQuery: 'target.zone=eu-1b' });
    check('"a key"="a \\"value\\""', { annotationQuery: 'a key=a "value"' });
    check('http.url=http://shop/a?b', { annotationQuery: 'http.url=http://shop/a?b' });
  });

  it('takes durations as inclusive bounds in whole microseconds', () => {
    check('duration>5ms', { minDuration: 5001 });
    check('duration>=5ms', { minDuration: 5000 });
    check('duration<2s', { minDuration: 1, maxDuration: 1_999_999 });
    check('duration>=1ms duration<=10ms', { minDuration: 1000, maxDuration: 10_000 });
    check('duration>1ms duration>2ms', { minDuration: 2001 });
  });

  it('says where it is wrong and what was expected', () => {
    refuses('service', '', '= and a value after service');
    refuses('service=', '', 'the name of a service');
    refuses('service duration>1ms', 'duration', '= and a value');
    refuses('duration>5', '5', 'with its unit');
    refuses('duration=5ms', '=', '>, >=, < or <=');
    refuses('service=~a.*', '=~', 'expected = ');
    refuses('a and', '', 'a term after');
    refuses('a or b', 'or', 'every term must hold');
    refuses('=x', '=', 'expected a key');
    refuses('service=a service=b', 'b', 'twice');
    refuses('duration>2s duration<1s', '', 'no duration');
    refuses('duration<1us', '1us', 'at least 1µs');
    refuses('note="this and that"', '"this and that"', 'cannot be asked for');
  });

  it('is painted whole, whatever it says', () => {
    for (const text of ['', 'a=b', ' a  = "b', 'service= and', '<<>> "', 'duration>5ms and x']) {
      expect(
        parseQuery(text)
          .tokens.map((token) => token.text)
          .join(''),
      ).toBe(text);
    }
  });
});

describe('what could be typed', () => {
  const want = (text: string) => wantAt(text, text.length);
  it('is a key at first and after a term', () => {
    expect(want('')).toEqual({ kind: 'key', key: '', prefix: '', from: 0 });
    expect(want('ser')).toEqual({ kind: 'key', key: '', prefix: 'ser', from: 0 });
    expect(want('service=a tar')).toEqual({ kind: 'key', key: '', prefix: 'tar', from: 10 });
    expect(want('service=a and ')).toMatchObject({ kind: 'key', from: 14 });
  });
  it('is a value after an operator', () => {
    expect(want('service=')).toEqual({ kind: 'value', key: 'service', prefix: '', from: 8 });
    expect(want('service = che')).toEqual({ kind: 'value', key: 'service', prefix: 'che', from: 10 });
    expect(want('name="get /')).toEqual({ kind: 'value', key: 'name', prefix: 'get /', from: 5 });
  });
  it('is an operator after a field that needs one', () => {
    expect(want('service ')).toMatchObject({ kind: 'operator', key: 'service' });
    expect(want('error ')).toMatchObject({ kind: 'key' });
  });
});

describe('a link made for Zipkin', () => {
  it('reads the same in this language', () => {
    const query = fromZipkin(
      new URLSearchParams(
        'serviceName=checkout&spanName=get%20/x&remoteServiceName=all&annotationQuery=error%20and%20a%3Db&minDuration=5ms&maxDuration=7000',
      ),
    );
    expect(query).toBe('service=checkout name="get /x" error a=b duration>=5ms duration<=7000us');
    check(query, {
      serviceName: 'checkout',
      spanName: 'get /x',
      annotationQuery: 'error and a=b',
      minDuration: 5000,
      maxDuration: 7000,
    });
  });
});

it('quotes what would be read as something else', () => {
  for (const name of ['plain', 'get /x', 'and', 'a=b', 'a"b', 'back\\slash', 'größe', '']) {
    expect(parseQuery(`service=${quote(name)}`).zipkin.serviceName, name).toBe(name);
  }
});

it('reads durations with their unit only', () => {
  expect(parseDuration('1.5s')).toBe(1_500_000);
  expect(parseDuration('7µs')).toBe(7);
  expect(parseDuration('7')).toBeNull();
  expect(parseDuration('fast')).toBeNull();
});
