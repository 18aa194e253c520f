package devices

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/linux"
)

func TestFind(t *testing.T) {
	links := map[string]linux.Link{}
	for i, l := range []linux.Link{
		{Name: "eth0", Kind: "device", Up: true}, {Name: "eth1", Kind: "device", Up: true, Master: 102}, {Name: "br-ex", Kind: "bridge", Up: true},
		{Name: "veth9", Kind: "veth", Up: true, Master: 102}, {Name: "tap8bab97bd-01", Kind: "tun", Up: true, Master: 102}, {Name: "br-empty", Kind: "bridge"},
		{Name: "tap8bab97bd-02", Kind: "tun"}, {Name: "wi-b301e968-83", Kind: "veth", Up: true}, {Name: "wg-b301e968-83", Kind: "veth", Up: true}, {Name: "ovs0", Kind: "openvswitch"},
		{Name: "eth2", Kind: "device"}, {Name: "tap0", Kind: "tun"}, {Name: "wg-office", Kind: "wireguard"}, {Name: "tapestry", Kind: "tun"}, {Name: "br-cable", Kind: "bridge"}, {Name: "veth1", Kind: "veth", Up: true, Master: 114},
	} {
		l.Index = 100 + i
		links[l.Name] = l
	}
	f := Watcher{Mappings: map[string]string{"a": "eth0", "b": "br-ex", "c": "br-empty", "d": "nowhere", "e": "ovs0", "f": "eth2", "g": "br-cable"}}.find(links)
	names := map[string][]string{}
	for net, list := range f.Physical {
		for _, d := range list {
			names[net] = append(names[net], d.Name)
		}
	}
	if diff := cmp.Diff(map[string][]string{"a": {"eth0"}, "b": {"eth1"}, "f": {"eth2"}, "g": {"veth1"}}, names); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(dataplane.Device{Name: "wi-b301e968-83", Index: 107, Up: true}, f.Devices["wi-b301e968-83"]); diff != "" || len(f.Devices) != 4 {
		t.Errorf("devices %v: %s", f.Devices, diff)
	}
	want := map[string]string{"c": "no physical port", "d": "bridge mapping d:nowhere: there is no interface nowhere; create it", "e": "Open vSwitch", "f": "is down"}
	for _, p := range f.Problems {
		if want[p.ID] == "" || !strings.Contains(p.Why, want[p.ID]) {
			t.Errorf("problem %+v", p)
		}
		delete(want, p.ID)
	}
	if len(want) > 0 {
		t.Errorf("not told: %v", want)
	}
}
