package wire

import (
	"net/netip"
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
	parts, err := ToRouter(reread(t, FromRouter(router, []*model.Port{port}, port), &Router{}))
	if d := cmp.Diff(RouterParts{router, []*model.Port{port}, port}, parts, equal, equalPrefix); d != "" || err != nil {
		t.Error(err, d)
	}
	subnet := &model.Subnet{ID: model.SubnetID{UUID: id(5)}, NetworkID: model.NetworkID{UUID: id(2)}, CIDR: netip.MustParsePrefix("10.0.0.0/24"),
		GatewayIP: netip.MustParseAddr("10.0.0.1"), EnableDHCP: true, DNS: []netip.Addr{netip.MustParseAddr("9.9.9.9")}, RAMode: "slaac"}
	gotSubnet, err := ToSubnet(reread(t, FromSubnet(subnet), &Subnet{}))
	if d := cmp.Diff(subnet, gotSubnet, equal, equalPrefix); d != "" || err != nil {
		t.Error(err, d)
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
			if q, err := ToPort(FromPort(p)); err != nil || cmp.Diff(p, q, equal, equalPrefix) != "" {
				t.Fatalf("%v does not survive: %v, %v", p, q, err)
			}
		}
	})
}
