package api

import (
	"sync"

	"github.com/weft-cloud/weft/internal/server/promise"
	"github.com/weft-cloud/weft/internal/server/world"
)

// warned are the gaps that the log has told of.
type warned struct{ names sync.Map }

// warn tells the client, in Warning headers (RFC 7234, section 5.5: 299 is a lasting warning), what an object asks for
// that nobody carries out; and the log, of each gap once in a server's life: status counts the objects. before is the
// object's former state, nil for a new one.
func (c *call) warn(w *world.World, v, before any) { c.tell(promise.Of(w, v, before)) }

// tell is warn of what somebody else has found.
func (c *call) tell(gaps []*promise.Gap) {
	for _, g := range gaps {
		text := `299 weft "` + g.Name + ": " + g.Why + `"`
		told := false
		for _, have := range c.w.Header()["Warning"] {
			told = told || have == text
		}
		if told {
			continue
		}
		c.w.Header().Add("Warning", text)
		if _, again := c.s.warned.names.LoadOrStore(g.Name, true); !again {
			c.s.deps.Log.Warn("a client asks for what no data plane carries out; weft server status counts such objects",
				"gap", g.Name, "why", g.Why, "project", c.by.Project, "requestID", c.requestID)
		}
	}
}
