package verify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Journey is traffic between an instance and the outside, or from floating IP to floating IP.
type Journey struct {
	Name     string
	From, To Instance
	// Dst is what From sends to, SeenAs the source that To must see.
	Dst, SeenAs netip.Addr
	// TTL is the one with which a request must arrive.
	TTL int
	// Way and Back are the physical interfaces that a request and its reply must cross, in order, and no others.
	Way, Back []Crossing
	// Greets: To answers on port 80.
	Greets bool
}

// Crossing is a packet at a host's physical interface.
type Crossing struct {
	Host, NIC string
	Out       bool
	// Tunnel is what carries it; nil: it goes as it is.
	Tunnel *Tunnel
}

// Tunnel is a VXLAN tunnel between two hosts. Routed: the packet in it does not bear its sender's MAC.
type Tunnel struct {
	Src, Dst netip.Addr
	VNI      uint32
	Routed   bool
}

func (c Crossing) String() string {
	dir := "in"
	if c.Out {
		dir = "out"
	}
	s := c.Host + " " + c.NIC + " " + dir
	if c.Tunnel != nil {
		s += fmt.Sprintf(" (vni %d)", c.Tunnel.VNI)
	}
	return s
}

func describe(list []Crossing) string {
	if len(list) == 0 {
		return "none"
	}
	var out []string
	for _, c := range list {
		out = append(out, c.String())
	}
	return strings.Join(out, ", ")
}

// Through is a tunnel from one host to another as both see it.
func Through(from, to Host, vni uint32, routed bool) []Crossing {
	t := &Tunnel{Src: from.VTEP, Dst: to.VTEP, VNI: vni, Routed: routed}
	return []Crossing{{from.Name, from.NICs[0], true, t}, {to.Name, to.NICs[0], false, t}}
}

// Passage is what was measured of a Journey.
type Passage struct {
	Name   string `json:"name"`
	Family string `json:"family"`
	From   string `json:"from"`
	To     string `json:"to"`
	Dst    string `json:"dst"`
	// SeenAs is the source on arrival; "": nothing arrived.
	SeenAs string `json:"seen_as"`
	// Expected and Measured are the physical interfaces that a request crosses.
	Expected string  `json:"expected"`
	Measured string  `json:"measured"`
	RTT      float64 `json:"rtt_ms"`
	TTL      int     `json:"ttl"`
	OK       bool    `json:"ok"`
	Pair     Pair    `json:"pair"`
}

// journeyTasks are the tasks of the journeys.
func journeyTasks(list []Journey, first int) []*task {
	var out []*task
	for i := range list {
		j := &list[i]
		out = append(out, &task{id: uint32(first + i), from: j.From, to: j.To, v6: j.Dst.Is6(), journey: j}) //nolint:gosec // a few
	}
	return out
}

// target is where the task's packets go.
func (t *task) target() netip.Addr {
	if t.journey != nil {
		return t.journey.Dst
	}
	return t.to.addr(t.v6)
}

// judgeJourney compares one journey's packets with what it says.
func judgeJourney(p *task, seen []sighting) Passage {
	j := p.journey
	out := Passage{Name: j.Name, Family: family(p.v6), From: j.From.Name, To: j.To.Name, Dst: j.Dst.String(), Expected: describe(j.Way)}
	pair := Pair{From: j.From.Name, To: j.To.Name, Family: out.Family, Src: j.From.addr(p.v6).String(), Dst: out.Dst, Sent: p.result.sent, Got: p.result.got,
		RTT: float64(median(p.result.rtts)) / float64(time.Millisecond), HTTP: p.result.http, Faults: []string{}}
	fault := func(format string, args ...any) { pair.Faults = append(pair.Faults, fmt.Sprintf(format, args...)) }
	seq := showcase(seen)
	for _, s := range seen {
		switch {
		case s.seq != seq:
		case s.reply:
			pair.Reply = append(pair.Reply, s.hop)
		default:
			pair.Request = append(pair.Request, s.hop)
		}
	}
	inWayOrder(pair.Request, j.From.Name, j.Way)
	inWayOrder(pair.Reply, j.To.Name, j.Back)
	if pair.Got < pair.Sent || pair.Sent == 0 {
		fault("%d of %d requests were answered", pair.Got, pair.Sent)
	}
	out.SeenAs, pair.TTL = arrival(pair.Request, j.To.Name)
	switch {
	case out.SeenAs == "":
		fault("the request did not arrive in %s", j.To.Name)
	case out.SeenAs != j.SeenAs.String():
		fault("%s sees the request come from %s, not from %s", j.To.Name, out.SeenAs, j.SeenAs)
	case pair.TTL != j.TTL:
		fault("the request arrived with TTL %d, not %d", pair.TTL, j.TTL)
	}
	if src, _ := arrival(pair.Reply, j.From.Name); src != "" && src != j.Dst.String() {
		fault("%s sees the reply come from %s, not from %s", j.From.Name, src, j.Dst)
	}
	judgeCrossings("request", pair.Request, j.Way, "", fault)
	judgeCrossings("reply", pair.Reply, j.Back, "", fault)
	if want := "Hello from " + j.To.Name + " "; j.Greets && pair.Got > 0 && !strings.HasPrefix(pair.HTTP, want) {
		fault("TCP port 80 should greet with %q, but it says %q", want, pair.HTTP)
	}
	out.Measured, out.RTT, out.TTL, out.OK, out.Pair = crossed(pair.Request), pair.RTT, pair.TTL, pair.OK(), pair
	return out
}

// arrival is the source and the TTL of a packet as it came in to somebody; "": it did not.
func arrival(hops []Hop, at string) (src string, ttl int) {
	for _, h := range hops {
		if h.point.kind == guestPort && h.Where == at && !h.Out {
			src, ttl = h.Src, h.TTL
		}
	}
	return src, ttl
}

// crossed are the physical interfaces at which a packet was really seen.
func crossed(hops []Hop) string {
	var list []Crossing
	for _, h := range hops {
		if h.point.kind != hostNIC {
			continue
		}
		c := Crossing{Host: h.Where, NIC: h.Interface, Out: h.Out}
		if h.Outer != nil {
			c.Tunnel = &Tunnel{VNI: h.Outer.VNI}
		}
		list = append(list, c)
	}
	return describe(list)
}

func (c Crossing) is(h Hop) bool { return c.Host == h.Where && c.NIC == h.Interface && c.Out == h.Out }

// judgeCrossings checks what the physical interfaces saw against what they must: each once, and no others. sender is the MAC
// of who sent the packet; "": it is not looked at.
func judgeCrossings(what string, hops []Hop, want []Crossing, sender string, fault func(string, ...any)) {
	times := make([]int, len(want))
	for _, h := range hops {
		if h.point.kind != hostNIC {
			continue
		}
		i := slices.IndexFunc(want, func(c Crossing) bool { return c.is(h) })
		switch {
		case i < 0 && len(want) == 0:
			fault("the %s left the host: seen on %s %s", what, h.Where, h.Interface)
		case i < 0:
			fault("the %s was seen on %s %s", what, h.Where, h.Interface)
		default:
			times[i]++
			judgeOuter(what, h, want[i].Tunnel, sender, fault)
		}
	}
	for i, c := range want {
		verb := "reached"
		if c.Out {
			verb = "left"
		}
		if times[i] != 1 {
			fault("the %s %s %s %d times by %s", what, verb, c.Host, times[i], c.NIC)
		}
	}
}

func judgeOuter(what string, h Hop, want *Tunnel, sender string, fault func(string, ...any)) {
	switch {
	case want == nil && h.Outer == nil:
		return
	case want == nil:
		fault("the %s crossed %s %s in a tunnel", what, h.Where, h.Interface)
		return
	case h.Outer == nil:
		fault("the %s crossed %s %s outside of a tunnel", what, h.Where, h.Interface)
		return
	}
	if h.Outer.Src != want.Src.String() || h.Outer.Dst != want.Dst.String() {
		fault("the %s went in a tunnel from %s to %s, not from %s to %s", what, h.Outer.Src, h.Outer.Dst, want.Src, want.Dst)
	}
	if h.Outer.VNI != want.VNI {
		fault("the %s went with VNI %d; the network it goes to has %d", what, h.Outer.VNI, want.VNI)
	}
	if !h.Outer.DF {
		fault("the %s went in a tunnel without DF", what)
	}
	if sender != "" && (h.SrcMAC == sender) == want.Routed {
		fault("the %s went in a tunnel from MAC %s; the sender's is %s", what, h.SrcMAC, sender)
	}
}

// inWayOrder sorts hops by their place on a way that is known; what is not on it comes last.
func inWayOrder(hops []Hop, from string, way []Crossing) {
	rank := func(h Hop) int {
		switch h.point.kind {
		case guestPort:
			if h.Where == from {
				return -2
			}
			return len(way) + 1
		case hostPort:
			if !h.Out {
				return -1
			}
			return len(way)
		}
		if i := slices.IndexFunc(way, func(c Crossing) bool { return c.is(h) }); i >= 0 {
			return i
		}
		return len(way) + 2
	}
	slices.SortStableFunc(hops, func(a, b Hop) int { return rank(a) - rank(b) })
}
