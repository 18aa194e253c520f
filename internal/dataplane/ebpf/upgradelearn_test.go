package ebpf

import (
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/weft-cloud/weft/internal/dptest"
)

// Who was heard to have an address of several ports' is known to the next build and to the one that it is rolled back to, as long as
// the State lets it have it.
func TestUpgradeKeepsWhatWasLearned(t *testing.T) {
	vip := netip.MustParseAddr("172.16.42.100")
	c := newCloud(t, Config{}, func(d *dptest.Cloud) {
		for _, p := range []string{"red2", "red3"} {
			d.Port(p).Pairs = []dptest.Pair{{Prefix: netip.PrefixFrom(vip, 32)}}
		}
	})
	const host = "compute1"
	fact := func(port string) (weftFactKey, weftFact) {
		tables := c.planes[host].t
		return weftFactKey{Net: tables.ids[rootNetwork].find(dptest.NetworkID("red").UUID), Kind: learnAddr, Addr: ip16(vip)},
			weftFact{Neighbor: tables.ids[rootNeighbor].find(dptest.PortID(port).UUID), Mac: dptest.PortMAC(port), Seen: monotonic()}
	}
	k, v := fact("red3")
	c.must(c.planes[host].coll.Maps["learned"].Put(&k, &v))
	for i, spec := range []func() (*ebpf.CollectionSpec, error){loadNext, loadWeft} {
		c.must(c.planes[host].Close())
		c.cfg.spec = spec
		c.start(host)
		k, want := fact("red3")
		var got weftFact
		if err := c.planes[host].coll.Maps["learned"].Lookup(&k, &got); err != nil || got.Neighbor != want.Neighbor || got.Mac != want.Mac || got.Seen != v.Seen {
			t.Errorf("takeover %d: %+v, %v; want neighbour %d, heard at %d", i, got, err, want.Neighbor, v.Seen)
		}
	}
	// Without its pair the port may not have the address any more.
	c.cloud.Port("red3").Pairs = nil
	c.states = c.cloud.States()
	c.must(c.planes[host].Close())
	c.cfg.spec = loadNext
	c.start(host)
	k, _ = fact("red3")
	var got weftFact
	if err := c.planes[host].coll.Maps["learned"].Lookup(&k, &got); err == nil {
		t.Errorf("taken over although no pair lets it be: %+v", got)
	}
}
