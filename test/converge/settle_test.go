package converge

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weft-cloud/weft/internal/server/world"
)

// A machine that is busy with other tests is slow, not wrong: what is waited for is that nothing has moved for still. What moves without
// end is a defect as well.
const (
	still   = 20 * time.Second
	endless = 2 * time.Minute
)

// settle waits until nothing is wrong, and fails with all that is when that comes no nearer.
func (c *cloud) settle(v *tenancy) {
	begin := time.Now()
	var last string
	for moved := begin; ; time.Sleep(5 * time.Millisecond) {
		c.bury()
		w := c.writer.Snapshot()
		wrong := c.wrong(w, v)
		if wrong == "" {
			return
		}
		if now := wrong + c.positions(); now != last {
			last, moved = now, time.Now()
		}
		if time.Since(moved) > still || time.Since(begin) > endless {
			c.t.Fatalf("not settled after %v, the last change was %v ago\n%s\nthe hosts:\n%s", time.Since(begin), time.Since(moved), wrong, c.positions())
		}
	}
}

// wrong names everything that is not as it must end; "": nothing.
func (c *cloud) wrong(w *world.World, v *tenancy) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(c.hosts)) {
		h := c.hosts[name]
		if h.stop == nil {
			continue
		}
		if d := c.differs(h, w); d != "" {
			all = append(all, name+" (-fresh +here):\n"+d)
		}
	}
	if len(all) == 0 { // what follows needs every live host to have a State
		all = append(all, c.untrue(w), c.unserved(w, v))
	}
	return strings.TrimSpace(strings.Join(all, "\n"))
}

// positions says of each host whether it lives and how far it has heard.
func (c *cloud) positions() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c.hosts)) {
		h := c.hosts[name]
		fmt.Fprintf(&b, "%s: lives %v", name, h.stop != nil)
		if s := h.state.Load(); s != nil {
			fmt.Fprintf(&b, ", at %v", s.Position)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// bury lets time pass once more if a dead host passes for alive: on a busy machine the server may come to a host's last report only
// after its death.
func (c *cloud) bury() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, alive := range c.alive {
		if _, seen := c.live.Alive(name); seen && !alive {
			c.age()
			return
		}
	}
}
