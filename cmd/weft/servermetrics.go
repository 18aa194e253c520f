package main

import (
	"context"
	"time"

	"github.com/weft-cloud/weft/internal/obs/metrics"
)

// What a server tells beside its requests. docs/metrics.md has the same list.
var (
	toldRevision  = metrics.Gauge("store_revision", "Revision of the newest durable write.")
	toldWritable  = metrics.Gauge("store_writable", "1: the last write to the store succeeded; 0: it did not, and what is read may be old.")
	toldObjects   = metrics.Gauge("objects", "Objects of the API, by kind.")
	toldAlive     = metrics.Gauge("agent_alive", "1: the host's agent was heard of within agent_down_time.")
	toldConnected = metrics.Gauge("agent_connected", "1: the host's agent follows the feed.")
	toldHeld      = metrics.Gauge("agent_held", "1: the host deletes nothing until weft server release.")
	toldSeen      = metrics.Gauge("agent_last_seen_seconds", "How long ago the host's agent was heard of; missing if it never was.")
	toldApplied   = metrics.Gauge("agent_applied_revision", "Revision of the newest change that the host's data plane has carried out; later ones may not concern it.")
	toldOffset    = metrics.Gauge("agent_clock_offset_seconds", "The agent's clock less the server's.")
	toldPorts     = metrics.Gauge("agent_ports", "Ports of the host.")
	toldProblems  = metrics.Gauge("agent_problems", "What the host could not carry out, counted.")
)

// newMetrics is what the server tells; nil if nobody is to read it.
func (p *serverParts) newMetrics() *metrics.Metrics {
	if p.cfg.MetricsBind == "" {
		return nil
	}
	m := metrics.New(version())
	m.Values(p.tell)
	return m
}

func (p *serverParts) tell(ctx context.Context, tell metrics.Tell) {
	w := p.writer.Snapshot()
	tell(toldRevision, float64(w.Position().Revision))
	tell(toldWritable, one(p.writer.StoreError() == nil))
	for kind, n := range w.Counts() {
		tell(toldObjects, float64(n), metrics.Label{Name: "kind", Value: string(kind)})
	}
	for _, a := range p.agents(ctx, w, p.rules.Problems(w)) {
		host := metrics.Label{Name: "host", Value: a.Host}
		tell(toldAlive, one(a.Alive), host)
		tell(toldConnected, one(a.Connected), host)
		tell(toldHeld, one(a.Held), host)
		if a.LastSeen.IsZero() {
			continue
		}
		tell(toldSeen, time.Since(a.LastSeen).Seconds(), host)
		tell(toldApplied, float64(a.Applied), host)
		tell(toldOffset, a.ClockOffset.Seconds(), host)
		tell(toldPorts, float64(a.Ports), host)
		tell(toldProblems, float64(len(a.Problems)), host)
	}
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
