package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// fixedTime is now without what is below a microsecond.
func fixedTime() time.Time { return time.Now().Truncate(time.Microsecond) }

// captured is an exporter that keeps what it gets.
type captured struct{ spans []sdktrace.ReadOnlySpan }

func (c *captured) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	c.spans = append(c.spans, spans...)
	return nil
}

func (*captured) Shutdown(context.Context) error { return nil }

func pushOtel(service string, client otlptrace.Client) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, err
	}
	kept := &captured{}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(kept), sdktrace.WithResource(resource.NewSchemaless(
		attribute.String("service.name", service),
		attribute.String("service.version", "1.2.3"),
		attribute.Int("host.cpus", 2),
	)))
	otelShop(provider.Tracer("conformance", trace.WithInstrumentationVersion("0.9"),
		trace.WithInstrumentationAttributes(attribute.String("made.for", "tests"))))
	if err := exporter.ExportSpans(ctx, kept.spans); err != nil {
		return nil, err
	}
	if err := exporter.Shutdown(ctx); err != nil {
		return nil, err
	}
	spans := []any{}
	for _, span := range kept.spans {
		spans = append(spans, said(span))
	}
	return spans, nil
}

func otelShop(tracer trace.Tracer) {
	state, _ := trace.ParseTraceState("vendor=a1")
	traceID, _ := trace.TraceIDFromHex("463ac35c9f6413ad48485a3953bb6124")
	spanID, _ := trace.SpanIDFromHex("a2fb4a1d1a96d312")
	elsewhere := trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: spanID,
		TraceFlags: trace.FlagsSampled, TraceState: state, Remote: true})

	ctx, root := tracer.Start(context.Background(), "GET /checkout", trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.request.method", "GET"),
			attribute.String("kunde", "Zoë 🌞 \"q\" \\ \t \u2028"), attribute.String("empty", ""),
			attribute.Int64("http.response.status_code", 200), attribute.Int64("big", 9007199254740993),
			attribute.Float64("ratio", 0.25), attribute.Bool("retried", false),
			attribute.StringSlice("list", []string{"a", "b"}), attribute.Int64Slice("numbers", []int64{1, -2})))
	root.AddEvent("cart loaded: 価格", trace.WithAttributes(attribute.Int("items", 3), attribute.String("currency", "SEK")))
	_, price := tracer.Start(ctx, "price")
	price.End()
	_, call := tracer.Start(ctx, "POST /charge", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithLinks(trace.Link{SpanContext: elsewhere, Attributes: []attribute.KeyValue{attribute.String("why", "retry")}}),
		trace.WithAttributes(attribute.String("server.address", "127.1.6.2"), attribute.Int("server.port", 9000),
			attribute.String("peer.service", "Bank")))
	call.RecordError(errors.New("card refused"))
	call.SetStatus(codes.Error, "card refused")
	call.End()
	_, sent := tracer.Start(ctx, "announce", trace.WithSpanKind(trace.SpanKindProducer))
	sent.End()
	_, read := tracer.Start(ctx, "read", trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithLinks(trace.Link{SpanContext: sent.SpanContext()}))
	read.End()
	root.SetStatus(codes.Ok, "")
	root.End()
}

var kinds = map[trace.SpanKind]string{trace.SpanKindInternal: "INTERNAL", trace.SpanKindServer: "SERVER",
	trace.SpanKindClient: "CLIENT", trace.SpanKindProducer: "PRODUCER", trace.SpanKindConsumer: "CONSUMER"}

var statuses = map[codes.Code]string{codes.Unset: "UNSET", codes.Ok: "OK", codes.Error: "ERROR"}

func said(span sdktrace.ReadOnlySpan) map[string]any {
	nanos := func(at time.Time) string { return strconv.FormatInt(at.UnixNano(), 10) }
	events, links, parent := []any{}, []any{}, ""
	for _, event := range span.Events() {
		events = append(events, map[string]any{"name": event.Name, "time": nanos(event.Time),
			"attributes": typedAll(event.Attributes)})
	}
	for _, link := range span.Links() {
		links = append(links, map[string]any{"traceId": link.SpanContext.TraceID().String(),
			"spanId": link.SpanContext.SpanID().String(), "attributes": typedAll(link.Attributes)})
	}
	if span.Parent().IsValid() {
		parent = span.Parent().SpanID().String()
	}
	return map[string]any{
		"traceId": span.SpanContext().TraceID().String(), "spanId": span.SpanContext().SpanID().String(),
		"parentSpanId": parent, "name": span.Name(), "kind": kinds[span.SpanKind()],
		"start": nanos(span.StartTime()), "end": nanos(span.EndTime()),
		"attributes": typedAll(span.Attributes()), "events": events, "links": links,
		"status":   map[string]string{"code": statuses[span.Status().Code], "message": span.Status().Description},
		"resource": typedAll(span.Resource().Attributes()),
		"scope":    map[string]string{"name": span.InstrumentationScope().Name, "version": span.InstrumentationScope().Version},
	}
}
