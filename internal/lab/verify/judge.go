package verify

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The four kinds of traffic, in the words of the reference table.
func kindOf(sameSubnet, sameHost, central bool) string {
	switch {
	case sameSubnet && sameHost:
		return "virtual switch"
	case sameSubnet:
		return "tunnel"
	case central:
		return "through the network node"
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
func (r *Report) judge(t Topology, all tasks, seen []sighting) {
	byTask := map[uint32][]sighting{}
	for _, s := range seen {
		byTask[s.task] = append(byTask[s.task], s)
	}
	r.OK = r.Dropped == 0
	for _, central := range []bool{false, true} {
		for _, v6 := range []bool{false, true} {
			for _, k := range [][2]bool{{true, true}, {true, false}, {false, true}, {false, false}} {
				r.judgeRow(t, all.pairs, byTask, rowKind{k[0], k[1], v6, central})
			}
		}
	}
	for _, p := range all.journeys {
		passage := judgeJourney(p, byTask[p.id])
		r.Passages = append(r.Passages, passage)
		r.OK = r.OK && passage.OK
	}
	r.Isolation = judgeIsolation(t, all.pairs, all.probes, byTask)
	r.OK = r.OK && r.Isolation.OK && len(r.Rows) > 0
}

// rowKind tells rows apart.
type rowKind struct{ sameSubnet, sameHost, v6, central bool }

func (k rowKind) has(p *task) bool {
	return p.v6 == k.v6 && p.from.Central == k.central && (p.from.NetworkID == p.to.NetworkID) == k.sameSubnet && (p.from.Host == p.to.Host) == k.sameHost
}

func (r *Report) judgeRow(t Topology, pairs []*task, byTask map[uint32][]sighting, k rowKind) {
	var of []*Pair
	for _, p := range pairs {
		if k.has(p) {
			pair := judgePair(t, p, byTask[p.id])
			r.Pairs = append(r.Pairs, pair)
			of = append(of, &pair)
		}
	}
	if len(of) == 0 {
		return
	}
	row := makeRow(of)
	row.Subnet, row.Host, row.Family, row.Router = word(k.sameSubnet), word(k.sameHost), family(k.v6), "distributed"
	if k.central {
		row.Router = "centralized"
	}
	row.Expected = kindOf(k.sameSubnet, k.sameHost, k.central)
	r.Rows = append(r.Rows, row)
	r.OK = r.OK && row.OK
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
	request, reply := way{"request", p.from, p.to}, way{"reply", p.to, p.from}
	inWayOrder(out.Request, p.from.Name, request.crossings(t))
	inWayOrder(out.Reply, p.to.Name, reply.crossings(t))
	fault := func(format string, args ...any) { out.Faults = append(out.Faults, fmt.Sprintf(format, args...)) }
	if out.Got < out.Sent || out.Sent == 0 {
		fault("%d of %d requests were answered", out.Got, out.Sent)
	}
	if out.ControllerSaw > 0 && !request.central() {
		fault("the controller saw %d packets", out.ControllerSaw)
	}
	out.TTL = judgeWay(t, request, out.Request, fault)
	judgeWay(t, reply, out.Reply, fault)
	if want := "Hello from " + p.to.Name + " "; out.Got > 0 && !strings.HasPrefix(out.HTTP, want) {
		fault("TCP port 80 should greet with %q, but it says %q", want, out.HTTP)
	}
	return out
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

// central: it goes through the network node.
func (w way) central() bool { return w.from.Central && w.from.NetworkID != w.to.NetworkID }

// crossings are the physical interfaces that a packet must cross: none within a host, else a tunnel from host to host, or
// by the network node.
func (w way) crossings(t Topology) []Crossing {
	src, dst := hostOf(t, w.from.Host), hostOf(t, w.to.Host)
	if w.central() {
		if i := slices.IndexFunc(t.Hosts, func(h Host) bool { return h.Controller }); i >= 0 {
			return slices.Concat(Through(src, t.Hosts[i], w.from.VNI, false), Through(t.Hosts[i], dst, w.to.VNI, true))
		}
	}
	if w.from.Host == w.to.Host {
		return nil
	}
	return Through(src, dst, w.to.VNI, w.from.NetworkID != w.to.NetworkID)
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
	judgeCrossings(w.what, hops, w.crossings(t), w.from.MAC, fault)
	return ttl
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
		if !in.Central { // those are of nobody, and here for a moment
			tenant[in.Name] = in.Tenant
		}
	}
	names := map[string]bool{}
	for _, v := range tenant {
		names[v] = true
	}
	iso.Tenants, iso.Probes = len(names), len(probes)
	for _, p := range slices.Concat(pairs, probes) {
		for _, s := range byTask[p.id] {
			whose, instance := tenant[s.hop.Where]
			other := s.hop.point.kind == guestPort && instance && whose != p.from.Tenant
			if other {
				iso.Crossed++
				iso.Faults = append(iso.Faults, fmt.Sprintf("a packet of %s (%s) to %s was seen in %s (%s)", p.from.Name, p.from.Tenant, p.to.addr(p.v6), s.hop.Where, tenant[s.hop.Where]))
			}
		}
	}
	iso.OK = iso.Crossed == 0
	return iso
}
