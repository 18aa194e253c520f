package api_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// What hosts report of announced addresses is kept with the port, if it may have them; the last report of an address has it.
func TestLearnedAddressesAreKept(t *testing.T) {
	e := newEnv(t, nil)
	e.host("c1", "192.0.2.1", "dvr")
	e.host("c2", "192.0.2.2", "dvr")
	net := e.network("red")
	e.subnet(net, "172.16.42.0/24", nil)
	port := func(host string, pairs ...object) model.PortID {
		attrs := object{"network_id": net, "binding:host_id": host, "device_owner": "compute:nova", "allowed_address_pairs": pairs}
		u, err := model.ParseUUID(e.create("port", attrs)["id"].(string))
		if err != nil {
			t.Fatal(err)
		}
		return model.PortID{UUID: u}
	}
	vip := object{"ip_address": "172.16.42.100", "mac_address": "00:00:5e:00:01:07"}
	a, b, none := port("c1", vip), port("c2", vip), port("c2")
	fact := model.AddressPair{MAC: model.MAC{0, 0, 0x5e, 0, 1, 7}, Prefix: netip.MustParsePrefix("172.16.42.100/32")}
	report := func(host string, ports ...model.PortID) {
		learned := map[model.PortID][]model.AddressPair{}
		for _, p := range ports {
			learned[p] = []model.AddressPair{fact}
		}
		e.write(func(tx *world.Tx) error { return e.rules.PortsLearned(tx, host, learned) })
	}
	check := func(what string, holder model.PortID) {
		t.Helper()
		e.write(func(tx *world.Tx) error {
			for _, id := range []model.PortID{a, b, none} {
				var want []model.AddressPair
				if id == holder {
					want = []model.AddressPair{fact}
				}
				if diff := cmp.Diff(want, tx.Ports.Get(id).Learned, cmp.Comparer(func(x, y netip.Prefix) bool { return x == y }), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s: port %s\n%s", what, id, diff)
				}
			}
			return nil
		})
	}
	report("c1", a)
	check("announced", a)
	report("c2", none)
	check("a port that may not have it", a)
	report("c2", a)
	check("a host that the port is not on", a)
	report("c2", b)
	check("taken over", b)
	report("c2")
	check("not held any more", model.PortID{})
}
