package verify

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The four kinds of traffic, in the words of the reference table.
func kindOf(sameSubnet, sameHost bool) string {
	switch {
	case sameSubnet && sameHost:
		return "virtual switch"
	case sameSubnet:
		return "tunnel"
	default:
		return "DVR on the compute node"
	}
}

func word(same bool) string {
	if same {
		return "same"
	}
	return "different"
}

func family(v6 bool) string {
	if v6 {
		return "IPv6"
	}
	return "IPv4"
}

// judge fills the report from what was seen.
func (r *Report) judge(t Topology, pairs, probes []*task, seen []sighting) {
	byTask := map[uint32][]sighting{}
	for _, s := range seen {
		byTask[s.task] = append(byTask[s.task], s)
	}
	r.OK = r.Dropped == 0
	for _, v6 := range []bool{false, true} {
		for _, k := range [][2]bool{{true, true}, {true, false}, {false, true}, {false, false}} {
			var of []*Pair
			for _, p := range pairs {
				if p.v6 == v6 && (p.from.NetworkID == p.to.NetworkID) == k[0] && (p.from.Host == p.to.Host) == k[1] {
					pair := judgePair(t, p, byTask[p.id])
					r.Pairs = append(r.Pairs, pair)
					of = append(of, &pair)
				}
			}
			if len(of) > 0 {
				row := makeRow(of)
				row.Subnet, row.Host, row.Family, row.Expected = word(k[0]), word(k[1]), family(v6), kindOf(k[0], k[1])
				r.Rows = append(r.Rows, row)
				r.OK = r.OK && row.OK
			}
		}
	}
	r.Isolation = judgeIsolation(t, pairs, probes, byTask)
	r.OK = r.OK && r.Isolation.OK && len(r.Rows) > 0
}

func makeRow(of []*Pair) Row {
	row := Row{Pairs: len(of), Example: of[0], VNIs: []int{}}
	var rtts []float64
	measured := map[string]int{}
	for _, p := range of {
		if p.OK() {
			row.Good++
		} else if row.Example.OK() {
			row.Example = p // a fault is what its reader wants to see
		}
		if p.Got > 0 {
			rtts = append(rtts, p.RTT)
		}
		measured[describePath(p)]++
		row.ControllerSaw += p.ControllerSaw
		for _, h := range p.Request {
			if v := vni(h); v > 0 && !slices.Contains(row.VNIs, v) {
				row.VNIs = append(row.VNIs, v)
			}
		}
	}
	slices.Sort(row.VNIs)
	row.RTT, row.TTL = median(rtts), row.Example.TTL
	for path := range measured {
		row.Measured += path + "; "
	}
	if row.Measured = strings.TrimSuffix(row.Measured, "; "); len(measured) > 1 {
		row.Measured = describePath(row.Example) + fmt.Sprintf(" (and %d other ways)", len(measured)-1)
	}
	row.OK = row.Good == row.Pairs
	return row
}

func vni(h Hop) int {
	if h.Outer == nil {
		return 0
	}
	return int(h.Outer.VNI)
}

// describePath says in the reference table's words what the request's hops show.
func describePath(p *Pair) string {
	if p.TTL == 0 {
		return "did not arrive"
	}
	routed := p.TTL < 64
	tunnel, controller := false, p.ControllerSaw > 0
	for _, h := range p.Request {
		tunnel = tunnel || h.Outer != nil
	}
	switch {
	case controller:
		return "through the network node"
	case routed && tunnel:
		return "DVR on the compute node, then tunnel"
	case routed:
		return "DVR on the compute node"
	case tunnel:
		return "tunnel"
	}
	return "virtual switch"
}

// judgePair compares one pair's packets with the way that they must take.
func judgePair(t Topology, p *task, seen []sighting) Pair {
	out := Pair{From: p.from.Name, To: p.to.Name, Family: family(p.v6), Src: p.from.addr(p.v6).String(), Dst: p.to.addr(p.v6).String(),
		Sent: p.result.sent, Got: p.result.got, RTT: float64(median(p.result.rtts)) / float64(time.Millisecond), HTTP: p.result.http, Faults: []string{}}
	seq := showcase(seen)
	for _, s := range seen {
		if isController(t, s.hop.Where) {
			out.ControllerSaw++
		}
		if s.seq != seq {
			continue
		}
		if s.reply {
			out.Reply = append(out.Reply, s.hop)
		} else {
			out.Request = append(out.Request, s.hop)
		}
	}
	inOrder(out.Request, p.from.Name)
	inOrder(out.Reply, p.to.Name)
	fault := func(format string, args ...any) { out.Faults = append(out.Faults, fmt.Sprintf(format, args...)) }
	if out.Got < out.Sent || out.Sent == 0 {
		fault("%d of %d requests were answered", out.Got, out.Sent)
	}
	if out.ControllerSaw > 0 {
		fault("the controller saw %d packets", out.ControllerSaw)
	}
	out.TTL = judgeWay(t, way{"request", p.from, p.to}, out.Request, fault)
	judgeWay(t, way{"reply", p.to, p.from}, out.Reply, fault)
	if want := "Hello from " + p.to.Name + " "; out.Got > 0 && !strings.HasPrefix(out.HTTP, want) {
		fault("TCP port 80 should greet with %q, but it says %q", want, out.HTTP)
	}
	return out
}

// inOrder sorts hops by their place on the way from that instance. Time alone would not do: the kernel stamps a frame
// either where it is or only when it is read, and two captures are read by two threads.
func inOrder(hops []Hop, from string) {
	rank := func(h Hop) int {
		switch {
		case h.point.kind == guestPort && h.Where == from:
			return 0
		case h.point.kind == hostPort && !h.Out:
			return 1
		case h.point.kind == hostNIC && h.Out:
			return 2
		case h.point.kind == hostNIC:
			return 3
		case h.point.kind == hostPort:
			return 4
		}
		return 5
	}
	slices.SortStableFunc(hops, func(a, b Hop) int { return rank(a) - rank(b) })
}

// showcase is the packet whose path is shown: the last one measured.
func showcase(seen []sighting) uint16 {
	best, found := uint16(0), false
	for _, s := range seen {
		if s.seq < warmUpSeq && (!found || s.seq > best) {
			best, found = s.seq, true
		}
	}
	if !found && len(seen) > 0 {
		return seen[len(seen)-1].seq
	}
	return best
}

func isController(t Topology, where string) bool {
	return slices.ContainsFunc(t.Hosts, func(h Host) bool { return h.Name == where && h.Controller })
}

// way is one direction between two instances.
type way struct {
	what     string
	from, to Instance
}

// judgeWay checks the hops of one packet; it returns the TTL with which it arrived, 0 if it did not.
func judgeWay(t Topology, w way, hops []Hop, fault func(string, ...any)) (ttl int) {
	routed := w.from.NetworkID != w.to.NetworkID
	want := 64
	if routed {
		want = 63
	}
	arrived := false
	for _, h := range hops {
		if h.point.kind == guestPort && h.Where == w.to.Name && !h.Out {
			arrived, ttl = true, h.TTL
			if h.TTL != want {
				fault("the %s arrived with TTL %d, not %d", w.what, h.TTL, want)
			}
			if h.DstMAC != w.to.MAC {
				fault("the %s arrived for MAC %s, not %s", w.what, h.DstMAC, w.to.MAC)
			}
			if own := h.SrcMAC == w.from.MAC; own == routed {
				fault("the %s arrived from MAC %s; the sender's is %s", w.what, h.SrcMAC, w.from.MAC)
			}
		} else if h.point.kind == guestPort && h.Where != w.from.Name {
			fault("the %s was seen in %s", w.what, h.Where)
		}
	}
	if !arrived {
		fault("the %s did not arrive in %s", w.what, w.to.Name)
	}
	judgeWire(t, w, hops, fault)
	return ttl
}

// judgeWire checks what the hosts' physical interfaces saw: nothing within a host, else just one packet leaving and
// arriving in a tunnel between the two hosts.
func judgeWire(t Topology, w way, hops []Hop, fault func(string, ...any)) {
	var wire []Hop
	for _, h := range hops {
		if h.point.kind == hostNIC {
			wire = append(wire, h)
		}
	}
	if w.from.Host == w.to.Host {
		if len(wire) > 0 {
			fault("the %s left the host: seen on %s %s", w.what, wire[0].Where, wire[0].Interface)
		}
		return
	}
	src, dst := hostOf(t, w.from.Host), hostOf(t, w.to.Host)
	out, in := 0, 0
	for _, h := range wire {
		switch {
		case h.Where == src.Name && h.Out && h.Interface == src.NICs[0]:
			out++
		case h.Where == dst.Name && !h.Out && h.Interface == dst.NICs[0]:
			in++
		default:
			fault("the %s was seen on %s %s", w.what, h.Where, h.Interface)
			continue
		}
		judgeOuter(w, h, src, dst, fault)
	}
	if out != 1 || in != 1 {
		fault("the %s left %s %d times and reached %s %d times by the underlay", w.what, src.Name, out, dst.Name, in)
	}
}

func judgeOuter(w way, h Hop, src, dst Host, fault func(string, ...any)) {
	if h.Outer == nil {
		fault("the %s crossed %s %s outside of a tunnel", w.what, h.Where, h.Interface)
		return
	}
	if h.Outer.Src != src.VTEP.String() || h.Outer.Dst != dst.VTEP.String() {
		fault("the %s went in a tunnel from %s to %s, not from %s to %s", w.what, h.Outer.Src, h.Outer.Dst, src.VTEP, dst.VTEP)
	}
	if h.Outer.VNI != w.to.VNI {
		fault("the %s went with VNI %d; the network it goes to has %d", w.what, h.Outer.VNI, w.to.VNI)
	}
	if !h.Outer.DF {
		fault("the %s went in a tunnel without DF", w.what)
	}
	if own := h.SrcMAC == w.from.MAC; own == (w.from.NetworkID != w.to.NetworkID) {
		fault("the %s went in a tunnel from MAC %s; the sender's is %s", w.what, h.SrcMAC, w.from.MAC)
	}
}

func hostOf(t Topology, name string) Host {
	for _, h := range t.Hosts {
		if h.Name == name {
			return h
		}
	}
	return Host{Name: name, NICs: []string{""}}
}

// judgeIsolation looks for any marked packet inside an instance of another tenant than its sender's.
func judgeIsolation(t Topology, pairs, probes []*task, byTask map[uint32][]sighting) Isolation {
	iso := Isolation{Faults: []string{}}
	tenant := map[string]string{}
	for _, in := range t.Instances {
		tenant[in.Name] = in.Tenant
	}
	names := map[string]bool{}
	for _, v := range tenant {
		names[v] = true
	}
	iso.Tenants, iso.Probes = len(names), len(probes)
	for _, p := range slices.Concat(pairs, probes) {
		for _, s := range byTask[p.id] {
			other := s.hop.point.kind == guestPort && tenant[s.hop.Where] != p.from.Tenant
			if other {
				iso.Crossed++
				iso.Faults = append(iso.Faults, fmt.Sprintf("a packet of %s (%s) to %s was seen in %s (%s)", p.from.Name, p.from.Tenant, p.to.addr(p.v6), s.hop.Where, tenant[s.hop.Where]))
			}
		}
	}
	iso.OK = iso.Crossed == 0
	return iso
}
