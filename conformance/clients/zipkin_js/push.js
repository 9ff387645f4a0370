// Pushes one trace with zipkin-js, over its own HTTP logger, and prints what was sent.
//
// A debug trace (X-B3-Flags: 1) with a 128-bit id: `web` calls `orders`, which joins the client's span
// (one span id, shared) and puts a message on `rabbitmq`; `mailer` takes it off and fails.
//
// Usage: node push.js URL; prints {"spans": [..]}, the spans as they were on the wire.

const { Annotation, BatchRecorder, ExplicitContext, InetAddress, Instrumentation, Tracer, jsonEncoder, option } =
  require('zipkin');
const { HttpLogger } = require('zipkin-transport-http');

const [url] = process.argv.slice(2);
const sent = [];

// The library's encoder, plus a memory of what it wrote.
const recordingEncoder = {
  encode(span) {
    const text = jsonEncoder.JSON_V2.encode(span);
    sent.push(JSON.parse(text));
    return text;
  },
};
const logger = new HttpLogger({ endpoint: `${url}/api/v2/spans`, jsonEncoder: recordingEncoder, timeout: 5000 });

function tracerOf(localServiceName) {
  return new Tracer({
    ctxImpl: new ExplicitContext(),
    recorder: new BatchRecorder({ logger }),
    localServiceName,
    traceId128Bit: true,
    defaultTags: { 'deployment.zone': 'süd-1' },
  });
}

function mailer(messageId) {
  const tracer = tracerOf('mailer');
  tracer.letId(tracer.createChildId(messageId), () => {
    tracer.recordServiceName('mailer');
    tracer.recordRpc('receive');
    tracer.recordAnnotation(new Annotation.ConsumerStart());
    tracer.recordAnnotation(new Annotation.MessageAddr({ serviceName: 'rabbitmq', host: new InetAddress('127.1.3.9'), port: 5672 }));
    try {
      tracer.local('render', () => {
        throw new Error('template "Grüße" is missing');
      });
    } catch (error) {
      tracer.recordBinary('error', error.message);
    }
    tracer.recordAnnotation(new Annotation.ConsumerStop());
  });
}

function orders(headers) {
  const tracer = tracerOf('orders');
  const server = new Instrumentation.HttpServer({ tracer, host: '127.1.3.2', port: 9000 });
  const readHeader = (name) => (name in headers ? new option.Some(headers[name]) : option.None);
  return tracer.scoped(() => {
    const id = server.recordRequest('POST', 'http://orders/orders?user=7', readHeader);
    tracer.letId(tracer.createChildId(id), () => {
      tracer.recordServiceName('orders');
      tracer.recordRpc('send');
      tracer.recordAnnotation(new Annotation.ProducerStart());
      tracer.recordAnnotation(new Annotation.MessageAddr({ serviceName: 'rabbitmq', host: new InetAddress('127.1.3.9'), port: 5672 }));
      tracer.recordMessage('queued');
      tracer.recordAnnotation(new Annotation.ProducerStop());
      mailer(tracer.id);
    });
    server.recordResponse(id, 503);
    return 503;
  });
}

function web() {
  const tracer = tracerOf('Web'); // the library writes it in lower case
  tracer.scoped(() => {
    tracer.setId(tracer.createRootId(option.None, true));
    tracer.local('Place Order', () => {
      const client = new Instrumentation.HttpClient({ tracer, remoteServiceName: 'orders' });
      tracer.scoped(() => {
        const request = client.recordRequest({ headers: {} }, 'http://orders/orders?user=7', 'POST');
        const id = tracer.id;
        client.recordResponse(id, orders(request.headers));
      });
    });
  });
}

logger.on('success', () => process.stdout.write(JSON.stringify({ spans: sent })));
logger.on('error', (error) => {
  console.error(error);
  process.exitCode = 1;
});
web();
// The logger sends once a second, on a timer that does not keep the process alive: send now.
logger.processQueue(logger.fetchImplementation);
