package agent

import (
	"context"
	"log/slog"

	"github.com/weft-cloud/weft/internal/hostplan"
)

// saidAtOnce is how many problems are logged one by one at a time; one cause may lie behind thousands.
const saidAtOnce = 20

// say logs what has become a problem of this host since the last time, and what is none any more.
func (a *Agent) say() {
	c := &a.core
	list := c.found.Problems
	if c.done.state != nil {
		list = a.problems()
	}
	now := make(map[hostplan.Problem]bool, len(list))
	left := saidAtOnce
	for _, p := range list {
		if now[p] {
			continue
		}
		if now[p] = true; c.said[p] {
			continue
		}
		level := slog.LevelWarn
		if p.Kind == "bridge_mapping" { // nothing mends that by itself
			level = slog.LevelError
		}
		if left--; left >= 0 {
			a.Log.Log(context.Background(), level, "a problem of this host", "kind", p.Kind, "id", p.ID, "problem", p.Why)
		}
	}
	if left < 0 {
		a.Log.Warn("more problems of this host; see weft agent status", "count", -left)
	}
	left = saidAtOnce
	for p := range c.said {
		if now[p] {
			continue
		}
		if left--; left >= 0 {
			a.Log.Info("a problem of this host is over", "kind", p.Kind, "id", p.ID, "problem", p.Why)
		}
	}
	if left < 0 {
		a.Log.Info("more problems of this host are over", "count", -left)
	}
	c.said = now
}
