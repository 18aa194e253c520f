package ebpf

import (
	"maps"
	"net/netip"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/hostplan"
)

// crowded is a State that has something for every map that the agent writes.
func crowded(host string) *hostplan.State {
	c := dptest.Demo()
	dptest.NorthSouth(c)
	in, set := dptest.Allow(false, false, 6, 100, 200), dptest.Any(false, false)
	set.RemoteSet = dptest.SetID("members")
	near := dptest.Any(false, true)
	near.Remote, near.ID = netip.MustParsePrefix("fd00::/16"), dptest.RuleID("near")
	c.Sets = []dptest.Set{{Name: "members", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.9.0.1/32"), netip.MustParsePrefix("10.9.0.2/32"),
		netip.MustParsePrefix("10.10.0.0/16"), netip.MustParsePrefix("10.11.0.0/16")}}}
	for i := range c.Ports {
		c.Ports[i].Policy = dptest.Stateful(in, set, near)
		c.Ports[i].Pairs = []dptest.Pair{{Prefix: netip.MustParsePrefix("172.16.42.100/32")}}
	}
	return c.States()[host]
}

// A table of the agent's that is full is named in words, with whom it concerns.
func TestFullTablesAreNamed(t *testing.T) {
	whole := testRunner(t)
	state := crowded("compute2")
	if p := whole.Apply(state, Limits{}); len(p) > 0 {
		t.Fatal(p)
	}
	specs, err := loadWeft()
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for name, m := range whole.coll.Maps {
		n := filled(whole.t, name)
		if n < 2 {
			continue // one entry fits into every map
		}
		tried++
		t.Run(name, func(t *testing.T) {
			spec := specs.Maps[name].Copy()
			spec.MaxEntries = 1
			full, err := ebpf.NewMap(spec)
			if err != nil {
				t.Fatal(err)
			}
			defer full.Close()
			c := &ebpf.Collection{Programs: whole.coll.Programs, Maps: maps.Clone(whole.coll.Maps)}
			c.Maps[name] = full
			r := &Runner{coll: c, t: newTables(c), nics: map[string]uint32{}}
			problems := r.Apply(state, Limits{})
			for _, p := range problems {
				if p.Kind != "" && p.ID != "" && (strings.Contains(p.Why, name) && strings.Contains(p.Why, "the map is full") ||
					strings.Contains(p.Why, "objects of one kind on this host")) {
					return
				}
			}
			t.Errorf("nothing says that the map %s (%v, %d entries wanted) is full: %+v", name, m.Type(), n, problems)
		})
	}
	if tried < 20 {
		t.Errorf("%d maps only have entries in this State", tried)
	}
}

// filled is how many entries the tables put into a map; 0: it is not one of theirs.
func filled(t *tables, name string) int {
	for _, f := range t.fill() {
		if f.Table == name {
			return f.Entries
		}
	}
	return 0
}

// smaller is this build's programs with one map that has room for n entries.
func smaller(name string, n uint32) func() (*ebpf.CollectionSpec, error) {
	return func() (*ebpf.CollectionSpec, error) {
		spec, err := loadWeft()
		if err == nil {
			spec.Maps[name].MaxEntries = n
		}
		return spec, err
	}
}
