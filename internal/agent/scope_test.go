package agent

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/wire"
)

func cloud() []*wire.Object {
	r, leg := wire.ID(uuid('r', 1)), wire.ID(uuid('i', 1))
	g, set := wire.ID(uuid('g', 1)), wire.ID(uuid('a', 1))
	return slices.Concat(base(), port(1), port(2), port(3), []*wire.Object{
		object(wire.Kind_KIND_ROUTER, r, &wire.Router{Id: r, AdminUp: true, Distributed: true, Interfaces: []*wire.Port{{
			Id: leg, NetworkId: wire.ID(uuid('n', 1)), Mac: []byte{2, 0, 0, 0, 1, 1}, DeviceOwner: "network:router_interface_distributed",
			FixedIps: []*wire.FixedIP{{SubnetId: wire.ID(uuid('s', 1)), Address: []byte{10, 0, 0, 254}}}}}}),
		object(wire.Kind_KIND_SECURITY_GROUP, g, &wire.SecurityGroup{Id: g, Stateful: true, Rules: []*wire.Rule{{Id: wire.ID(uuid('u', 1)), Protocol: 6, PortMin: 22, PortMax: 22, RemoteSet: set}}}),
		object(wire.Kind_KIND_ADDRESS_SET, set, &wire.AddressSet{Id: set, Prefixes: []*wire.Prefix{{Address: []byte{10, 0, 0, 0}, Bits: 8}}}),
		object(wire.Kind_KIND_ENDPOINT, wire.ID(portID(1).UUID), &wire.Endpoint{Id: wire.ID(portID(1).UUID), AdminUp: true, SecurityGroups: [][]byte{g}}),
	})
}

// Whatever the order and the steps in which the objects come, the State is the same.
func TestOrderDoesNotMatter(t *testing.T) {
	opts := hostplan.Options{Firewall: true}
	want := newScope("h0", opts)
	all := cloud()
	last := all[len(all)-1] // replaces an earlier version
	all = all[:len(all)-1]
	for _, o := range append(all, last) {
		want.put(o)
	}
	if p := want.state().Endpoints[portID(1)].Policy; p == nil || len(p.Rules) != 1 {
		t.Fatalf("policy %v, want one rule", p)
	}
	rapid.Check(t, func(t *rapid.T) {
		s := newScope("h0", opts)
		for _, o := range rapid.Permutation(all).Draw(t, "order") {
			s.put(o)
			if rapid.IntRange(0, 4).Draw(t, "compile") == 0 {
				s.state()
			}
			if rapid.IntRange(0, 9).Draw(t, "delete") == 0 {
				s.delete(key{o.Kind, string(o.Id)})
				s.put(o)
			}
		}
		s.put(last)
		if d := cmp.Diff(want.state(), s.state(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
			t.Fatalf("-want +got:\n%s", d)
		}
	})
}

// FuzzScope: no bytes from the server bring the agent down; what cannot be read is a problem.
func FuzzScope(f *testing.F) {
	for _, o := range cloud() {
		f.Add(int32(o.Kind), o.Id, o.Body)
	}
	f.Fuzz(func(t *testing.T, kind int32, id, body []byte) {
		s := newScope("h0", hostplan.Options{Firewall: true})
		for _, o := range cloud() {
			s.put(o)
		}
		s.state()
		before := len(s.state().Problems)
		s.put(&wire.Object{Kind: wire.Kind(kind), Id: id, Body: body})
		s.state()
		s.delete(key{wire.Kind(kind), string(id)})
		for _, o := range cloud() {
			s.put(o)
		}
		if after := s.state(); len(after.Problems) != before {
			t.Errorf("problems stay after the object is gone: %v", after.Problems)
		}
	})
}

// A member that comes or goes changes the set; a change that does not fit what is here changes nothing and is an error.
func TestSetChange(t *testing.T) {
	id := wire.ID(uuid('a', 1))
	ip := func(n byte) *wire.Prefix { return &wire.Prefix{Address: []byte{10, 0, 0, n}, Bits: 32} }
	of := func(p ...*wire.Prefix) *wire.AddressSet { return &wire.AddressSet{Id: id, Prefixes: p} }
	version := func(p ...*wire.Prefix) uint64 { return wire.SetVersion(of(p...)) }
	s := newScope("h0", hostplan.Options{})
	s.put(&wire.Object{Kind: wire.Kind_KIND_ADDRESS_SET, Id: id, Version: version(ip(1), ip(3)), Body: wire.Encode(of(ip(1), ip(3)))})
	for _, x := range []struct {
		name  string
		c     *wire.SetChange
		fails bool
		want  []*wire.Prefix
	}{
		{"one comes, one goes", &wire.SetChange{From: version(ip(1), ip(3)), Version: version(ip(2), ip(3)), Added: []*wire.Prefix{ip(2)}, Removed: []*wire.Prefix{ip(1)}}, false, []*wire.Prefix{ip(2), ip(3)}},
		{"from another version", &wire.SetChange{From: 7, Version: version(ip(2)), Removed: []*wire.Prefix{ip(3)}}, true, []*wire.Prefix{ip(2), ip(3)}},
		{"to another version", &wire.SetChange{From: version(ip(2), ip(3)), Version: 7, Removed: []*wire.Prefix{ip(3)}}, true, []*wire.Prefix{ip(2), ip(3)}},
		{"one comes that is there", &wire.SetChange{From: version(ip(2), ip(3)), Version: version(ip(2), ip(3), ip(3)), Added: []*wire.Prefix{ip(3)}}, true, []*wire.Prefix{ip(2), ip(3)}},
		{"one goes that is not there", &wire.SetChange{From: version(ip(2), ip(3)), Version: version(ip(2), ip(3)) - wire.PrefixSum(ip(9)), Removed: []*wire.Prefix{ip(9)}}, true, []*wire.Prefix{ip(2), ip(3)}},
		{"what is no prefix", &wire.SetChange{From: version(ip(2), ip(3)), Added: []*wire.Prefix{{Address: []byte{1}, Bits: 8}}}, true, []*wire.Prefix{ip(2), ip(3)}},
		{"the last go", &wire.SetChange{From: version(ip(2), ip(3)), Version: version(), Removed: []*wire.Prefix{ip(2), ip(3)}}, false, nil},
	} {
		t.Run(x.name, func(t *testing.T) {
			x.c.Id = id
			s.wholeSets = false
			if err := s.change(x.c); (err != nil) != x.fails {
				t.Errorf("error %v", err)
			}
			s.pack()
			o := s.objects[key{wire.Kind_KIND_ADDRESS_SET, string(id)}]
			if o.Version != version(x.want...) || !bytes.Equal(o.Body, wire.Encode(of(x.want...))) {
				t.Errorf("version %d, want %d; body %x", o.Version, version(x.want...), o.Body)
			}
			if s.wholeSets != (x.fails && x.c.From != 7) {
				t.Errorf("asks for whole sets: %v", s.wholeSets)
			}
			var got []netip.Prefix
			for p := range s.state().AddressSets[uuid('a', 1)].Prefixes.All() {
				got = append(got, p)
			}
			if len(got) != len(x.want) {
				t.Errorf("the State has %v", got)
			}
		})
	}
}

// An address set that cannot be read is a problem, takes no change, and is sent whole from then on.
func TestChangeOfAnUnreadableSet(t *testing.T) {
	id := wire.ID(uuid('a', 1))
	s := newScope("h0", hostplan.Options{})
	s.put(&wire.Object{Kind: wire.Kind_KIND_ADDRESS_SET, Id: id, Version: 5, Body: []byte{255}})
	if err := s.change(&wire.SetChange{Id: id, From: 5, Version: 5}); err == nil || !s.wholeSets || len(s.state().Problems) != 1 {
		t.Errorf("error %v, whole sets %v, problems %v", err, s.wholeSets, s.state().Problems)
	}
	s.pack()
	if o := s.objects[key{wire.Kind_KIND_ADDRESS_SET, string(id)}]; len(o.Body) != 1 {
		t.Error("the body that could not be read is another now")
	}
}
