package feed

import (
	"context"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
	"github.com/weft-cloud/weft/internal/wire"
)

// A provider network's outsiders are told to one live host that has the physical network, whole; to another when it dies, and
// to nobody once they are plugged in.
func TestOutsiders(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBench(rt)
		defer b.stop()
		network := model.NetworkID{UUID: model.UUID{byte(rapid.IntRange(1, 255).Draw(rt, "network"))}}
		port := &model.Port{ID: model.PortID{UUID: model.UUID{9}}, NetworkID: network, MAC: model.MAC{2, 0, 0, 0, 0, 1}, VIFType: model.VIFUnbound,
			DNSName: "metal", AdminStateUp: true}
		key := uuidKey(wire.Kind_KIND_OUTSIDER, port.ID.UUID)
		dead := ""
		b.hub.do(context.Background(), func() { b.hub.alive = func(h string) bool { return h != dead } })
		b.write(func(tx *world.Tx) {
			for i, h := range []string{"c1", "c2", "c3"} {
				host := &model.Host{Name: h, VTEP: netip.AddrFrom4([4]byte{10, 9, 9, byte(i)})}
				if h != "c3" {
					host.BridgeMappings = map[string]string{"rack": "eth1"}
				}
				tx.Hosts.Put(host)
			}
			tx.Networks.Put(&model.Network{ID: network, MTU: 1500, AdminStateUp: true})
			tx.Segments.Put(&model.Segment{ID: model.SegmentID{UUID: model.UUID{8}}, NetworkID: network, NetworkType: model.TypeVLAN, Physnet: "rack", SegmentationID: 7})
			tx.Subnets.Put(&model.Subnet{ID: model.SubnetID{UUID: model.UUID{7}}, NetworkID: network, CIDR: netip.MustParsePrefix("10.0.0.0/24"), EnableDHCP: true})
			tx.Ports.Put(port)
		})
		b.settled()
		mirrors := map[string]*mirror{}
		for _, h := range []string{"c1", "c2", "c3"} {
			mirrors[h] = b.connect(h, nil, model.Position{})
		}
		holders := func() (out []string) {
			b.settled()
			for _, h := range []string{"c1", "c2", "c3"} {
				mirrors[h].drain(rt)
				if _, ok := mirrors[h].has[key]; ok {
					out = append(out, h)
				}
				if _, network := mirrors[h].has[uuidKey(wire.Kind_KIND_NETWORK, network.UUID)]; network != (len(out) > 0 && out[len(out)-1] == h) {
					rt.Fatalf("%s follows the network: %v; serving: %v", h, network, out)
				}
			}
			return out
		}
		first := holders()
		if len(first) != 1 || first[0] == "c3" {
			rt.Fatalf("served by %v", first)
		}
		b.hub.do(context.Background(), func() { dead = first[0]; b.hub.reelect() })
		second := holders()
		if len(second) != 1 || second[0] == "c3" || second[0] == first[0] {
			rt.Fatalf("after %v died, served by %v", first, second)
		}
		b.hub.do(context.Background(), func() { dead = ""; b.hub.reelect() })
		if back := holders(); len(back) != 1 || back[0] != first[0] {
			rt.Fatalf("after %v came back, served by %v", first, back)
		}
		b.write(func(tx *world.Tx) {
			c := *port
			c.Host, c.VIFType = "c3", model.VIFTap
			tx.Ports.Put(&c)
		})
		b.settled()
		for h, m := range mirrors {
			m.drain(rt)
			if _, ok := m.has[key]; ok {
				rt.Fatalf("%s still serves a port that is plugged in", h)
			}
		}
		b.write(func(tx *world.Tx) { tx.Subnets.Delete(model.SubnetID{UUID: model.UUID{7}}); tx.Ports.Put(port) })
		if none := holders(); len(none) != 0 {
			rt.Fatalf("without DHCP, served by %v", none)
		}
	})
}
