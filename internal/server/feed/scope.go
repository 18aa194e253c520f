package feed

import (
	"slices"

	"github.com/weft-cloud/weft/internal/server/world"
	"github.com/weft-cloud/weft/internal/wire"
)

// Scope is everything that a host is told of when the world is w and those hosts live, as the agent of that host would have it at rest. It
// is for those who want to know what a host must do without asking it (`weft trace`).
func Scope(w *world.World, alive func(host string) bool, host string) *wire.Update {
	bodies := map[key]body{}
	in := interestOf(w, host)
	outsideTopics(w, elect(w, alive), host, in)
	for t := range in {
		members(w, t, func(k key) {
			if b, ok := lookup(w, k); ok {
				bodies[k] = b
			}
		})
	}
	u := &wire.Update{Position: wire.FromPosition(w.Position())}
	for k, b := range bodies {
		u.Puts = append(u.Puts, &wire.Object{Kind: k.kind, Id: []byte(k.id), Version: b.version, Body: b.bytes})
	}
	slices.SortFunc(u.Puts, func(a, b *wire.Object) int {
		return compareKeys(key{a.Kind, string(a.Id)}, key{b.Kind, string(b.Id)})
	})
	return u
}
