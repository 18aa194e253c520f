package dptest

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/forward"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// ErrSkip, in what a Plane's Send returns, says that the frame cannot be put to the plane at all.
var ErrSkip = errors.New("the frame cannot be put to the plane")

// Differ compares planes with forward on random clouds and frames.
type Differ struct {
	// Plane gives the plane of one host, programmed with s, with empty tables.
	Plane func(s *hostplan.State) (Plane, error)
	// Limits of the clouds.
	Limits Limits
	// Changes lets the clouds change between frames.
	Changes bool
	// Frames is how many frames each cloud gets; 0 means 20.
	Frames int
	// Count, if not nil, is told of each comparison.
	Count func(s Stimulus, want forward.Result)
}

// Check is one random cloud with its frames; it is a property for rapid.Check. What a frame makes come out of a tunnel
// enters the other host next, so that whole ways are compared; what is delivered may be answered, so that there are
// conversations; and between frames the cloud changes.
func (d Differ) Check(t *rapid.T) {
	c := Topology(t, d.Limits)
	g := NewTraffic(t, c)
	g.limits = d.Limits
	r := &difference{Differ: d, t: t, g: g, c: c, states: c.States(), pairs: map[string]*pair{}}
	for _, h := range c.Hosts {
		p, err := d.Plane(r.states[h.Name])
		if err != nil {
			t.Fatalf("program %s: %v\n%s", h.Name, err, Describe(c))
		}
		o := &Oracle{}
		_ = o.Apply(r.states[h.Name])
		r.pairs[h.Name] = &pair{o, p}
		r.learn(h.Name)
	}
	n := d.Frames
	if n == 0 {
		n = 20
	}
	for range n {
		if d.Changes && g.rarely("change") {
			r.change()
		}
		if d.Changes {
			r.pass()
		}
		s, ok := r.next()
		if !ok {
			return
		}
		r.sent = append(r.sent, s)
		r.before = append(r.before, s.Host+" "+forward.Summary(s.Frame))
		queue := []Stimulus{s}
		for len(queue) > 0 {
			s, queue = queue[0], queue[1:]
			queue = append(queue, r.compare(s)...)
		}
	}
}

// difference is one run of Check.
type difference struct {
	Differ
	t         *rapid.T
	g         *Traffic
	c         *Cloud
	states    map[string]*hostplan.State
	pairs     map[string]*pair
	sent      []Stimulus
	delivered []delivery
	// before is what was sent and what was changed, in words and in order.
	before []string
	// grown: an address joined a set, maybe. Then a decision made before may credit another rule.
	grown bool
	// aged: connections ended by time. Then a remembered decision may credit the rule that opened the former one of the same name.
	aged bool
}

// pair is a host's oracle and the plane that is compared with it.
type pair struct {
	oracle *Oracle
	plane  Plane
}

// inOrder are the keys of a map, sorted: what draws from rapid must do so in the same order each time, or a seed repeats nothing.
func inOrder[V any](m map[model.NetworkID]V) []model.NetworkID {
	return slices.SortedFunc(maps.Keys(m), func(a, b model.NetworkID) int { return a.Compare(b.UUID) })
}

// learn lets a host know some of who is outside.
func (r *difference) learn(host string) {
	externals := r.states[host].Externals
	for _, id := range inOrder(externals) {
		x := externals[id]
		for i, a := range []netip.Addr{OutsideRouter, OutsideRouter6, netip.MustParseAddr("203.0.113.50"), netip.MustParseAddr("2001:db8:e::50")} {
			if i > 1 && r.g.coin("not known") {
				continue
			}
			mac := OutsideRouterMAC
			mac[4] = byte(r.g.count("MAC outside", 0, 2))
			p := r.pairs[host]
			_ = p.oracle.Learn(x.ID, a, mac)
			if err := p.plane.Learn(x.ID, a, mac); err != nil {
				r.t.Fatalf("learn on %s: %v", host, err)
			}
		}
	}
}

// learnMachines lets a host know some machines of provider networks.
func (r *difference) learnMachines(host string) {
	p := r.pairs[host]
	networks := r.states[host].Networks
	for _, id := range inOrder(networks) {
		n := networks[id]
		if n.Physnet == "" || len(n.Subnets) == 0 || r.g.coin("no machine known") {
			continue
		}
		for _, s := range n.Subnets {
			a := Subnet{Prefix: s.Prefix}.host(99)
			_ = p.oracle.Learn(n.ID, a, machineMAC)
			if err := p.plane.Learn(n.ID, a, machineMAC); err != nil {
				r.t.Fatalf("learn on %s: %v", host, err)
			}
		}
	}
}

// change does something to the cloud and applies it everywhere.
func (r *difference) change() {
	before := Describe(r.c)
	r.grown = r.g.change() || r.grown
	r.before = append(r.before, changed(before, Describe(r.c))...)
	r.g.refresh()
	r.states = r.c.States()
	for _, h := range r.c.Hosts { // not the map: see inOrder
		name, p := h.Name, r.pairs[h.Name]
		if err := p.plane.Apply(r.states[name]); err != nil {
			r.t.Fatalf("apply on %s: %v\n%s", name, err, Describe(r.c))
		}
		_ = p.oracle.Apply(r.states[name])
		if r.g.coin("learn again") {
			r.learn(name)
			r.learnMachines(name)
		}
	}
}

// pass lets time pass, rarely, if the planes can.
func (r *difference) pass() {
	when := r.g.count("time", 0, 63)
	if when < 62 {
		return
	}
	r.before = append(r.before, map[int]string{62: "a second passes", 63: "all time-outs pass"}[when])
	r.aged = r.aged || when == 63
	for _, h := range r.c.Hosts {
		p := r.pairs[h.Name]
		plane, ok := p.plane.(Aging)
		if !ok {
			return
		}
		for _, a := range []Aging{p.oracle, plane} {
			do := a.Settle
			if when == 63 {
				do = a.Expire
			}
			if err := do(); err != nil {
				r.t.Fatalf("let time pass on %s: %v", h.Name, err)
			}
		}
	}
}

// next is a new frame, or one that was sent before (the second packet of a flow goes another way in a plane), or an answer.
func (r *difference) next() (Stimulus, bool) {
	kind := r.g.count("again or answer", 0, 7)
	if kind < 2 && len(r.sent) > 0 {
		return pickOne(&r.g.drawer, "which", r.sent), true
	}
	if kind < 6 && len(r.delivered) > 0 {
		// A conversation goes on with what came last.
		last := r.delivered[max(0, len(r.delivered)-4):]
		if s, ok := r.g.answer(pickOne(&r.g.drawer, "answered", last)); ok {
			return s, true
		}
	}
	return r.g.Next()
}

// compare puts one frame to both and returns what it makes enter other hosts.
func (r *difference) compare(s Stimulus) []Stimulus {
	p := r.pairs[s.Host]
	got, err := p.plane.Send(s.In, s.Frame)
	if errors.Is(err, ErrSkip) {
		return nil
	}
	conns, learned := p.oracle.conns, p.oracle.learned
	want, _ := p.oracle.Send(s.In, s.Frame)
	if err != nil {
		r.t.Fatalf("send: %v\n%s", err, r.report(p, s))
	}
	got = got.sent()
	if r.grown && slices.Contains(p.oracle.Last.Others, got.Rule) {
		want.Rule = got.Rule
	}
	if r.aged && got.Cached && !got.Rule.IsZero() && !want.Rule.IsZero() {
		want.Rule = got.Rule
	}
	if p.oracle.Last.Lingers && got.Cached {
		p.oracle.conns, p.oracle.learned = conns, learned // the plane looked at none
		return nil
	}
	if !want.equal(got) {
		names := r.c.Names()
		r.t.Fatalf("plane and forward disagree (-forward +plane)\n%s\n%s", cmp.Diff(want.text(names), got.text(names)), r.report(p, s))
	}
	if r.Count != nil {
		r.Count(s, p.oracle.Last)
	}
	var next []Stimulus
	for _, o := range want.Outputs {
		switch o.Kind {
		case forward.Tunnel:
			in := forward.FromTunnel(o.VNI, r.states[s.Host].VTEP)
			in.Segment = s.In.Segment
			next = append(next, Stimulus{o.Peer, in, o.Frame})
		case forward.Deliver:
			r.delivered = append(r.delivered, delivery{s.Host, forward.FromPort(o.Port), o.Frame})
		case forward.Outside:
			r.delivered = append(r.delivered, delivery{s.Host, forward.FromNIC(o.Physnet, o.VLAN), o.Frame})
		default:
		}
	}
	return next
}

func (r *difference) report(p *pair, s Stimulus) string {
	var b strings.Builder
	b.WriteString("frames and changes before:\n")
	for _, x := range r.before {
		fmt.Fprintf(&b, "  %s\n", x)
	}
	path := forward.Path{From: s.In.Port, Hops: []forward.Hop{{Host: s.Host, In: s.In, Frame: s.Frame, Result: p.oracle.Last}}}
	b.WriteString("forward says:\n")
	_ = path.Render(&b, r.c.Names())
	return fmt.Sprintf("%sframe, segments of %d:\n%s%s", b.String(), s.In.Segment, dump(s.Frame), Describe(r.c))
}

// changed are the lines of a cloud's description that went and came.
func changed(before, after string) (out []string) {
	was, is := strings.Split(before, "\n"), strings.Split(after, "\n")
	for _, l := range was {
		if !slices.Contains(is, l) {
			out = append(out, "change - "+l)
		}
	}
	for _, l := range is {
		if !slices.Contains(was, l) {
			out = append(out, "change + "+l)
		}
	}
	return out
}

// Describe is the cloud in words.
func Describe(c *Cloud) string {
	var b strings.Builder
	for _, h := range c.Hosts {
		fmt.Fprintf(&b, "host %s: VTEP %s, DVR MAC %s, none %v\n", h.Name, h.VTEP, DVRMAC(h.Name), h.NoDVR)
	}
	for _, n := range c.Networks {
		fmt.Fprintf(&b, "network %s: VNI %d, physical network %q, VLAN %d, MTU %d, subnets %v, advertised %v, managed %v, services %v\n", n.Name, n.VNI, n.Physnet, n.VLAN, n.MTU, n.Subnets, n.Advertised, n.Managed, n.Services)
	}
	for _, r := range c.Routers {
		fmt.Fprintf(&b, "router %s: down %v\n", r.Name, r.Down)
		if r.Gateway != nil {
			fmt.Fprintf(&b, "  gateway %s on host %q: %v\n", GatewayMAC(r.Name), r.Gateway.Host, r.Gateway.Addresses)
		}
		for _, f := range r.Interfaces {
			fmt.Fprintf(&b, "  on %s: %s %v\n", f.key(), LegMAC(r.Name, f.key()), f.Addresses)
		}
		for _, x := range r.Routes {
			fmt.Fprintf(&b, "  route %s via %s on %s, blackhole %v\n", x.Dst, x.Via, x.Network, x.Blackhole)
		}
	}
	for _, x := range c.Externals {
		fmt.Fprintf(&b, "external %s (%s): %s, VLAN %d, MTU %d\n", x.Name, ExternalID(x.Name), x.Physnet, x.VLAN, x.mtu())
	}
	for _, p := range c.Proxies {
		fmt.Fprintf(&b, "NDP proxy %s of router %s: port %q, central %v\n", p.Address, p.Router, p.Port, p.Central)
	}
	for _, f := range c.FloatingIPs {
		fmt.Fprintf(&b, "floating IP %s (%s) of router %s: port %q %s, central %v\n", f.Address, FloatingMAC(f.Address), f.Router, f.Port, f.Fixed, f.Central)
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
