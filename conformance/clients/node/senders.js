// Pushes a trace with each sender that Node has: zipkin-js in its three encodings, OpenTelemetry over gRPC and HTTP
// and in Zipkin's format, and Jaeger's client over UDP and HTTP. Prints {"senders": [..]}: of each its name and the
// spans that it says it sent.

const { OTLPTraceExporter: OtlpGrpc } = require('@opentelemetry/exporter-trace-otlp-grpc');
const { OTLPTraceExporter: OtlpJson } = require('@opentelemetry/exporter-trace-otlp-http');
const { OTLPTraceExporter: OtlpProto } = require('@opentelemetry/exporter-trace-otlp-proto');
const { ZipkinExporter } = require('@opentelemetry/exporter-zipkin');
const { pushJaeger } = require('./jaeger');
const { pushOtel } = require('./otel');
const { pushZipkin } = require('./zipkin');

const url = process.env.SIGYN_URL;
const grpc = `http://${process.env.SIGYN_OTLP_GRPC}`;
const http = `http://${process.env.SIGYN_OTLP_HTTP}/v1/traces`;
const [udpHost, udpPort] = process.env.SIGYN_JAEGER_BINARY.split(':');

const senders = [
  ['zipkin-js-json-v2', 'zipkin', (name) => pushZipkin(name, url, 'JSON_V2')],
  ['zipkin-js-json-v1', 'zipkin-v1', (name) => pushZipkin(name, url, 'JSON_V1')],
  ['zipkin-js-thrift', 'zipkin-v1-thrift', (name) => pushZipkin(name, url, 'THRIFT')],
  ['otel-node-grpc', 'otlp', (name) => pushOtel(name, new OtlpGrpc({ url: grpc }))],
  ['otel-node-grpc-gzip', 'otlp', (name) => pushOtel(name, new OtlpGrpc({ url: grpc, compression: 'gzip' }))],
  ['otel-node-http-proto', 'otlp', (name) => pushOtel(name, new OtlpProto({ url: http }))],
  ['otel-node-http-json', 'otlp', (name) => pushOtel(name, new OtlpJson({ url: http }))],
  ['otel-node-http-json-gzip', 'otlp', (name) => pushOtel(name, new OtlpJson({ url: http, compression: 'gzip' }))],
  ['otel-node-http-json-9411', 'otlp', (name) => pushOtel(name, new OtlpJson({ url: `${url}/v1/traces` }))],
  ['otel-node-zipkin', 'otlp-zipkin', (name) => pushOtel(name, new ZipkinExporter({ url: `${url}/api/v2/spans` }))],
  ['jaeger-node-udp', 'jaeger', (name) => pushJaeger(name, { agentHost: udpHost, agentPort: Number(udpPort) })],
  ['jaeger-node-http', 'jaeger', (name) => pushJaeger(name, { collectorEndpoint: `${url}/api/traces` })],
];

async function main() {
  const only = process.argv[2] || '';
  const reports = [];
  for (const [name, form, send] of senders.filter(([name]) => name.includes(only))) {
    try {
      reports.push({ name, form, spans: await send(name) });
    } catch (error) {
      reports.push({ name, form, error: String(error && error.message ? error.message : error) });
    }
  }
  process.stdout.write(JSON.stringify({ senders: reports }), () => process.exit(0)); // clients' timers would linger
}

main();
