// Jaeger's own client, long retired and still in use: over UDP or over HTTP, both as thrift in its binary form.

const { initTracer, opentracing } = require('jaeger-client');

/** Sends the trace of the service with this name; resolves to its spans. */
async function pushJaeger(service, reporter) {
  const problems = [];
  const quiet = { info() {}, error: (message) => problems.push(message) };
  const tracer = initTracer(
    { serviceName: service, sampler: { type: 'const', param: 1 }, reporter: { flushIntervalMs: 1000, ...reporter } },
    { logger: quiet, tags: { 'shop.version': '1.2.3' } },
  );
  const spans = [];
  const finish = (span) => {
    span.finish();
    spans.push(span);
  };
  const root = tracer.startSpan('GET /checkout', {
    tags: { 'span.kind': 'server', 'http.status_code': 200, ratio: 0.25, retried: false, kunde: 'Zoë 🌞 "q"' },
  });
  root.log({ event: 'cart loaded: 価格', items: 3 });
  const call = tracer.startSpan('POST /charge', {
    childOf: root,
    tags: { 'span.kind': 'client', 'peer.service': 'Bank', 'peer.ipv4': '127.1.7.2', 'peer.port': 9000, error: true },
  });
  finish(call);
  const after = tracer.startSpan('mail', { references: [opentracing.followsFrom(root.context())] });
  finish(after);
  finish(root);
  await new Promise((resolve) => tracer.close(resolve));
  if (problems.length > 0) throw new Error(problems.join('; '));
  return spans.map((span) => ({
    traceId: span.context().traceIdStr.padStart(16, '0'),
    spanId: span.context().spanIdStr.padStart(16, '0'),
    parentSpanId: (span.context().parentIdStr || '').padStart(16, '0'),
    name: span._operationName,
    start: Math.floor(span._startTime * 1000),
    duration: Math.floor(span._duration * 1000),
    tags: Object.fromEntries(span._tags.map(({ key, value }) => [key, value])),
    logs: span._logs.map(({ timestamp, fields }) => ({
      time: Math.floor(timestamp * 1000),
      fields: Object.fromEntries(fields.map(({ key, value }) => [key, value])),
    })),
  }));
}

module.exports = { pushJaeger };
