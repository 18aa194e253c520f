// Package metrics tells what a process counts as text that Prometheus reads, at GET /metrics of a listener of its own.
//
// Values that somebody keeps anyway are taken when they are asked for (Values); only requests are counted here. Labels name hosts,
// kinds, reasons and the like, of which there are few: never a tenant, nor anything of a tenant's. It knows nobody's types.
package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics is what one process tells.
type Metrics struct {
	registry *prometheus.Registry
}

// New tells of the process itself and of Go's runtime, and with weft_build_info the version.
func New(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.Values(func(_ context.Context, tell Tell) {
		tell(Gauge("build_info", "Always 1; the label is what weft version prints."), 1, Label{"version", version})
	})
	return m
}

// Label is a pair of a label's name and value.
type Label struct{ Name, Value string }

// Kind is one metric: its name without the prefix weft_, what it says, and whether it only grows.
type Kind struct {
	name, help string
	of         prometheus.ValueType
}

// Gauge is a Kind whose values come and go.
func Gauge(name, help string) Kind { return Kind{name, help, prometheus.GaugeValue} }

// Counter is a Kind whose values only grow while the process lives.
func Counter(name, help string) Kind { return Kind{name, help, prometheus.CounterValue} }

// Tell tells one value. All values of one Kind have the same names of labels, in the same order.
type Tell func(k Kind, v float64, labels ...Label)

// askedFor bounds how long the values of one answer are gathered.
const askedFor = 5 * time.Second

// Values adds what ask tells each time that somebody reads. It may be called by several goroutines at once; what it cannot find out before
// ctx ends it leaves out.
func (m *Metrics) Values(ask func(ctx context.Context, tell Tell)) {
	m.registry.MustRegister(values(ask))
}

type values func(ctx context.Context, tell Tell)

// Describe implements prometheus.Collector: what will be told is not known before.
func (values) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (v values) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), askedFor)
	defer cancel()
	v(ctx, func(k Kind, v float64, labels ...Label) {
		names, texts := make([]string, len(labels)), make([]string, len(labels))
		for i, l := range labels {
			names[i], texts[i] = l.Name, l.Value
		}
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc("weft_"+k.name, k.help, names, nil), k.of, v, texts...)
	})
}

// Listen opens a listener at host:port for Serve.
func Listen(at string) (net.Listener, error) {
	l, err := net.Listen("tcp", at)
	if err != nil {
		return nil, fmt.Errorf("listen for those who read metrics: %w; set [weft] metrics_bind to a free address of this machine", err)
	}
	return l, nil
}

// Serve answers GET /metrics on l until ctx is done.
func (m *Metrics) Serve(ctx context.Context, l net.Listener, log *slog.Logger) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4}))
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	defer context.AfterFunc(ctx, func() { s.Close() })()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("answer those who read metrics: %w", err)
	}
	return nil
}
