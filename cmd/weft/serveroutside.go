package main

import (
	"context"
	"time"

	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

// outsideEvery is how often the server looks for what no agent can tell: dead gateway hosts, external networks without
// addresses, routers without a host.
const outsideEvery = 2 * time.Second

// hostProblem is what is wrong, and with which host; Host "": with the cloud.
type hostProblem struct {
	host string
	rules.Problem
}

// troubles are the server's own findings, and what the hosts' agents told last.
func (p *serverParts) troubles(w *world.World) map[hostProblem]bool {
	out := map[hostProblem]bool{}
	cloud := p.rules.Problems(w)
	for _, v := range cloud {
		out[hostProblem{"", v}] = true
	}
	for h := range w.Hosts.All() {
		for _, v := range p.problemsOf(w, h.Name, cloud) {
			out[hostProblem{h.Name, rules.Problem(v)}] = true
		}
	}
	return out
}

// logTroubles says what has come and what has gone of what is wrong.
func (p *serverParts) logTroubles(known, now map[hostProblem]bool) {
	for v := range now {
		if !known[v] {
			p.log.Warn("an object cannot be served", "host", v.host, "kind", v.Kind, "id", v.ID, "problem", v.Why)
		}
	}
	for v := range known {
		if !now[v] {
			p.log.Info("an object is served again", "host", v.host, "kind", v.Kind, "id", v.ID, "problem", v.Why)
		}
	}
}

// watchOutside logs what is wrong with the way out, and what agents say is wrong, when that begins and when it is over, and moves the
// routers of dead gateway hosts, if the configuration wants that, until ctx is done.
func (p *serverParts) watchOutside(ctx context.Context) error {
	tick := time.NewTicker(outsideEvery)
	defer tick.Stop()
	known := map[hostProblem]bool{}
	grace := time.Now().Add(p.cfg.AgentDownTime) // a host that is not heard of yet may be about to connect
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		w := p.writer.Snapshot()
		if p.cfg.Router.AutomaticL3Failover && time.Now().After(grace) && len(p.rules.Orphans(w)) > 0 {
			if _, err := p.writer.Do(ctx, "l3_failover", p.rules.Failover); err != nil && ctx.Err() == nil {
				p.log.Warn("routers of dead gateway hosts were not moved, will try again", "error", err)
			}
		}
		now := p.troubles(w)
		p.logTroubles(known, now)
		known = now
	}
}
