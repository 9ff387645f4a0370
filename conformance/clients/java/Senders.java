import brave.Span;
import brave.Tracer;
import brave.Tracing;
import brave.handler.SpanHandler;
import brave.propagation.TraceContext;
import brave.propagation.TraceContextOrSamplingFlags;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.TraceFlags;
import io.opentelemetry.api.trace.TraceState;
import io.opentelemetry.context.Context;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.trace.OtlpGrpcSpanExporter;
import io.opentelemetry.sdk.common.CompletableResultCode;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.data.EventData;
import io.opentelemetry.sdk.trace.data.LinkData;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.opentelemetry.sdk.trace.export.SimpleSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.StringJoiner;
import java.util.concurrent.TimeUnit;
import zipkin2.codec.SpanBytesDecoder;
import zipkin2.reporter.AsyncReporter;
import zipkin2.reporter.BytesEncoder;
import zipkin2.reporter.BytesMessageSender;
import zipkin2.reporter.Encoding;
import zipkin2.reporter.InMemoryReporterMetrics;
import zipkin2.reporter.SpanBytesEncoder;
import zipkin2.reporter.brave.AsyncZipkinSpanHandler;
import zipkin2.reporter.brave.MutableSpanBytesEncoder;
import zipkin2.reporter.brave.ZipkinSpanHandler;
import zipkin2.reporter.okhttp3.OkHttpSender;
import zipkin2.reporter.urlconnection.URLConnectionSender;

/**
 * Pushes a trace with each sender that Java has: Brave over two HTTP clients and four encodings, and OpenTelemetry
 * over gRPC and HTTP. Prints {"senders": [..]}: of each its name and the spans that it says it sent.
 *
 * <p>What Brave's spans are on the other side is said by Zipkin's own decoder, over the bytes that were sent.
 */
final class Senders {
  private static final List<String> reports = new ArrayList<>();

  public static void main(String[] args) throws Exception {
    String url = System.getenv("SIGYN_URL");
    String v1 = url + "/api/v1/spans";
    String v2 = url + "/api/v2/spans";
    OkHttpSender.Builder gzip = OkHttpSender.newBuilder().endpoint(v2);
    run("brave-okhttp-json-v2", "zipkin", name ->
        brave(name, Encoding.JSON, MutableSpanBytesEncoder.JSON_V2, SpanBytesDecoder.JSON_V2, gzip.build()));
    run("brave-okhttp-proto3", "zipkin", name ->
        brave(name, Encoding.PROTO3, MutableSpanBytesEncoder.PROTO3, SpanBytesDecoder.PROTO3,
            gzip.encoding(Encoding.PROTO3).build()));
    run("brave-okhttp-plain-proto3", "zipkin", name ->
        brave(name, Encoding.PROTO3, MutableSpanBytesEncoder.PROTO3, SpanBytesDecoder.PROTO3,
            gzip.encoding(Encoding.PROTO3).compressionEnabled(false).build()));
    run("brave-urlconnection-json-v2", "zipkin", name ->
        brave(name, Encoding.JSON, MutableSpanBytesEncoder.JSON_V2, SpanBytesDecoder.JSON_V2,
            URLConnectionSender.create(v2)));
    run("brave-okhttp-json-v1", "zipkin", name ->
        braveV1(name, Encoding.JSON, SpanBytesEncoder.JSON_V1, SpanBytesDecoder.JSON_V1,
            OkHttpSender.newBuilder().endpoint(v1).build()));
    run("brave-okhttp-thrift", "zipkin", name ->
        braveV1(name, Encoding.THRIFT, SpanBytesEncoder.THRIFT, SpanBytesDecoder.THRIFT,
            OkHttpSender.newBuilder().endpoint(v1).encoding(Encoding.THRIFT).build()));

    String grpc = "http://" + System.getenv("SIGYN_OTLP_GRPC");
    String http = "http://" + System.getenv("SIGYN_OTLP_HTTP") + "/v1/traces";
    run("otel-java-grpc", "otlp", name -> otel(name, OtlpGrpcSpanExporter.builder().setEndpoint(grpc).build()));
    run("otel-java-grpc-gzip", "otlp", name ->
        otel(name, OtlpGrpcSpanExporter.builder().setEndpoint(grpc).setCompression("gzip").build()));
    run("otel-java-http", "otlp", name -> otel(name, OtlpHttpSpanExporter.builder().setEndpoint(http).build()));
    run("otel-java-http-gzip", "otlp", name ->
        otel(name, OtlpHttpSpanExporter.builder().setEndpoint(http).setCompression("gzip").build()));
    run("otel-java-http-9411", "otlp", name ->
        otel(name, OtlpHttpSpanExporter.builder().setEndpoint(url + "/v1/traces").build()));
    run("otel-java-grpc-9411", "otlp", name -> otel(name, OtlpGrpcSpanExporter.builder().setEndpoint(url).build()));
    PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    out.println("{\"senders\":[" + String.join(",", reports) + "]}");
    System.exit(0); // the HTTP clients' threads would linger
  }

  interface Sender {
    /** Sends a trace of the service with this name; returns the spans as JSON. */
    String send(String service) throws Exception;
  }

  private static void run(String name, String form, Sender sender) {
    String said;
    try {
      said = "\"spans\":" + sender.send(name);
    } catch (Exception error) {
      said = "\"error\":" + text(String.valueOf(error));
    }
    reports.add("{\"name\":" + text(name) + ",\"form\":" + text(form) + "," + said + "}");
  }

  // Brave.

  /** An encoder, plus a memory of what it wrote. */
  private static final class Recording<S> implements BytesEncoder<S> {
    private final BytesEncoder<S> encoder;
    private final List<byte[]> written = Collections.synchronizedList(new ArrayList<>());

    Recording(BytesEncoder<S> encoder) {
      this.encoder = encoder;
    }

    @Override public Encoding encoding() {
      return encoder.encoding();
    }

    @Override public int sizeInBytes(S span) {
      return encoder.sizeInBytes(span);
    }

    @Override public byte[] encode(S span) {
      byte[] bytes = encoder.encode(span);
      written.add(bytes);
      return bytes;
    }

    String decoded(SpanBytesDecoder decoder) {
      List<zipkin2.Span> spans = decoder.decodeList(encoder.encoding().encode(new ArrayList<>(written)));
      byte[] json = zipkin2.codec.SpanBytesEncoder.JSON_V2.encodeList(spans);
      return new String(json, StandardCharsets.UTF_8);
    }
  }

  private static String brave(
      String service, Encoding encoding, BytesEncoder<brave.handler.MutableSpan> encoder, SpanBytesDecoder decoder,
      BytesMessageSender sender) throws Exception {
    Recording<brave.handler.MutableSpan> recording = new Recording<>(encoder);
    InMemoryReporterMetrics metrics = new InMemoryReporterMetrics();
    try (sender; AsyncZipkinSpanHandler handler =
        AsyncZipkinSpanHandler.newBuilder(sender).metrics(metrics).messageTimeout(0, TimeUnit.SECONDS).build(recording)) {
      shop(service, handler);
      handler.flush();
    }
    nothingLost(metrics);
    return recording.decoded(decoder);
  }

  private static String braveV1(
      String service, Encoding encoding, BytesEncoder<zipkin2.Span> encoder, SpanBytesDecoder decoder,
      BytesMessageSender sender) throws Exception {
    Recording<zipkin2.Span> recording = new Recording<>(encoder);
    InMemoryReporterMetrics metrics = new InMemoryReporterMetrics();
    try (sender; AsyncReporter<zipkin2.Span> reporter =
        AsyncReporter.builder(sender).metrics(metrics).messageTimeout(0, TimeUnit.SECONDS).build(recording)) {
      shop(service, ZipkinSpanHandler.create(reporter));
      reporter.flush();
    }
    nothingLost(metrics);
    return recording.decoded(decoder);
  }

  private static void nothingLost(InMemoryReporterMetrics metrics) {
    if (metrics.spansDropped() != 0 || metrics.messagesDropped() != 0) {
      throw new IllegalStateException("dropped: " + metrics.messagesDroppedByCause());
    }
  }

  /** A shop whose checkout fails at a coupon, charges a card at another service, and announces it on a broker. */
  private static void shop(String service, SpanHandler handler) throws Exception {
    try (Tracing shop = Tracing.newBuilder().localServiceName(service).localIp("127.1.5.1").localPort(8080)
            .traceId128Bit(true).addSpanHandler(handler).build();
        Tracing bank = Tracing.newBuilder().localServiceName(service + "-bank").localIp("127.1.5.2").localPort(9000)
            .traceId128Bit(true).addSpanHandler(handler).build()) {
      Tracer tracer = shop.tracer();
      Span root = tracer.newTrace().kind(Span.Kind.SERVER).name("GET /checkout").start();
      root.remoteIpAndPort("2001:db8::c001", 65535);
      // Not U+2028: beside other letters beyond ASCII, the library's JSON has NULs after it, which no parser takes.
      root.tag("http.path", "/checkout").tag("kunde", "Zoë 🌞 \"q\" \\ \t").tag("empty", "");
      root.annotate("cart loaded: 価格");
      Span coupon = tracer.newChild(root.context()).name("coupon").start();
      coupon.error(new IllegalArgumentException("no such coupon"));
      coupon.finish();
      Span call = tracer.newChild(root.context()).kind(Span.Kind.CLIENT).name("POST /charge").start();
      call.remoteServiceName(service + "-bank");
      call.remoteIpAndPort("127.1.5.2", 9000);
      TraceContext joined = call.context();
      Span served = bank.tracer().joinSpan(joined).kind(Span.Kind.SERVER).name("POST /charge").start();
      served.finish();
      call.finish();
      Span sent = tracer.newChild(root.context()).kind(Span.Kind.PRODUCER).name("announce").start();
      sent.remoteServiceName("broker");
      sent.finish();
      Span read = bank.tracer()
          .nextSpan(TraceContextOrSamplingFlags.create(sent.context())).kind(Span.Kind.CONSUMER).name("read").start();
      read.remoteServiceName("broker");
      read.finish();
      root.finish();
    }
  }

  // OpenTelemetry.

  private static final class Captured implements SpanExporter {
    private final List<SpanData> spans = new ArrayList<>();

    @Override public CompletableResultCode export(Collection<SpanData> ended) {
      spans.addAll(ended);
      return CompletableResultCode.ofSuccess();
    }

    @Override public CompletableResultCode flush() {
      return CompletableResultCode.ofSuccess();
    }

    @Override public CompletableResultCode shutdown() {
      return CompletableResultCode.ofSuccess();
    }
  }

  private static String otel(String service, SpanExporter exporter) {
    Captured captured = new Captured();
    Attributes resource = Attributes.builder().put("service.name", service).put("service.version", "1.2.3")
        .put("host.cpus", 2L).build();
    try (SdkTracerProvider provider = SdkTracerProvider.builder().setResource(Resource.create(resource))
        .addSpanProcessor(SimpleSpanProcessor.create(captured)).build()) {
      otelShop(provider.tracerBuilder("conformance").setInstrumentationVersion("0.9").build());
    }
    CompletableResultCode result = exporter.export(captured.spans).join(10, TimeUnit.SECONDS);
    exporter.shutdown().join(10, TimeUnit.SECONDS);
    if (!result.isSuccess()) {
      throw new IllegalStateException("export failed", result.getFailureThrowable());
    }
    return list(captured.spans, Senders::json);
  }

  private static void otelShop(io.opentelemetry.api.trace.Tracer tracer) {
    SpanContext elsewhere = SpanContext.createFromRemoteParent("463ac35c9f6413ad48485a3953bb6124", "a2fb4a1d1a96d312",
        TraceFlags.getSampled(), TraceState.builder().put("vendor", "a1").build());
    var root = tracer.spanBuilder("GET /checkout").setNoParent().setSpanKind(SpanKind.SERVER)
        .setAttribute("http.request.method", "GET").setAttribute("kunde", "Zoë 🌞 \"q\" \\ \t \u2028")
        .setAttribute("empty", "").setAttribute("http.response.status_code", 200L)
        .setAttribute("big", 9007199254740993L).setAttribute("ratio", 0.25).setAttribute("retried", false)
        .setAttribute(AttributeKey.stringArrayKey("list"), List.of("a", "b"))
        .setAttribute(AttributeKey.longArrayKey("numbers"), List.of(1L, -2L)).startSpan();
    root.addEvent("cart loaded: 価格", Attributes.builder().put("items", 3L).put("currency", "SEK").build());
    Context inRoot = Context.root().with(root);
    tracer.spanBuilder("price").setParent(inRoot).startSpan().end();
    var call = tracer.spanBuilder("POST /charge").setParent(inRoot).setSpanKind(SpanKind.CLIENT)
        .addLink(elsewhere, Attributes.builder().put("why", "retry").build())
        .setAttribute("server.address", "127.1.5.2").setAttribute("server.port", 9000L)
        .setAttribute("peer.service", "Bank").startSpan();
    call.recordException(new IllegalStateException("card refused"));
    call.setStatus(StatusCode.ERROR, "card refused");
    call.end();
    var sent = tracer.spanBuilder("announce").setParent(inRoot).setSpanKind(SpanKind.PRODUCER).startSpan();
    sent.end();
    tracer.spanBuilder("read").setParent(inRoot).setSpanKind(SpanKind.CONSUMER).addLink(sent.getSpanContext())
        .startSpan().end();
    root.setStatus(StatusCode.OK);
    root.end();
  }

  private static String json(SpanData span) {
    Map<String, String> scope = new LinkedHashMap<>();
    scope.put("name", text(span.getInstrumentationScopeInfo().getName()));
    scope.put("version", text(span.getInstrumentationScopeInfo().getVersion()));
    Map<String, String> status = new LinkedHashMap<>();
    status.put("code", text(span.getStatus().getStatusCode().name()));
    status.put("message", text(span.getStatus().getDescription()));
    Map<String, String> out = new LinkedHashMap<>();
    out.put("traceId", text(span.getTraceId()));
    out.put("spanId", text(span.getSpanId()));
    out.put("parentSpanId", text(span.getParentSpanContext().isValid() ? span.getParentSpanId() : ""));
    out.put("name", text(span.getName()));
    out.put("kind", text(span.getKind().name()));
    out.put("start", text(Long.toString(span.getStartEpochNanos())));
    out.put("end", text(Long.toString(span.getEndEpochNanos())));
    out.put("attributes", attributes(span.getAttributes()));
    out.put("events", list(span.getEvents(), Senders::json));
    out.put("links", list(span.getLinks(), Senders::json));
    out.put("status", object(status));
    out.put("resource", attributes(span.getResource().getAttributes()));
    out.put("scope", object(scope));
    return object(out);
  }

  private static String json(EventData event) {
    Map<String, String> out = new LinkedHashMap<>();
    out.put("name", text(event.getName()));
    out.put("time", text(Long.toString(event.getEpochNanos())));
    out.put("attributes", attributes(event.getAttributes()));
    return object(out);
  }

  private static String json(LinkData link) {
    Map<String, String> out = new LinkedHashMap<>();
    out.put("traceId", text(link.getSpanContext().getTraceId()));
    out.put("spanId", text(link.getSpanContext().getSpanId()));
    out.put("attributes", attributes(link.getAttributes()));
    return object(out);
  }

  private static String attributes(Attributes attributes) {
    Map<String, String> out = new LinkedHashMap<>();
    attributes.forEach((key, value) -> out.put(key.getKey(), typed(value)));
    return object(out);
  }

  /** A value with its type: {"string": ..}, {"int": "in decimal"}, {"double": ..}, {"bool": ..}, {"array": [..]}. */
  private static String typed(Object value) {
    if (value instanceof Long) return "{\"int\":" + text(value.toString()) + "}";
    if (value instanceof Double) return "{\"double\":" + value + "}";
    if (value instanceof Boolean) return "{\"bool\":" + value + "}";
    if (value instanceof List) return "{\"array\":" + list((List<?>) value, Senders::typed) + "}";
    return "{\"string\":" + text(value.toString()) + "}";
  }

  // JSON.

  private static <T> String list(Collection<T> values, java.util.function.Function<T, String> json) {
    StringJoiner out = new StringJoiner(",", "[", "]");
    values.forEach(value -> out.add(json.apply(value)));
    return out.toString();
  }

  private static String object(Map<String, String> fields) {
    StringJoiner out = new StringJoiner(",", "{", "}");
    fields.forEach((key, value) -> out.add(text(key) + ":" + value));
    return out.toString();
  }

  private static String text(String value) {
    StringBuilder out = new StringBuilder("\"");
    for (char c : (value == null ? "" : value).toCharArray()) {
      if (c == '"' || c == '\\' || c < ' ') {
        out.append(String.format("\\u%04x", (int) c));
      } else {
        out.append(c);
      }
    }
    return out.append('"').toString();
  }
}
