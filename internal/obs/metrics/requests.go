package metrics

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Requests counts the requests of an HTTP API and how long they took.
type Requests struct {
	total *prometheus.CounterVec
	took  *prometheus.HistogramVec
}

// Requests adds weft_api_requests_total and weft_api_request_duration_seconds.
func (m *Metrics) Requests() *Requests {
	r := &Requests{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weft_api_requests_total",
			Help: "Requests answered, by method, collection and status; status 499: the client had gone."}, []string{"method", "resource", "code"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "weft_api_request_duration_seconds",
			Help: "How long requests took, from their header to their answer's last byte.",
			// From an answer out of memory, over one that waits for the disk, to what a client gives up on.
			Buckets: []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10}}, []string{"method", "resource"}),
	}
	m.registry.MustRegister(r.total, r.took)
	return r
}

// Count counts one request. Clients may send any method; all that are unknown count as one.
func (r *Requests) Count(method, resource string, code int, took time.Duration) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	default:
		method = "other"
	}
	r.total.WithLabelValues(method, resource, strconv.Itoa(code)).Inc()
	r.took.WithLabelValues(method, resource).Observe(took.Seconds())
}
