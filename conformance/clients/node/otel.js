// OpenTelemetry for Node: one trace with all that a span can say, through any exporter.

const { ROOT_CONTEXT, SpanKind, SpanStatusCode, createTraceState, trace } = require('@opentelemetry/api');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-base');

/** Sends the trace of the service with this name; resolves to its spans. */
async function pushOtel(service, exporter) {
  const kept = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({ 'service.name': service, 'service.version': '1.2.3', 'host.cpus': 2 }),
    spanProcessors: [new SimpleSpanProcessor(kept)],
  });
  shop(provider.getTracer('conformance', '0.9'));
  await provider.forceFlush();
  const spans = kept.getFinishedSpans();
  await new Promise((resolve, reject) => {
    exporter.export(spans, ({ code, error }) => (code === 0 ? resolve() : reject(error || new Error('not exported'))));
  });
  const said = spans.map(say);
  await exporter.shutdown();
  return said;
}

function shop(tracer) {
  const elsewhere = {
    traceId: '463ac35c9f6413ad48485a3953bb6124',
    spanId: 'a2fb4a1d1a96d312',
    traceFlags: 1,
    traceState: createTraceState('vendor=a1'),
    isRemote: true,
  };
  const start = (name, kind, more, context) => tracer.startSpan(name, { kind, ...more }, context);
  const root = start('GET /checkout', SpanKind.SERVER, {
    attributes: {
      'http.request.method': 'GET',
      kunde: 'Zoë 🌞 "q" \\ \t \u2028',
      empty: '',
      'http.response.status_code': 200,
      big: Number.MAX_SAFE_INTEGER,
      ratio: 0.25,
      retried: false,
      list: ['a', 'b'],
      numbers: [1, -2],
    },
  }, ROOT_CONTEXT);
  root.addEvent('cart loaded: 価格', { items: 3, currency: 'SEK' });
  const inRoot = trace.setSpan(ROOT_CONTEXT, root);
  start('price', SpanKind.INTERNAL, {}, inRoot).end();
  const call = start('POST /charge', SpanKind.CLIENT, {
    links: [{ context: elsewhere, attributes: { why: 'retry' } }],
    attributes: { 'server.address': '127.1.7.2', 'server.port': 9000, 'peer.service': 'Bank' },
  }, inRoot);
  call.recordException(new Error('card refused'));
  call.setStatus({ code: SpanStatusCode.ERROR, message: 'card refused' });
  call.end();
  const sent = start('announce', SpanKind.PRODUCER, {}, inRoot);
  sent.end();
  start('read', SpanKind.CONSUMER, { links: [{ context: sent.spanContext() }] }, inRoot).end();
  root.setStatus({ code: SpanStatusCode.OK });
  root.end();
}

/** A value with its type: {"int": "in decimal"} and so on. Whole numbers are integers to this SDK. */
function typed(value) {
  if (Array.isArray(value)) return { array: value.map(typed) };
  if (typeof value === 'boolean') return { bool: value };
  if (typeof value === 'number') return Number.isInteger(value) ? { int: String(value) } : { double: value };
  return { string: value };
}

const typedAll = (attributes) =>
  Object.fromEntries(Object.entries(attributes || {}).map(([key, value]) => [key, typed(value)]));

const nanos = ([seconds, rest]) => String(BigInt(seconds) * 1_000_000_000n + BigInt(rest));

function say(span) {
  const kind = Object.entries(SpanKind).find(([, value]) => value === span.kind)[0];
  return {
    traceId: span.spanContext().traceId,
    spanId: span.spanContext().spanId,
    parentSpanId: span.parentSpanContext ? span.parentSpanContext.spanId : '',
    name: span.name,
    kind,
    start: nanos(span.startTime),
    end: nanos(span.endTime),
    attributes: typedAll(span.attributes),
    events: span.events.map((event) => ({ name: event.name, time: nanos(event.time), attributes: typedAll(event.attributes) })),
    links: span.links.map(({ context, attributes }) => ({
      traceId: context.traceId,
      spanId: context.spanId,
      attributes: typedAll(attributes),
    })),
    status: { code: SpanStatusCode[span.status.code], message: span.status.message || '' },
    resource: typedAll(span.resource.attributes),
    scope: { name: span.instrumentationScope.name, version: span.instrumentationScope.version },
  };
}

module.exports = { pushOtel };
