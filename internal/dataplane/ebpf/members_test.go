package ebpf

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/prefix"
)

// universe are prefixes that are within each other, and some that no packet can have.
func universe() (out []netip.Prefix) {
	for _, p := range []string{"10.9.0.1/32", "10.9.0.2/32", "10.9.0.0/24", "10.9.0.0/16", "10.0.0.0/8", "0.0.0.0/0", "10.10.0.1/32", "fd00:9::1/128",
		"fd00:9::/64", "fd00::/16", "::/0", "2001:db8::1/128", "::ffff:10.9.0.1/128", "::ffff:10.9.0.0/120", "::ffff:0:0/96"} {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// policies are what ports may have: rules for sets and prefixes, several of them, overlapping.
func policies() []*hostplan.Policy {
	rule := func(set string, remote string, v6 bool, port int32) hostplan.Rule {
		r := dptest.Allow(false, v6, 6, port, port)
		r.ID = dptest.RuleID(fmt.Sprint(set, remote, v6, port))
		if set != "" {
			r.RemoteSet = dptest.SetID(set)
		} else if remote != "" {
			r.Remote = netip.MustParsePrefix(remote)
		}
		return r
	}
	return []*hostplan.Policy{
		dptest.Stateful(rule("a", "", false, 1), rule("b", "", false, 2), rule("b", "", true, 3)),
		dptest.Stateful(rule("a", "", true, 4), rule("", "10.9.0.0/24", false, 5), rule("c", "", false, 6)),
		dptest.Stateless(rule("", "", false, 7), rule("", "0.0.0.0/0", false, 8), rule("", "fd00::/16", true, 9)),
		dptest.Stateful(),
	}
}

// classes are the tables of the classifier by what they mean: rules by their ids.
func classes(addr map[weftAddrKey]uint32, net map[weftLpmKey]uint32, class map[weftPolclassKey]uint32, rules map[weftPolruleKey]weftPolrule,
	ids map[uint32]weftRuleId) map[string]string {
	out := map[string]string{}
	for k, v := range addr {
		out[fmt.Sprint("address ", addrOf(k.Addr))] = fmt.Sprint(v)
	}
	for k, v := range net {
		out[fmt.Sprint("net ", addrOf(k.Addr), k.Plen)] = fmt.Sprint(v)
	}
	for k, v := range class {
		out[fmt.Sprint("class ", k)] = fmt.Sprint(v)
	}
	for k, v := range rules {
		out[fmt.Sprint("rule ", k)] = fmt.Sprint(ids[v.Rule], v.Rank)
	}
	return out
}

func read[K, V comparable](t *rapid.T, m *ebpf.Map) map[K]V {
	out := map[K]V{}
	var k K
	var v V
	it := m.Iterate()
	for it.Next(&k, &v) {
		out[k] = v
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// Whatever members, sets and policies come and go in whatever order, the kernel's tables are those of a State that is compiled afresh.
func TestMembersStepByStepAreMembersAtOnce(t *testing.T) {
	r := testRunner(t)
	ports := []string{"red1", "red3", "blue1"}
	pols := policies()
	quick, whole := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		s := dptest.Demo().States()["compute1"]
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			next := *s
			next.AddressSets = maps.Clone(s.AddressSets)
			id := dptest.SetID(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "set"))
			old := s.AddressSets[id]
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				delete(next.AddressSets, id)
			case 1:
				e := next.Endpoints[dptest.PortID(rapid.SampledFrom(ports).Draw(t, "port"))]
				if e == nil {
					continue
				}
				c := *e
				c.Policy = rapid.SampledFrom(pols).Draw(t, "policy")
				next.Endpoints = maps.Clone(s.Endpoints)
				next.Endpoints[c.Port] = &c
			default:
				set := &hostplan.AddressSet{ID: id}
				if old != nil {
					set.Prefixes = old.Prefixes
				}
				p := rapid.SampledFrom(universe()).Draw(t, "member")
				if set.Prefixes.Has(p) {
					set.Prefixes = set.Prefixes.Without(p)
				} else {
					set.Prefixes = set.Prefixes.With(p)
				}
				next.AddressSets[id] = set
			}
			if next.OnlySets(s) {
				quick++
			} else {
				whole++
			}
			s = &next
			if p := r.Apply(s, Limits{}); len(p) > 0 {
				t.Fatal(p)
			}
		}
		fresh := newTables(r.coll)
		compile(fresh, s, r.hardware(s), Limits{})
		m := r.coll.Maps
		want := classes(fresh.classAddr.want, fresh.classNet.want, fresh.polClass.want, fresh.polRules.want, fresh.ruleIDs.want)
		got := classes(read[weftAddrKey, uint32](t, m["class_addr"]), read[weftLpmKey, uint32](t, m["class_net"]), read[weftPolclassKey, uint32](t, m["pol_class"]),
			read[weftPolruleKey, weftPolrule](t, m["pol_rules"]), read[uint32, weftRuleId](t, m["rule_ids"]))
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("-compiled afresh +in the kernel:\n%s", d)
		}
	})
	if quick < 50 || whole < 10 {
		t.Errorf("%d changes of members alone, %d others", quick, whole)
	}
}

// An address group of somebody's with IPv4 in the form of IPv6 is nothing to the rules of others for that very address, though both would
// be one entry of the map.
func TestMappedMembersHideNobody(t *testing.T) {
	r := testRunner(t)
	c := dptest.Demo()
	in, theirs, near := dptest.Any(false, false), dptest.Any(false, true), dptest.Any(false, false)
	in.RemoteSet, theirs.RemoteSet, near.Remote = dptest.SetID("members"), dptest.SetID("mapped"), netip.MustParsePrefix("172.16.42.0/24")
	near.ID = dptest.RuleID("near")
	from := c.Port("red1").Addresses[0]
	c.Sets = []dptest.Set{{Name: "members", Prefixes: []netip.Prefix{netip.PrefixFrom(from, 32)}},
		{Name: "mapped", Prefixes: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom16(from.As16()), 128), netip.MustParsePrefix("::ffff:172.16.42.0/120")}}}
	c.Port("blue1").Policy = dptest.Stateful(theirs)
	for _, rule := range []hostplan.Rule{in, near} {
		c.Port("red3").Policy = dptest.Stateful(rule)
		for range 20 { // what wins would be chance
			if p := r.Apply(c.States()["compute1"], Limits{}); len(p) > 0 {
				t.Fatal(p)
			}
			if err := r.Forget(); err != nil {
				t.Fatal(err)
			}
			x := dptest.IP{Src: from, Dst: c.Port("red3").Addresses[0]}.UDP(1000, 2000, nil)
			o, err := r.Run(Packet{From: dptest.PortID("red1"), Frame: x.Frame(dptest.PortMAC("red3"), dptest.PortMAC("red1"))})
			if err != nil {
				t.Fatal(err)
			}
			if o.Reason != reason.None || o.Rule != rule.ID {
				t.Fatalf("%v: %v by %v", rule.Remote, o.Reason, o.Rule)
			}
			c.Sets = slices.Clone(c.Sets)
			slices.Reverse(c.Sets)
		}
	}
}

// A member left, and the endpoints that had decided by it could not be written: they are with the next Apply, and what was decided is void.
func TestAMemberThatLeftIsNotForgotten(t *testing.T) {
	r := testRunner(t)
	c := dptest.Demo()
	in := dptest.Any(false, false)
	in.RemoteSet = dptest.SetID("members")
	c.Port("red3").Policy = dptest.Stateful(in)
	c.Sets = []dptest.Set{{Name: "members", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.9.0.1/32"), netip.MustParsePrefix("10.9.0.2/32")}}}
	s := c.States()["compute1"]
	if p := r.Apply(s, Limits{}); len(p) > 0 {
		t.Fatal(p)
	}
	slot := r.t.ids[rootEndpoint].find(dptest.PortID("red3").UUID)
	before := r.t.endpoints.have[slot].Gen
	next := *s
	next.AddressSets = map[model.UUID]*hostplan.AddressSet{in.RemoteSet: {ID: in.RemoteSet, Prefixes: prefix.Of(netip.MustParsePrefix("10.9.0.1/32"))}}
	thaw := freeze(t, r.t)
	if p := r.Apply(&next, Limits{}); len(p) == 0 {
		t.Fatal("the endpoints were written into a map that takes no writes")
	}
	thaw()
	for range 2 {
		if p := r.Apply(&next, Limits{}); len(p) > 0 {
			t.Fatal(p)
		}
	}
	if after := r.t.endpoints.have[slot].Gen; after == before {
		t.Error("what the member was allowed goes on")
	}
	if len(r.t.lost)+len(r.t.dirty) > 0 {
		t.Error("it would be voided again and again")
	}
}
