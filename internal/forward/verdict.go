package forward

import "github.com/weft-cloud/weft/internal/dataplane/reason"

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
			if o.Kind != Tunnel {
				return true
			}
		}
	}
	return false
}

// Where is where an output goes, in words.
func (o Output) Where() string { return o.where() }
