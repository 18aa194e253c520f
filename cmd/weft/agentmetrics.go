package main

import (
	"context"
	"log/slog"

	"github.com/weft-cloud/weft/internal/agent"
	"github.com/weft-cloud/weft/internal/agent/tally"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/obs/metrics"
)

// What an agent tells. docs/metrics.md has the same list.
var (
	toldFeed        = metrics.Gauge("feed_connected", "1: the agent follows the server's feed.")
	toldConnects    = metrics.Counter("feed_connects_total", "How often the feed was connected.")
	toldUpdates     = metrics.Counter("feed_updates_total", "Changes that the feed brought.")
	toldBrought     = metrics.Gauge("feed_revision", "Revision of the newest change that the feed has brought; it brings those that concern this host.")
	toldDone        = metrics.Gauge("applied_revision", "Revision of the newest change that the data plane has carried out; it is behind by feed_revision less this.")
	toldInSync      = metrics.Gauge("in_sync", "1: the server has listed all that concerns this host since the agent started.")
	toldHostHeld    = metrics.Gauge("held", "1: nothing is deleted until weft server release.")
	toldApplies     = metrics.Counter("applies_total", "How often the data plane was given a state to carry out.")
	toldFailures    = metrics.Counter("apply_failures_total", "How often it could not as a whole, or not all of it.")
	toldApplyTook   = metrics.Gauge("apply_duration_seconds", "How long the last time took.")
	toldHostPorts   = metrics.Gauge("ports", "Ports of this host: programmed, not_programmed, or those whose interface is not there (no_interface).")
	toldScope       = metrics.Gauge("scope", "What this host knows of, by kind.")
	toldHostTrouble = metrics.Gauge("problems", "What this host could not carry out, counted.")
	toldPunts       = metrics.Counter("punts_total", "Packets that the data plane gave to the agent, by what became of them; received counts all.")
	toldAsked       = metrics.Counter("service_questions_total", "Questions of instances to DHCP, DNS, metadata and router advertisements.")
	toldLimited     = metrics.Counter("service_limited_total", "Questions that were not looked at, since their port asked too much.")
	toldExchanges   = metrics.Counter("service_exchanges_total", "Questions that were looked at, by service, and whether they were answered.")
	toldDrops       = metrics.Counter("dropped_packets_total", "Packets that the data plane dropped, by reason, since the host's tables were made.")
	toldDropBytes   = metrics.Counter("dropped_bytes_total", "Their bytes, from the Ethernet header on.")
	toldLost        = metrics.Counter("kernel_dropped_packets_total", "Packets that the kernel dropped behind the data plane, by where that is counted.")
	toldEntries     = metrics.Gauge("table_entries", "Entries in a table of the data plane; of connections as of the last look, some seconds ago.")
	toldRoom        = metrics.Gauge("table_room", "How many it has room for.")
)

// agentMetrics is what an agent's metrics are taken from.
type agentMetrics struct {
	agent *agent.Agent
	book  *tally.Book
	plane dataplane.Plane
	log   *slog.Logger
}

func (m *agentMetrics) tell(ctx context.Context, tell metrics.Tell) {
	if s, ok := m.agent.Status(ctx); ok {
		tellAgent(&s, tell)
	}
	t := m.book.Totals()
	tell(toldAsked, float64(t.Asked))
	tell(toldLimited, float64(t.Limited))
	for name, n := range t.Services {
		service := metrics.Label{Name: "service", Value: name}
		tell(toldExchanges, float64(n.Answered), service, metrics.Label{Name: "answered", Value: "yes"})
		tell(toldExchanges, float64(n.Unanswered), service, metrics.Label{Name: "answered", Value: "no"})
	}
	if p, ok := m.plane.(dataplane.Teller); ok {
		if err := tellDrops(p, tell); err != nil {
			m.log.Warn("drops are missing in the metrics", "error", err)
		}
	}
	if p, ok := m.plane.(dataplane.Filler); ok {
		for _, f := range p.Fill() {
			table := metrics.Label{Name: "table", Value: f.Table}
			tell(toldEntries, float64(f.Entries), table)
			tell(toldRoom, float64(f.Room), table)
		}
	}
}

func tellAgent(s *agent.Status, tell metrics.Tell) {
	tell(toldFeed, one(s.Server.Connected))
	tell(toldConnects, float64(s.Counts.Connects))
	tell(toldUpdates, float64(s.Counts.Updates))
	tell(toldBrought, float64(s.Position.Revision))
	tell(toldDone, float64(s.Applied.Revision))
	tell(toldInSync, one(s.InSync))
	tell(toldHostHeld, one(s.Held))
	tell(toldApplies, float64(s.Counts.Applies))
	tell(toldFailures, float64(s.Counts.Failures))
	tell(toldApplyTook, s.ApplyTook.Seconds())
	ports := map[string]int{"programmed": 0, "not_programmed": 0, "no_interface": 0}
	for _, e := range s.Endpoints {
		switch {
		case e.Programmed:
			ports["programmed"]++
		case e.Present:
			ports["not_programmed"]++
		default:
			ports["no_interface"]++
		}
	}
	for state, n := range ports {
		tell(toldHostPorts, float64(n), metrics.Label{Name: "state", Value: state})
	}
	for kind, n := range map[string]int{"network": s.Networks, "router": s.Routers, "peer": s.Peers, "neighbor": s.Neighbors} {
		tell(toldScope, float64(n), metrics.Label{Name: "kind", Value: kind})
	}
	tell(toldHostTrouble, float64(len(s.Problems)))
	for what, n := range s.Punts {
		tell(toldPunts, float64(n), metrics.Label{Name: "result", Value: what})
	}
}

// tellDrops tells of all ports together: which port drops is nobody's business who reads metrics; weft drops has it.
func tellDrops(p dataplane.Teller, tell metrics.Tell) error {
	drops, err := p.Drops()
	if err != nil {
		return err
	}
	sums := map[reason.Reason]dataplane.DropCount{}
	for _, d := range drops {
		sum := sums[d.Reason]
		sum.Packets += d.Packets
		sum.Bytes += d.Bytes
		sums[d.Reason] = sum
	}
	for why, n := range sums {
		label := metrics.Label{Name: "reason", Value: why.String()}
		tell(toldDrops, float64(n.Packets), label)
		tell(toldDropBytes, float64(n.Bytes), label)
	}
	lost, _, err := p.Lost()
	if err != nil {
		return err
	}
	bySource := map[string]uint64{}
	for _, l := range lost {
		bySource[l.Source] += l.Packets
	}
	for source, n := range bySource {
		tell(toldLost, float64(n), metrics.Label{Name: "source", Value: source})
	}
	return nil
}
