package main

import (
	"context"
	"time"

	"github.com/weft-cloud/weft/internal/server/rules"
)

// outsideEvery is how often the server looks for what no agent can tell: dead gateway hosts, external networks without
// addresses, routers without a host.
const outsideEvery = 2 * time.Second

// watchOutside logs what is wrong with the way out when that begins and when it is over, and moves the routers of dead gateway
// hosts, if the configuration wants that, until ctx is done.
func (p *serverParts) watchOutside(ctx context.Context) error {
	tick := time.NewTicker(outsideEvery)
	defer tick.Stop()
	known := map[rules.Problem]bool{}
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
		now := map[rules.Problem]bool{}
		for _, v := range p.rules.Problems(w) {
			now[v] = true
			if !known[v] {
				p.log.Warn("an object cannot be served", "kind", v.Kind, "id", v.ID, "problem", v.Why)
			}
		}
		for v := range known {
			if !now[v] {
				p.log.Info("an object is served again", "kind", v.Kind, "id", v.ID, "problem", v.Why)
			}
		}
		known = now
	}
}
