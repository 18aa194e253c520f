package ebpf

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/prefix"
)

// The C enumerations of bpf/lib/maps.h for the classifier.
const (
	dirEgress, dirV6 = 1, 2
	protoAny         = 255
	classV6          = 1 << 31

	polProto, polAny, polClassShift = 1, 2, 2
)

const (
	protoICMP, protoTCP, protoUDP, protoDCCP, protoICMPv6, protoSCTP, protoUDPLite = 1, 6, 17, 33, 58, 132, 136
)

// withPorts are the protocols that have ports.
var withPorts = []uint8{protoTCP, protoUDP, protoDCCP, protoSCTP, protoUDPLite}

// remote is what a rule names as its other side: "set <id>" or a prefix.
type remote string

func remoteOf(r *hostplan.Rule) remote {
	switch {
	case !r.RemoteSet.IsZero():
		return remote("set " + r.RemoteSet.String())
	case r.Remote.IsValid():
		return remote(r.Remote.Masked().String())
	default:
		return ""
	}
}

// classifier compiles the policies of a host: each address of a remote gets the set of remotes that hold it; each policy
// tells those sets apart as far as its rules do (its classes); and each class has its rules by direction, protocol and port.
//
// Policies, sets and classes are numbered by a hash of what they are, so that a restarted process finds the same numbers.
//
// It lives as long as its tables, and keeps from State to State who holds what: a member of a remote that comes or goes costs what it
// changes, however many there are. Rules are written anew if a policy, or a set, came or went.
type classifier struct {
	t        *tables
	h        *holders
	policies map[*hostplan.Policy]uint32
	byID     map[uint32]*polinfo
	// prev and prevIDs are byID and policies of the former State, while a new one is compiled.
	prev    map[uint32]*polinfo
	prevIDs map[*hostplan.Policy]uint32
	numbers numbering
	classes numbering
	// named are the address sets that rules name.
	named map[remote]model.UUID
	// stale: the rules are to be written anew.
	stale    bool
	problems []hostplan.Problem
}

type polinfo struct {
	id    uint32
	rules []hostplan.Rule
	// remotes are the rules of each remote, by their place in rules: a class has those of its own remotes, and nothing walks the others.
	remotes map[remote][]int
	classes map[uint32]bool
	// tables are the kinds of rule it has: POL_ bits of bpf/lib/maps.h.
	tables uint32
}

func newClassifier(t *tables) *classifier {
	return &classifier{t: t, h: newHolders(t), policies: map[*hostplan.Policy]uint32{}, byID: map[uint32]*polinfo{}, numbers: numbering{}, stale: true}
}

// numbering gives names numbers, and knows which are given: by the names' hashes.
type numbering map[uint32][sha256.Size]byte

// of is a name's number: 31 bits of its hash, the next free one if two names share it.
func (n numbering) of(name string) uint32 {
	h := sha256.Sum256([]byte(name))
	for i := binary.BigEndian.Uint32(h[:]) &^ classV6; ; i = (i + 1) &^ classV6 {
		if i == 0 {
			continue
		}
		if owner, taken := n[i]; !taken || owner == h {
			n[i] = h
			return i
		}
	}
}

// begin turns to a new State: its policies are added, and then finish is called.
func (x *classifier) begin() {
	x.prev, x.prevIDs = x.byID, x.policies
	x.byID, x.policies = map[uint32]*polinfo{}, map[*hostplan.Policy]uint32{}
}

// add takes a policy in and returns its number.
func (x *classifier) add(p *hostplan.Policy) uint32 {
	if id, ok := x.policies[p]; ok {
		return id
	}
	id, ok := x.prevIDs[p]
	if !ok {
		id = x.numbers.of("policy\n" + string(contentOf(p)))
	}
	x.policies[p] = id
	if x.byID[id] != nil {
		return id
	}
	info := x.prev[id]
	if info == nil {
		info = newPolinfo(id, p)
	}
	x.byID[id] = info
	return id
}

func newPolinfo(id uint32, p *hostplan.Policy) *polinfo {
	info := &polinfo{id: id, rules: slices.Clone(p.Rules), remotes: map[remote][]int{}}
	slices.SortFunc(info.rules, func(a, b hostplan.Rule) int { return a.ID.Compare(b.ID) })
	for i := range info.rules {
		r := &info.rules[i]
		info.tables |= tablesOf(r)
		info.remotes[remoteOf(r)] = append(info.remotes[remoteOf(r)], i)
	}
	return info
}

// finish brings the tables to the policies that were added, and the address sets.
func (x *classifier) finish(sets map[model.UUID]*hostplan.AddressSet) {
	same := len(x.prev) == len(x.byID)
	for id := range x.byID {
		same = same && x.prev[id] != nil
	}
	if !same {
		x.stale = true
		x.name()
		maps.DeleteFunc(x.numbers, func(id uint32, _ [sha256.Size]byte) bool { return x.byID[id] == nil })
	}
	x.prev, x.prevIDs = nil, nil
	x.refresh(sets)
}

// name finds out which remotes the policies name.
func (x *classifier) name() {
	x.named = map[remote]model.UUID{}
	known := map[remote]bool{}
	for _, p := range x.byID {
		for r, places := range p.remotes {
			if r == "" || known[r] {
				continue
			}
			known[r] = true
			if rule := &p.rules[places[0]]; !rule.RemoteSet.IsZero() {
				x.named[r] = rule.RemoteSet
			} else if _, held := x.h.sources[r]; !held {
				x.h.hold(r, prefix.Of(rule.Remote))
			}
		}
	}
	for r := range x.h.sources {
		if !known[r] {
			x.h.hold(r, prefix.Set{})
		}
	}
}

// refresh brings the tables to what the address sets are now, the policies being what they were.
func (x *classifier) refresh(sets map[model.UUID]*hostplan.AddressSet) {
	for r, id := range x.named {
		var now prefix.Set
		if s := sets[id]; s != nil {
			now = s.Prefixes
		}
		x.h.hold(r, now)
	}
	x.h.settle()
	if x.stale || x.h.changed || len(x.problems) > 0 {
		x.rewrite()
	}
}

// rewrite compiles the rules of all policies.
func (x *classifier) rewrite() {
	x.stale, x.h.changed, x.problems, x.classes = false, false, nil, numbering{}
	clear(x.t.ruleSlots.touched)
	for _, p := range x.t.policy {
		p.begin()
	}
	x.t.rewritten = true
	users := map[remote][]*polinfo{}
	for _, p := range x.byID {
		p.classes = map[uint32]bool{}
		x.rules(p, 0, p.remotes[""])
		for r := range p.remotes {
			if r != "" {
				users[r] = append(users[r], p)
			}
		}
	}
	for _, c := range x.h.combos {
		for _, r := range c.remotes {
			for _, p := range users[r] {
				x.class(p, c)
			}
		}
	}
}

// contentOf is what a policy's rules are, in bytes.
func contentOf(p *hostplan.Policy) []byte {
	b := make([]byte, 0, 64*len(p.Rules))
	for i := range p.Rules {
		r := &p.Rules[i]
		b = append(b, r.ID[:]...)
		b = append(b, r.RemoteSet[:]...)
		for _, v := range []int32{int32(r.Protocol), r.PortMin, r.PortMax, int32(r.Remote.Bits())} {
			b = binary.BigEndian.AppendUint32(b, uint32(v)) //nolint:gosec // every bit counts, the sign does not
		}
		b = append(b, dirOf(r))
		if r.Remote.IsValid() {
			a := r.Remote.Masked().Addr().As16()
			b = append(b, a[:]...)
		}
	}
	return b
}

// dirOf are the DIR_ bits of a rule.
func dirOf(r *hostplan.Rule) (dir uint8) {
	if r.Egress {
		dir |= dirEgress
	}
	if r.IPv6 {
		dir |= dirV6
	}
	return dir
}

// class tells the policy what a set means to it, and writes the rules of that class.
func (x *classifier) class(p *polinfo, c *combo) {
	k := weftPolclassKey{Policy: p.id, Set: c.set}
	if _, ok := x.t.polClass.want[k]; ok {
		return
	}
	var mine []int
	var name strings.Builder
	name.WriteString("class")
	for _, r := range c.remotes {
		if rules := p.remotes[r]; rules != nil {
			mine = append(mine, rules...)
			name.WriteString("\n" + string(r))
		}
	}
	class := x.classes.of(name.String())
	x.t.polClass.put(k, class)
	if !p.classes[class] {
		p.classes[class] = true
		x.rules(p, class, mine)
	}
}

// span is a rule's range of ports, or of ICMP type and code.
type span struct {
	min, max   int32
	rank, rule uint32
}

// protoKey is one table of port ranges.
type protoKey struct{ dir, proto uint8 }

// rules writes the rules of one class, by direction, family and protocol, as port prefixes that do not overlap. A rule's rank is its
// place among all of the policy.
func (x *classifier) rules(p *polinfo, class uint32, places []int) {
	tables := map[protoKey][]span{}
	for _, i := range places {
		r := &p.rules[i]
		slot, err := x.t.ruleSlots.of(r.ID)
		if err != nil {
			x.problems = append(x.problems, hostplan.Problem{Kind: "rule", ID: r.ID.String(), Why: err.Error()})
			continue
		}
		x.t.ruleIDs.put(slot, weftRuleId{Uuid: r.ID})
		for k, spans := range spansOf(r) {
			for _, s := range spans {
				s.rank, s.rule = uint32(i), slot //nolint:gosec // thousands at most
				tables[k] = append(tables[k], s)
			}
		}
	}
	for k, spans := range tables {
		for _, s := range flatten(spans) {
			for _, pp := range portPrefixes(s.min, s.max) {
				x.t.polRules.put(weftPolruleKey{Plen: 80 + pp.bits, Policy: p.id, Class: class, Dir: k.dir, Proto: k.proto, Port: be16(pp.port)},
					weftPolrule{Rule: s.rule, Rank: s.rank})
			}
		}
	}
}

// tablesOf are the POL_ bits of a rule.
func tablesOf(r *hostplan.Rule) (bits uint32) {
	for k := range spansOf(r) {
		bit := uint32(polProto)
		if k.proto == protoAny {
			bit = polAny
		}
		if remoteOf(r) != "" {
			bit <<= polClassShift
		}
		bits |= bit << (4 * k.dir)
	}
	return bits
}

// spansOf are the ranges that a rule allows, by the protocols whose packets can match it.
func spansOf(r *hostplan.Rule) map[protoKey][]span {
	dir := dirOf(r)
	icmp := uint8(protoICMP)
	if r.IPv6 {
		icmp = protoICMPv6
	}
	whole := []span{{min: 0, max: 65535}}
	anyPort := r.PortMin < 0 && r.PortMax < 0
	if r.Protocol == hostplan.AnyProtocol {
		if anyPort {
			return map[protoKey][]span{{dir, protoAny}: whole}
		}
		// Ports are known for these alone.
		out := map[protoKey][]span{{dir, icmp}: icmpSpans(r)}
		for _, p := range withPorts {
			out[protoKey{dir, p}] = portSpan(r)
		}
		return out
	}
	proto := uint8(r.Protocol) //nolint:gosec // 0..255
	if proto == protoICMP && r.IPv6 {
		proto = protoICMPv6
	}
	switch {
	case anyPort:
		return map[protoKey][]span{{dir, proto}: whole}
	case proto == icmp:
		return map[protoKey][]span{{dir, proto}: icmpSpans(r)}
	case slices.Contains(withPorts, proto):
		return map[protoKey][]span{{dir, proto}: portSpan(r)}
	default:
		return nil
	}
}

func portSpan(r *hostplan.Rule) []span {
	s := span{min: max(r.PortMin, 0), max: r.PortMax}
	if s.max < 0 {
		s.max = 65535
	}
	if s.min > s.max {
		return nil
	}
	return []span{s}
}

// icmpSpans are ranges of type<<8 | code.
func icmpSpans(r *hostplan.Rule) []span {
	switch {
	case r.PortMin > 255 || r.PortMax > 255:
		return nil
	case r.PortMin >= 0 && r.PortMax >= 0:
		v := r.PortMin<<8 | r.PortMax
		return []span{{min: v, max: v}}
	case r.PortMin >= 0:
		return []span{{min: r.PortMin << 8, max: r.PortMin<<8 | 255}}
	default: // a code of any type
		var out []span
		for t := range int32(256) {
			out = append(out, span{min: t<<8 | r.PortMax, max: t<<8 | r.PortMax})
		}
		return out
	}
}

// flatten makes of overlapping spans ones that do not overlap; where several hold a port, the lowest rank keeps it.
func flatten(spans []span) []span {
	if len(spans) == 1 {
		return spans
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(cmp.Compare(a.min, b.min), cmp.Compare(a.rank, b.rank)) })
	var edges []int32
	for _, s := range spans {
		edges = append(edges, s.min, s.max+1)
	}
	slices.Sort(edges)
	edges = slices.Compact(edges)
	var out []span
	var open heap
	next := 0
	for i, from := range edges[:len(edges)-1] {
		for next < len(spans) && spans[next].min == from {
			open.push(spans[next])
			next++
		}
		for len(open) > 0 && open[0].max < from {
			open.pop()
		}
		if len(open) == 0 {
			continue
		}
		s := span{min: from, max: edges[i+1] - 1, rank: open[0].rank, rule: open[0].rule}
		if n := len(out); n > 0 && out[n-1].rank == s.rank && out[n-1].max+1 == s.min {
			out[n-1].max = s.max
		} else {
			out = append(out, s)
		}
	}
	return out
}

// heap holds the spans open at a port, the lowest rank first.
type heap []span

func (h *heap) push(s span) {
	*h = append(*h, s)
	for i := len(*h) - 1; i > 0; {
		up := (i - 1) / 2
		if (*h)[up].rank <= (*h)[i].rank {
			return
		}
		(*h)[up], (*h)[i] = (*h)[i], (*h)[up]
		i = up
	}
}

func (h *heap) pop() {
	last := len(*h) - 1
	(*h)[0] = (*h)[last]
	*h = (*h)[:last]
	for i := 0; ; {
		low := i
		for _, c := range []int{2*i + 1, 2*i + 2} {
			if c < last && (*h)[c].rank < (*h)[low].rank {
				low = c
			}
		}
		if low == i {
			return
		}
		(*h)[low], (*h)[i] = (*h)[i], (*h)[low]
		i = low
	}
}

type portPrefix struct {
	port uint16
	bits uint32
}

// portPrefixes cuts a range of ports into aligned blocks.
func portPrefixes(from, to int32) []portPrefix {
	var out []portPrefix
	for from <= to {
		size := int32(1)
		bits := uint32(16)
		for from&(size*2-1) == 0 && from+size*2-1 <= to && bits > 0 {
			size *= 2
			bits--
		}
		out = append(out, portPrefix{uint16(from), bits}) //nolint:gosec // 0..65535
		from += size
	}
	return out
}

// ruleOf is the rule in a slot.
func (t *tables) ruleOf(slot uint32) model.UUID { return t.ruleIDs.have[slot].Uuid }
