// Scrapes as Prometheus does, by its own packages: the targets of a configuration's static_configs, until it is ended.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/logging"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(file string) error {
	settings, err := config.LoadFile(file, false, promslog.NewNopLogger())
	if err != nil {
		return err
	}
	jobs, err := settings.GetScrapeConfigs()
	if err != nil {
		return err
	}
	groups := map[string][]*targetgroup.Group{}
	for _, job := range jobs {
		for _, found := range job.ServiceDiscoveryConfigs {
			if static, ok := found.(discovery.StaticConfig); ok {
				groups[job.JobName] = append(groups[job.JobName], static...)
			}
		}
	}
	options := &scrape.Options{DiscoveryReloadOnStartup: true}
	manager, err := scrape.NewManager(options, slog.Default(), logging.NewJSONFileLogger, nil, nowhere{}, prometheus.NewRegistry())
	if err != nil {
		return err
	}
	if err := manager.ApplyConfig(settings); err != nil {
		return err
	}
	found := make(chan map[string][]*targetgroup.Group, 1)
	found <- groups
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, os.Interrupt)
	go func() {
		<-ended
		manager.Stop()
	}()
	return manager.Run(found)
}

// nowhere keeps nothing of what is scraped.
type nowhere struct{}

func (nowhere) AppenderV2(context.Context) storage.AppenderV2 { return nowhere{} }

func (nowhere) Append(_ storage.SeriesRef, _ labels.Labels, _, _ int64, _ float64, _ *histogram.Histogram, _ *histogram.FloatHistogram, _ storage.AppendV2Options) (storage.SeriesRef, error) {
	return 0, nil
}

func (nowhere) Commit() error   { return nil }
func (nowhere) Rollback() error { return nil }
