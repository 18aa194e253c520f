package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/weft-cloud/weft/internal/server/store"
)

// beatEvery is how often a server writes down which hosts it has heard of: what another server, or this one after a
// restart, knows of their being alive.
const beatEvery = 2 * time.Second

// rememberBeats keeps this server's row of heartbeats fresh until ctx is done. It tells the writer what came of it: a store that has
// gone away is noticed though nobody changes anything, and so is its return.
func (p *serverParts) rememberBeats(ctx context.Context) error {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		seen := map[string]int64{}
		for host, at := range p.live.All() {
			seen[host] = at.UnixMilli()
		}
		body, err := json.Marshal(seen)
		if err == nil {
			err = p.store.PutHeartbeats(ctx, []store.Heartbeat{{Server: p.cfg.Host, At: time.Now(), Body: body}})
		}
		if ctx.Err() != nil {
			return nil
		}
		p.writer.StoreTried(err)
		if err != nil {
			p.log.Warn("heartbeats were not written down; after a restart hosts look dead until they are heard of", "error", err)
		}
	}
}

// recallBeats reads what was last written down: a restart must not make all hosts look dead.
func (p *serverParts) recallBeats(ctx context.Context) {
	rows, err := p.store.Heartbeats(ctx)
	if err != nil {
		p.log.Warn("heartbeats cannot be read; hosts look dead until they are heard of", "error", err)
		return
	}
	for _, r := range rows {
		var seen map[string]int64
		if err := json.Unmarshal(r.Body, &seen); err != nil {
			continue // of another version; it is written anew within seconds
		}
		for host, at := range seen {
			p.live.Seen(host, time.UnixMilli(at))
		}
	}
}
