package feed

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"net/netip"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
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
		b.write(func(tx *world.Tx) {
			c := *port
			c.Host, c.VNICType, c.VIFType = "c3", model.VNICBaremetal, model.VIFOther
			tx.Ports.Put(&c)
		})
		if metal := holders(); len(metal) != 1 || metal[0] != first[0] {
			rt.Fatalf("as a bare-metal machine's, served by %v", metal)
		}
		b.write(func(tx *world.Tx) { tx.Subnets.Delete(model.SubnetID{UUID: model.UUID{7}}); tx.Ports.Put(port) })
		if none := holders(); len(none) != 0 {
			rt.Fatalf("without DHCP, served by %v", none)
		}
		behindRouter(rt, b, network, mirrors, holders)
	})
}

// TestOutsidersHaveNames: a port that no agent plugs in is told to others on its network as one that is nowhere and has names, whatever host its
// binding names, and to no host as its own to plug in.
func TestOutsidersHaveNames(t *testing.T) {
	pair := []model.AddressPair{{Prefix: netip.MustParsePrefix("10.0.0.9/32")}}
	plugged := &model.Port{Host: "c1", VIFType: model.VIFTap, DNSName: "web", AddressPairs: pair}
	if m := publicBody(plugged); m.Host != "c1" || len(m.AddressPairs) != 1 || !visible(plugged) || !endpoint(plugged) {
		t.Errorf("plugged in: %v", m)
	}
	for _, p := range []*model.Port{
		{VIFType: model.VIFUnbound},
		{Host: "c1", VIFType: model.VIFBindingFailed},
		{Host: "c1", VNICType: model.VNICBaremetal, VIFType: model.VIFOther},
	} {
		p.DNSName, p.AddressPairs = "metal", pair
		if m := publicBody(p); m.Host != "" || m.DnsName != "metal" || m.AddressPairs != nil || !visible(p) || endpoint(p) {
			t.Errorf("%s: %v; visible %v, an endpoint %v", p.VIFType, m, visible(p), endpoint(p))
		}
	}
}

// behindRouter: a distributed router's interface is enough for a provider network to be served, and the one who serves it is told to speak for
// the router, and of the router and of the networks behind it, as if it had a port there.
func behindRouter(t *rapid.T, b *bench, network model.NetworkID, mirrors map[string]*mirror, holders func() []string) {
	router, other := model.RouterID{UUID: model.UUID{6}}, model.NetworkID{UUID: model.UUID{5, 5}}
	leg := func(n byte, at model.NetworkID) *model.Port {
		return &model.Port{ID: model.PortID{UUID: model.UUID{4, n}}, NetworkID: at, MAC: model.MAC{2, 0, 0, 0, 1, n}, DeviceID: router.String(), DeviceOwner: model.OwnerDVRInterface}
	}
	wired, behind, routed := uuidKey(wire.Kind_KIND_WIRE, network.UUID), uuidKey(wire.Kind_KIND_NETWORK, other.UUID), uuidKey(wire.Kind_KIND_ROUTER, router.UUID)
	b.write(func(tx *world.Tx) {
		tx.Networks.Put(&model.Network{ID: other, MTU: 1450, AdminStateUp: true})
		tx.Routers.Put(&model.Router{ID: router, Distributed: true, AdminStateUp: true})
		tx.Ports.Put(leg(1, network))
	})
	b.write(func(tx *world.Tx) { tx.Ports.Put(leg(2, other)) })
	by := holders()
	if len(by) != 1 || by[0] == "c3" {
		t.Fatalf("with a router, served by %v", by)
	}
	for h, m := range mirrors {
		for _, k := range []key{wired, behind, routed} {
			if _, has := m.has[k]; has != (h == by[0]) {
				t.Fatalf("%s serves; does %s hold %v of kind %v? %v", by[0], h, k.id, k.kind, has)
			}
		}
	}
	b.write(func(tx *world.Tx) { tx.Ports.Delete(leg(1, network).ID) })
	if none := holders(); len(none) != 0 {
		t.Fatalf("without the router, served by %v", none)
	}
}

// certified is the context of a call with a host's certificate.
func certified(host string) context.Context {
	chain := []*x509.Certificate{{Subject: pkix.Name{CommonName: host}}}
	return peer.NewContext(context.Background(), &peer.Peer{AuthInfo: credentials.TLSInfo{State: tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{chain}}}})
}

// TestSign: a request of an instance is signed for the host that its port is bound to; of a machine on a wire, for the host that serves it
// there at the moment; of a port that is nobody's instance, for none.
func TestSign(t *testing.T) {
	w, h, stop := open(t)
	defer stop()
	s := &Server{Deps: Deps{Writer: w, MetadataSecret: []byte("s3cret"), MetadataURL: "http://nova:8775"}, hub: h}
	network, overlay := model.NetworkID{UUID: model.UUID{1}}, model.NetworkID{UUID: model.UUID{2}}
	id := func(n byte) model.PortID { return model.PortID{UUID: model.UUID{9, n}} }
	dead := ""
	h.do(context.Background(), func() { h.alive = func(host string) bool { return host != dead } })
	_, err := w.Do(context.Background(), "test", func(tx *world.Tx) error {
		for i, name := range []string{"c1", "c2", "c3"} {
			host := &model.Host{Name: name, VTEP: netip.AddrFrom4([4]byte{10, 9, 9, byte(i)})}
			if name != "c3" {
				host.BridgeMappings = map[string]string{"rack": "eth1"}
			}
			tx.Hosts.Put(host)
		}
		tx.Networks.Put(&model.Network{ID: network, MTU: 1500, AdminStateUp: true})
		tx.Segments.Put(&model.Segment{ID: model.SegmentID{UUID: model.UUID{8}}, NetworkID: network, NetworkType: model.TypeVLAN, Physnet: "rack", SegmentationID: 7})
		tx.Subnets.Put(&model.Subnet{ID: model.SubnetID{UUID: model.UUID{7}}, NetworkID: network, CIDR: netip.MustParsePrefix("10.0.0.0/24"), EnableDHCP: true})
		tx.Ports.Put(&model.Port{ID: id(1), NetworkID: network, DeviceID: "metal", ProjectID: "p", Host: "node-7", VNICType: model.VNICBaremetal, VIFType: model.VIFOther})
		tx.Ports.Put(&model.Port{ID: id(2), NetworkID: network, DeviceID: "vm", ProjectID: "p", Host: "c3", VIFType: model.VIFTap})
		tx.Ports.Put(&model.Port{ID: id(3), NetworkID: network, VIFType: model.VIFUnbound})
		tx.Networks.Put(&model.Network{ID: overlay, MTU: 1450, AdminStateUp: true})
		tx.Segments.Put(&model.Segment{ID: model.SegmentID{UUID: model.UUID{6}}, NetworkID: overlay, NetworkType: model.TypeVXLAN, SegmentationID: 7})
		tx.Ports.Put(&model.Port{ID: id(4), NetworkID: overlay, DeviceID: "unbound", VIFType: model.VIFUnbound})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	serving := func() (host string) {
		h.do(context.Background(), func() { h.reelect(); host = h.serving[network] })
		return host
	}
	sign := func(host string, n byte) (*wire.SignReply, codes.Code) {
		u := id(n).UUID
		r, err := s.Sign(certified(host), &wire.SignRequest{PortId: u[:]})
		return r, status.Code(err)
	}
	check := func(serves string) {
		t.Helper()
		for n := range byte(4) {
			if _, code := sign("", n+1); code != codes.Unauthenticated {
				t.Errorf("port %d for a certificate without a name: %v", n+1, code)
			}
		}
		for _, host := range []string{"c1", "c2", "c3", "node-7"} {
			for n, by := range map[byte]string{1: serves, 2: "c3"} {
				r, code := sign(host, n)
				if by == host || n == 1 && host == "node-7" {
					mac := hmac.New(sha256.New, s.MetadataSecret)
					mac.Write([]byte(r.GetInstanceId()))
					if code != codes.OK || r.InstanceId != map[byte]string{1: "metal", 2: "vm"}[n] || r.ProjectId != "p" || r.Signature != hex.EncodeToString(mac.Sum(nil)) {
						t.Errorf("port %d for %s: %v %v", n, host, r, code)
					}
				} else if code != codes.NotFound {
					t.Errorf("port %d for %s: %v %v", n, host, r, code)
				}
			}
			if r, code := sign(host, 4); code != codes.NotFound {
				t.Errorf("a port on no wire for %s: %v %v", host, r, code)
			}
		}
	}
	first := serving()
	for first == "" { // the hub has not seen the commit yet
		first = serving()
	}
	check(first)
	if _, code := sign(first, 3); code != codes.FailedPrecondition {
		t.Errorf("a port without an instance: %v", code)
	}
	h.do(context.Background(), func() { dead = first })
	second := serving()
	if second == first || second == "" {
		t.Fatalf("after %s died, %q serves", first, second)
	}
	check(second)
}

// The first conntrack helper of a router takes its floating IPs to the gateway host, the end of the last one takes them back.
func TestHelpersTakeFloatingIPsToTheGatewayHost(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBench(rt)
		defer b.stop()
		external, router := model.NetworkID{UUID: model.UUID{1}}, model.RouterID{UUID: model.UUID{2}}
		port, floating := model.PortID{UUID: model.UUID{3}}, model.FloatingIPID{UUID: model.UUID{4}}
		b.write(func(tx *world.Tx) {
			for _, h := range []string{"c1", "c2"} {
				tx.Hosts.Put(&model.Host{Name: h, AgentMode: model.ModeDVRSNAT, BridgeMappings: map[string]string{"external": "br-ex"}})
			}
			tx.Networks.Put(&model.Network{ID: external, External: true})
			tx.Segments.Put(&model.Segment{ID: model.SegmentID{UUID: model.UUID{5}}, NetworkID: external, NetworkType: model.TypeFlat, Physnet: "external"})
			tx.Routers.Put(&model.Router{ID: router, Distributed: true, GatewayHost: "c2"})
			tx.Ports.Put(&model.Port{ID: port, NetworkID: model.NetworkID{UUID: model.UUID{6}}, Host: "c1", VIFType: "tap"})
			tx.FloatingIPs.Put(&model.FloatingIP{ID: floating, NetworkID: external, Port: port, Router: router})
		})
		b.settled()
		mirrors := map[string]*mirror{"c1": b.connect("c1", nil, model.Position{}), "c2": b.connect("c2", nil, model.Position{})}
		is := func(when, want string) {
			rt.Helper()
			b.settled()
			for h, m := range mirrors {
				m.drain(rt)
				if _, has := m.has[uuidKey(wire.Kind_KIND_FLOATING_IP, floating.UUID)]; has != (h == want) {
					rt.Fatalf("%s: %s has the floating IP: %v", when, h, has)
				}
			}
		}
		is("without helpers", "c1")
		helper := func(i byte) *model.ConntrackHelper {
			return &model.ConntrackHelper{ID: model.ConntrackHelperID{UUID: model.UUID{7, i}}, Router: router, Protocol: "tcp", Port: 21, Helper: "ftp"}
		}
		helpers := byte(rapid.IntRange(1, 3).Draw(rt, "helpers"))
		for i := range helpers {
			b.write(func(tx *world.Tx) { tx.ConntrackHelpers.Put(helper(i)) })
			is("with a helper", "c2")
		}
		for i := range helpers {
			is("with a helper left", "c2")
			b.write(func(tx *world.Tx) { tx.ConntrackHelpers.Delete(helper(i).ID) })
		}
		is("after the last helper", "c1")
	})
}
