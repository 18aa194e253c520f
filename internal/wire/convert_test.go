package wire

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/weft-cloud/weft/internal/model"
)

var equal = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
var equalPrefix = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func TestRoundTrip(t *testing.T) {
	id := func(b byte) model.UUID { return model.UUID{b, 15: b} }
	port := &model.Port{ID: model.PortID{UUID: id(1)}, NetworkID: model.NetworkID{UUID: id(2)}, MAC: model.MAC{2, 3, 4},
		FixedIPs:     []model.FixedIP{{SubnetID: model.SubnetID{UUID: id(3)}, Address: netip.MustParseAddr("2001:db8::7")}},
		AddressPairs: []model.AddressPair{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}},
		Host:         "compute1", DeviceOwner: model.OwnerDVRInterface, DeviceID: "r", PortSecurity: true, DNSName: "web", DNSDomain: "corp.example."}
	wired, err := ToPort(reread(t, FromPort(port), &Port{}))
	if d := cmp.Diff(port, wired, equal, equalPrefix); d != "" || err != nil {
		t.Error(err, d)
	}
	router := &model.Router{ID: model.RouterID{UUID: id(4)}, AdminStateUp: true, Distributed: true, GatewayPort: port.ID,
		Routes: []model.Route{{Destination: netip.MustParsePrefix("0.0.0.0/0"), NextHop: netip.MustParseAddr("10.0.0.9")}}}
	whole := RouterParts{router, []*model.Port{port}, port, []Helper{{17, 69, "tftp"}}, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}}
	parts, err := ToRouter(reread(t, FromRouter(whole), &Router{}))
	if d := cmp.Diff(whole, parts, equal, equalPrefix); d != "" || err != nil {
		t.Error(err, d)
	}
	subnet := &model.Subnet{ID: model.SubnetID{UUID: id(5)}, NetworkID: model.NetworkID{UUID: id(2)}, CIDR: netip.MustParsePrefix("10.0.0.0/24"),
		GatewayIP: netip.MustParseAddr("10.0.0.1"), EnableDHCP: true, DNS: []netip.Addr{netip.MustParseAddr("9.9.9.9")}, RAMode: "slaac"}
	gotSubnet, err := ToSubnet(reread(t, FromSubnet(subnet), &Subnet{}))
	if d := cmp.Diff(subnet, gotSubnet, equal, equalPrefix); d != "" || err != nil {
		t.Error(err, d)
	}
}

func TestRoundTripOutside(t *testing.T) {
	id := func(b byte) model.UUID { return model.UUID{b, 15: b} }
	net := model.NetworkID{UUID: id(1)}
	external := ExternalParts{&model.Network{ID: net, MTU: 1500, External: true},
		[]*model.Segment{{ID: model.SegmentID{UUID: id(2)}, NetworkID: net, NetworkType: model.TypeVLAN, Physnet: "external", SegmentationID: 7}},
		[]*model.Subnet{{ID: model.SubnetID{UUID: id(3)}, NetworkID: net, CIDR: netip.MustParsePrefix("2001:db8::/64"), GatewayIP: netip.MustParseAddr("fe80::1")}}}
	got, err := ToExternal(reread(t, FromExternal(external), &External{}))
	if d := cmp.Diff(external, got, equal, equalPrefix); d != "" || err != nil {
		t.Error(err, d)
	}
	f := model.FloatingIPID{UUID: id(4)}
	floating := FloatingIPParts{&model.FloatingIP{ID: f, NetworkID: net, Address: netip.MustParseAddr("203.0.113.9"), Router: model.RouterID{UUID: id(5)},
		Port: model.PortID{UUID: id(6)}, FixedIP: netip.MustParseAddr("10.0.0.9"), Since: 1 << 40}, model.MAC{2, 3}, true,
		[]Forwarding{{&model.PortForwarding{ID: model.PortForwardingID{UUID: id(7)}, FloatingIP: f, Port: model.PortID{UUID: id(8)},
			Address: netip.MustParseAddr("10.0.0.8"), External: model.PortRange{First: 65000, Last: 65535}, Internal: model.PortRange{First: 22, Last: 22}}, 132}}}
	back, err := ToFloatingIP(reread(t, FromFloatingIP(floating), &FloatingIP{}))
	if d := cmp.Diff(floating, back, equal, equalPrefix); d != "" || err != nil {
		t.Error(err, d)
	}
	for _, bad := range []*FloatingIP{{}, {Address: []byte{1}}, {Address: []byte{1, 2, 3, 4}, Forwardings: []*PortForwarding{{Protocol: 256}}},
		{Address: []byte{1, 2, 3, 4}, Forwardings: []*PortForwarding{{ExternalLast: 1 << 16}}}} {
		if _, err := ToFloatingIP(bad); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

func TestNDPProxyRoundTrip(t *testing.T) {
	id := func(n byte) model.UUID { return model.UUID{n} }
	p := NDPProxyParts{&model.NDPProxy{ID: model.NDPProxyID{UUID: id(1)}, Router: model.RouterID{UUID: id(2)}, PortID: model.PortID{UUID: id(3)},
		Address: netip.MustParseAddr("2001:db8:a::9")}, model.NetworkID{UUID: id(4)}, true}
	back, err := ToNDPProxy(reread(t, FromNDPProxy(p), &NDPProxy{}))
	if d := cmp.Diff(p, back, equal); d != "" || err != nil {
		t.Error(err, d)
	}
	for _, bad := range []*NDPProxy{{}, {Address: []byte{1}}, {Address: []byte{10, 0, 0, 9}}, {Address: make([]byte, 16), PortId: []byte{1}}} {
		if _, err := ToNDPProxy(bad); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

func reread[M proto.Message](t *testing.T, m, into M) M {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
	return into
}

func FuzzToPort(f *testing.F) {
	b, _ := proto.Marshal(FromPort(&model.Port{MAC: model.MAC{1}, Host: "h"}))
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Port
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		if p, err := ToPort(&m); err == nil {
			if !strings.HasPrefix(p.DeviceOwner, model.OwnerNetworkPrefix) {
				p.DeviceID = "" // which FromPort tells to nobody
			}
			if q, err := ToPort(FromPort(p)); err != nil || cmp.Diff(p, q, equal, equalPrefix) != "" {
				t.Fatalf("%v does not survive: %v, %v", p, q, err)
			}
		}
	})
}
