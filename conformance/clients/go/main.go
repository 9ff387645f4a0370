// Pushes a trace with each sender that Go has: zipkin-go in JSON and in protobuf, and OpenTelemetry over gRPC and
// HTTP. Prints {"senders": [..]}: of each its name and the spans that it says it sent.
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/openzipkin/zipkin-go/proto/zipkin_proto3"
	zipkinreporter "github.com/openzipkin/zipkin-go/reporter"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
)

type report struct {
	Name  string `json:"name"`
	Form  string `json:"form"`
	Error string `json:"error,omitempty"`
	Spans any    `json:"spans,omitempty"`
}

func main() {
	url, grpc, plain := os.Getenv("SIGYN_URL"), os.Getenv("SIGYN_OTLP_GRPC"), os.Getenv("SIGYN_OTLP_HTTP")
	address := url[len("http://"):]
	var reports []report
	run := func(name, form string, send func(service string) (any, error)) {
		spans, err := send(name)
		if err != nil {
			reports = append(reports, report{Name: name, Form: form, Error: err.Error()})
			return
		}
		reports = append(reports, report{Name: name, Form: form, Spans: spans})
	}

	run("zipkin-go-json", "zipkin", func(name string) (any, error) {
		return pushZipkin(name, url, zipkinreporter.JSONSerializer{})
	})
	run("zipkin-go-proto3", "zipkin", func(name string) (any, error) {
		return pushZipkin(name, url, zipkin_proto3.SpanSerializer{})
	})

	grpcTo := func(address string, more ...otlptracegrpc.Option) func(string) (any, error) {
		return func(name string) (any, error) {
			options := append(more, otlptracegrpc.WithEndpoint(address), otlptracegrpc.WithInsecure(),
				otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{}))
			return pushOtel(name, otlptracegrpc.NewClient(options...))
		}
	}
	httpTo := func(address string, more ...otlptracehttp.Option) func(string) (any, error) {
		return func(name string) (any, error) {
			options := append(more, otlptracehttp.WithEndpoint(address), otlptracehttp.WithInsecure(),
				otlptracehttp.WithRetry(otlptracehttp.RetryConfig{}))
			return pushOtel(name, otlptracehttp.NewClient(options...))
		}
	}
	run("otel-go-grpc", "otlp", grpcTo(grpc))
	run("otel-go-grpc-gzip", "otlp", grpcTo(grpc, otlptracegrpc.WithCompressor("gzip")))
	run("otel-go-grpc-9411", "otlp", grpcTo(address))
	run("otel-go-http", "otlp", httpTo(plain))
	run("otel-go-http-gzip", "otlp", httpTo(plain, otlptracehttp.WithCompression(otlptracehttp.GzipCompression)))
	run("otel-go-http-9411", "otlp", httpTo(address))

	if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"senders": reports}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// counting is an HTTP client that remembers the answers that are not 202.
type counting struct{ refused []string }

func (c *counting) Do(request *http.Request) (*http.Response, error) {
	answer, err := http.DefaultClient.Do(request)
	switch {
	case err != nil:
		c.refused = append(c.refused, err.Error())
	case answer.StatusCode != http.StatusAccepted:
		c.refused = append(c.refused, answer.Status)
	}
	return answer, err
}

// typed says a value with its type: {"int": "in decimal"} and so on.
func typed(value attribute.Value) any {
	switch value.Type() {
	case attribute.BOOL:
		return map[string]any{"bool": value.AsBool()}
	case attribute.INT64:
		return map[string]any{"int": strconv.FormatInt(value.AsInt64(), 10)}
	case attribute.FLOAT64:
		return map[string]any{"double": value.AsFloat64()}
	case attribute.STRINGSLICE:
		list := []any{}
		for _, text := range value.AsStringSlice() {
			list = append(list, map[string]any{"string": text})
		}
		return map[string]any{"array": list}
	case attribute.INT64SLICE:
		list := []any{}
		for _, number := range value.AsInt64Slice() {
			list = append(list, map[string]any{"int": strconv.FormatInt(number, 10)})
		}
		return map[string]any{"array": list}
	default:
		return map[string]any{"string": value.AsString()}
	}
}

// typedAll keeps the order of attributes, which a map in Go does not.
type typedAll []attribute.KeyValue

func (all typedAll) MarshalJSON() ([]byte, error) {
	fields := make([]string, 0, len(all))
	for _, one := range all {
		key, err := json.Marshal(string(one.Key))
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(typed(one.Value))
		if err != nil {
			return nil, err
		}
		fields = append(fields, string(key)+":"+string(value))
	}
	return []byte("{" + strings.Join(fields, ",") + "}"), nil
}
