package dptest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/forward"
	"github.com/weft-cloud/weft/internal/hostplan"
)

// ErrSkip, in what a Plane's Send returns, says that the frame cannot be put to the plane at all.
var ErrSkip = errors.New("the frame cannot be put to the plane")

// Differ compares planes with forward on random clouds and frames.
type Differ struct {
	// Plane gives the plane of one host, programmed with s, with empty tables.
	Plane func(s *hostplan.State) (Plane, error)
	// Limits of the clouds.
	Limits Limits
	// Frames is how many frames each cloud gets; 0 means 20.
	Frames int
	// Count, if not nil, is told of each comparison.
	Count func(s Stimulus, want Outcome)
}

// Check is one random cloud with its frames; it is a property for rapid.Check. What a frame makes come out of a tunnel
// enters the other host next, so that whole ways are compared.
func (d Differ) Check(t *rapid.T) {
	c := Topology(t, d.Limits)
	states := c.States()
	pairs := map[string]*pair{}
	for _, h := range c.Hosts {
		p, err := d.Plane(states[h.Name])
		if err != nil {
			t.Fatalf("program %s: %v\n%s", h.Name, err, Describe(c))
		}
		o := &Oracle{}
		_ = o.Apply(states[h.Name])
		pairs[h.Name] = &pair{o, p}
	}
	n := d.Frames
	if n == 0 {
		n = 20
	}
	g := NewTraffic(t, c)
	var sent []Stimulus
	for range n {
		s, ok := g.next(sent)
		if !ok {
			return
		}
		sent = append(sent, s)
		queue := []Stimulus{s}
		for len(queue) > 0 {
			s, queue = queue[0], queue[1:]
			queue = append(queue, d.compare(t, c, states, pairs[s.Host], s)...)
		}
	}
}

// pair is a host's oracle and the plane that is compared with it.
type pair struct {
	oracle *Oracle
	plane  Plane
}

// next is a new frame, or one that was sent before: the second packet of a flow goes another way in a plane.
func (g *Traffic) next(sent []Stimulus) (Stimulus, bool) {
	if len(sent) > 0 && g.count("again", 0, 3) == 0 {
		return pickOne(&g.drawer, "which", sent), true
	}
	return g.Next()
}

// compare puts one frame to both and returns what it makes enter other hosts.
func (d Differ) compare(t *rapid.T, c *Cloud, states map[string]*hostplan.State, p *pair, s Stimulus) []Stimulus {
	got, err := p.plane.Send(s.In, s.Frame)
	if errors.Is(err, ErrSkip) {
		return nil
	}
	want, _ := p.oracle.Send(s.In, s.Frame)
	if err != nil {
		t.Fatalf("send: %v\n%s", err, d.report(c, p, s))
	}
	names := c.Names()
	if diff := cmp.Diff(want.text(names), got.text(names)); diff != "" {
		t.Fatalf("plane and forward disagree (-forward +plane)\n%s\n%s", diff, d.report(c, p, s))
	}
	if d.Count != nil {
		d.Count(s, want)
	}
	var next []Stimulus
	for _, o := range want.Outputs {
		if o.Kind == forward.Tunnel {
			next = append(next, Stimulus{o.Peer, forward.FromTunnel(o.VNI, states[s.Host].VTEP), o.Frame})
		}
	}
	return next
}

func (d Differ) report(c *Cloud, p *pair, s Stimulus) string {
	var b strings.Builder
	path := forward.Path{From: s.In.Port, Hops: []forward.Hop{{Host: s.Host, In: s.In, Frame: s.Frame, Result: p.oracle.Last}}}
	_ = path.Render(&b, c.Names())
	return fmt.Sprintf("forward says:\n%sframe:\n%s%s", b.String(), dump(s.Frame), Describe(c))
}

// Describe is the cloud in words.
func Describe(c *Cloud) string {
	var b strings.Builder
	for _, h := range c.Hosts {
		fmt.Fprintf(&b, "host %s: VTEP %s, DVR MAC %s, none %v\n", h.Name, h.VTEP, DVRMAC(h.Name), h.NoDVR)
	}
	for _, n := range c.Networks {
		fmt.Fprintf(&b, "network %s: VNI %d, MTU %d, subnets %v, advertised %v, managed %v\n", n.Name, n.VNI, n.MTU, n.Subnets, n.Advertised, n.Managed)
	}
	for _, r := range c.Routers {
		fmt.Fprintf(&b, "router %s: down %v\n", r.Name, r.Down)
		for _, f := range r.Interfaces {
			fmt.Fprintf(&b, "  on %s: %s %v\n", f.Network, LegMAC(r.Name, f.Network), f.Addresses)
		}
		for _, x := range r.Routes {
			fmt.Fprintf(&b, "  route %s via %s on %s, blackhole %v\n", x.Dst, x.Via, x.Network, x.Blackhole)
		}
	}
	for _, p := range c.Ports {
		fmt.Fprintf(&b, "port %s: %s on host %q, network %s, %v, pairs %v, down %v, open %v, DHCP %v, no groups %v\n", p.Name, PortMAC(p.Name), p.Host,
			p.Network, p.Addresses, p.Pairs, p.Down, p.Open, p.DHCP, p.NoGroups)
		if p.Policy == nil {
			continue
		}
		fmt.Fprintf(&b, "  stateful %v\n", p.Policy.Stateful)
		for _, r := range p.Policy.Rules {
			fmt.Fprintf(&b, "  rule %s: %s\n", r.ID, ruleText(r))
		}
	}
	for _, s := range c.Sets {
		fmt.Fprintf(&b, "set %s (%s): %v\n", s.Name, SetID(s.Name), s.Prefixes)
	}
	return b.String()
}
