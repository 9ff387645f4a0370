// zipkin-js: a debug trace with a 128-bit id over four services, in one of the library's encodings.

const { Annotation, BatchRecorder, ExplicitContext, InetAddress, Instrumentation, Tracer, jsonEncoder, option } =
  require('zipkin');
const thrift = require('zipkin-encoder-thrift');
const { HttpLogger } = require('zipkin-transport-http');

/** Sends the trace; resolves to the spans as the library knows them, in v2 JSON. */
async function pushZipkin(name, url, encoding) {
  const sent = [];
  const remember = (span) => sent.push(JSON.parse(jsonEncoder.JSON_V2.encode(span)));
  if (encoding === 'THRIFT') {
    // The library has an encoder of one span and leaves the list, and the way, to others.
    const spans = [];
    shop(name, { logSpan: (span) => spans.push(thrift.encode(span)) && remember(span) });
    const head = Buffer.from([12, 0, 0, 0, spans.length]);
    const headers = { 'Content-Type': 'application/x-thrift' };
    const answer = await fetch(`${url}/api/v1/spans`, { method: 'POST', body: Buffer.concat([head, ...spans]), headers });
    if (answer.status !== 202) throw new Error(`${answer.status} ${await answer.text()}`);
    return sent;
  }
  const recording = {
    encode(span) {
      remember(span);
      return jsonEncoder[encoding].encode(span);
    },
  };
  const version = encoding === 'JSON_V2' ? 'v2' : 'v1';
  const logger = new HttpLogger({ endpoint: `${url}/api/${version}/spans`, jsonEncoder: recording, timeout: 5000 });
  const done = new Promise((resolve, reject) => {
    logger.on('success', resolve);
    logger.on('error', reject);
  });
  shop(name, logger);
  // The logger sends once a second: send now.
  logger.processQueue(logger.fetchImplementation);
  await done;
  return sent;
}

/** `web` calls `orders`, which joins the client's span and puts a message on `rabbitmq`; `mailer` reads it and fails. */
function shop(name, logger) {
  const tracerOf = (service) =>
    new Tracer({
      ctxImpl: new ExplicitContext(),
      recorder: new BatchRecorder({ logger }),
      localServiceName: service,
      traceId128Bit: true,
      defaultTags: { 'deployment.zone': 'süd-1' },
    });
  const rabbit = () => new Annotation.MessageAddr({ serviceName: 'rabbitmq', host: new InetAddress('127.1.3.9'), port: 5672 });

  function mailer(messageId) {
    const tracer = tracerOf(`${name}-mailer`);
    tracer.letId(tracer.createChildId(messageId), () => {
      tracer.recordServiceName(`${name}-mailer`);
      tracer.recordRpc('receive');
      tracer.recordAnnotation(new Annotation.ConsumerStart());
      tracer.recordAnnotation(rabbit());
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
    const tracer = tracerOf(`${name}-orders`);
    const server = new Instrumentation.HttpServer({ tracer, host: '127.1.3.2', port: 9000 });
    const readHeader = (header) => (header in headers ? new option.Some(headers[header]) : option.None);
    tracer.scoped(() => {
      const id = server.recordRequest('POST', 'http://orders/orders?user=7', readHeader);
      tracer.letId(tracer.createChildId(id), () => {
        tracer.recordServiceName(`${name}-orders`);
        tracer.recordRpc('send');
        tracer.recordAnnotation(new Annotation.ProducerStart());
        tracer.recordAnnotation(rabbit());
        tracer.recordMessage('queued');
        tracer.recordAnnotation(new Annotation.ProducerStop());
        mailer(tracer.id);
      });
      server.recordResponse(id, 503);
    });
    return 503;
  }

  const tracer = tracerOf(name);
  tracer.scoped(() => {
    tracer.setId(tracer.createRootId(option.None, true));
    tracer.local('Place Order', () => {
      const client = new Instrumentation.HttpClient({ tracer, remoteServiceName: `${name}-orders` });
      tracer.scoped(() => {
        const request = client.recordRequest({ headers: {} }, 'http://orders/orders?user=7', 'POST');
        const id = tracer.id;
        client.recordResponse(id, orders(request.headers));
      });
    });
  });
}

module.exports = { pushZipkin };
