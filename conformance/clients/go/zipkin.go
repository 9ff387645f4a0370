package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/openzipkin/zipkin-go"
	"github.com/openzipkin/zipkin-go/model"
	zipkinreporter "github.com/openzipkin/zipkin-go/reporter"
	zipkinhttp "github.com/openzipkin/zipkin-go/reporter/http"
)

// remembering is a reporter with a memory of what it reported.
type remembering struct {
	zipkinreporter.Reporter
	lock  sync.Mutex
	spans []model.SpanModel
}

func (r *remembering) Send(span model.SpanModel) {
	r.lock.Lock()
	r.spans = append(r.spans, span)
	r.lock.Unlock()
	r.Reporter.Send(span)
}

func pushZipkin(service, url string, serializer zipkinreporter.SpanSerializer) (any, error) {
	client := &counting{}
	reporter := &remembering{Reporter: zipkinhttp.NewReporter(url+"/api/v2/spans",
		zipkinhttp.Serializer(serializer), zipkinhttp.Client(client))}
	if err := zipkinShop(service, reporter); err != nil {
		return nil, err
	}
	if err := reporter.Close(); err != nil {
		return nil, err
	}
	if len(client.refused) > 0 {
		return nil, fmt.Errorf("refused: %v", client.refused)
	}
	return reporter.spans, nil
}

// Spans start and last whole microseconds: the library rounds to them in JSON and cuts in protobuf.

// zipkinShop is a checkout that fails at a coupon, charges a card at another service, and announces it on a broker.
func zipkinShop(service string, reporter zipkinreporter.Reporter) error {
	tracer := func(name, address string) (*zipkin.Tracer, error) {
		endpoint, err := zipkin.NewEndpoint(name, address)
		if err != nil {
			return nil, err
		}
		return zipkin.NewTracer(reporter, zipkin.WithLocalEndpoint(endpoint), zipkin.WithTraceID128Bit(true),
			zipkin.WithSharedSpans(true))
	}
	shop, err := tracer(service, "127.1.6.1:8080")
	if err != nil {
		return err
	}
	bank, err := tracer(service+"-bank", "127.1.6.2:9000")
	if err != nil {
		return err
	}
	visitor, err := zipkin.NewEndpoint("", "[2001:db8::c001]:65535")
	if err != nil {
		return err
	}
	remote, err := zipkin.NewEndpoint(service+"-bank", "127.1.6.2:9000")
	if err != nil {
		return err
	}
	broker := &model.Endpoint{ServiceName: "broker"}
	now := func() zipkin.SpanOption { return zipkin.StartTime(fixedTime()) }

	root := shop.StartSpan("GET /checkout", now(), zipkin.Kind(model.Server), zipkin.RemoteEndpoint(visitor))
	root.Tag("http.path", "/checkout")
	root.Tag("kunde", "Zoë 🌞 \"q\" \\ \t \u2028")
	root.Annotate(fixedTime(), "cart loaded: 価格")
	coupon := shop.StartSpan("coupon", now(), zipkin.Parent(root.Context()))
	zipkin.TagError.Set(coupon, "no such coupon")
	coupon.FinishedWithDuration(time.Millisecond)
	call := shop.StartSpan("POST /charge", now(), zipkin.Kind(model.Client), zipkin.Parent(root.Context()),
		zipkin.RemoteEndpoint(remote))
	// What the other process would read from the call's headers.
	joined := call.Context()
	served := bank.StartSpan("POST /charge", now(), zipkin.Kind(model.Server), zipkin.Parent(joined))
	served.FinishedWithDuration(time.Millisecond)
	call.FinishedWithDuration(time.Millisecond)
	sent := shop.StartSpan("announce", now(), zipkin.Kind(model.Producer), zipkin.Parent(root.Context()),
		zipkin.RemoteEndpoint(broker))
	sent.FinishedWithDuration(time.Millisecond)
	read := bank.StartSpan("read", now(), zipkin.Kind(model.Consumer), zipkin.Parent(sent.Context()),
		zipkin.RemoteEndpoint(broker))
	read.FinishedWithDuration(time.Millisecond)
	root.FinishedWithDuration(time.Millisecond)
	return nil
}
