package forward

import (
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
)

// Verdict is the path in one line, as Render ends with.
func (p Path) Verdict(names Names) string {
	if names == nil {
		return p.verdict()
	}
	return named(p.verdict(), names)
}

// Arrives reports whether somebody got the packet: a port, the host's own services, or a router that answered it. A
// router's refusal does not count.
func (p Path) Arrives() bool {
	if p.Reason() != reason.None {
		return false
	}
	for _, h := range p.Hops {
		for _, o := range h.Outputs {
			if o.Kind != Tunnel && !o.beside() {
				return true
			}
		}
	}
	return false
}

// beside reports whether user space is only told of the packet, beside what becomes of it.
func (o Output) beside() bool {
	return o.Kind == Punt && (o.Punt == dataplane.PuntNeighbor || o.Punt == dataplane.PuntAsk)
}

// taken reports whether user space has the packet, and nobody else.
func (p Path) taken() bool {
	for _, h := range p.Hops {
		for _, o := range h.Outputs {
			if o.Kind == Punt && o.Central.IsZero() && !o.beside() {
				return true
			}
		}
	}
	return false
}

// Where is where an output goes, in words.
func (o Output) Where() string { return o.where() }
