package forward_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/forward"
)

func TestFrame(t *testing.T) {
	c := dptest.Demo()
	c.Networks[0].Subnets = append(c.Networks[0].Subnets, dptest.Subnet{Prefix: netip.MustParsePrefix("10.5.0.0/24")})
	c.Ports = append(c.Ports, dptest.Port{Name: "lonely", Host: "compute1", Network: "red", Addresses: []netip.Addr{netip.MustParseAddr("10.5.0.4")}})
	w := forward.NewWorld(c.States())
	leg, red1, red2 := dptest.LegMAC("router", "red"), dptest.PortMAC("red1"), dptest.PortMAC("red2")
	ip := func(net, last int, v6 bool) dptest.IP {
		return dptest.IP{Src: dptest.DemoAddr(0, 11, v6), Dst: dptest.DemoAddr(net, last, v6)}
	}
	df := ip(1, 12, false)
	df.DF = true
	raw := ip(0, 12, false)
	raw.Proto, raw.Payload = 89, make([]byte, 8)
	for _, x := range []struct {
		name string
		ask  forward.Ask
		want []byte
	}{
		{"ping on the subnet", forward.Ask{Dst: ip(0, 12, false).Dst, Proto: 1}, ip(0, 12, false).ICMP(8, 0, 0, nil).Frame(red2, red1)},
		{"ping through the router", forward.Ask{Dst: ip(1, 12, true).Dst, Proto: 1}, ip(1, 12, true).ICMP(128, 0, 0, nil).Frame(leg, red1)},
		{"UDP", forward.Ask{Dst: ip(1, 12, true).Dst, Proto: 17, SrcPort: 9, DstPort: 53}, ip(1, 12, true).UDP(9, 53, nil).Frame(leg, red1)},
		{"UDP of a size", forward.Ask{Dst: df.Dst, Proto: 17, SrcPort: 9, DstPort: 53, Size: 1400, DF: true}, df.UDP(9, 53, make([]byte, 1400-28)).Frame(leg, red1)},
		{"another protocol", forward.Ask{Dst: raw.Dst, Proto: 89}, raw.Frame(red2, red1)},
	} {
		t.Run(x.name, func(t *testing.T) {
			got, err := w.Frame(dptest.PortID("red1"), x.ask)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(x.want, got); diff != "" {
				t.Errorf("%s, want %s (-want +got)\n%s", forward.Summary(got), forward.Summary(x.want), diff)
			}
		})
	}
	for _, x := range []struct {
		name, port, dst string
		want            error
	}{
		{"a port that is nowhere", "nobody", "172.16.43.12", forward.ErrNoPort},
		{"a family that the port does not have", "lonely", "fd00:43::c", forward.ErrNoSource},
		{"a subnet without a gateway", "lonely", "172.16.43.12", forward.ErrNoGateway},
		{"a neighbour that is not there", "red1", "172.16.42.99", forward.ErrUnresolved},
	} {
		t.Run(x.name, func(t *testing.T) {
			if _, err := w.Frame(dptest.PortID(x.port), forward.Ask{Dst: netip.MustParseAddr(x.dst), Proto: 1}); !errors.Is(err, x.want) {
				t.Errorf("error %v, want %v", err, x.want)
			}
		})
	}
}

// A TCP SYN that Frame makes opens the connection that the policy waits for.
func TestFrameOpensTCP(t *testing.T) {
	c := dptest.Demo()
	c.Port("blue2").Policy = dptest.Stateful(dptest.Allow(false, false, 6, 80, 80))
	w := forward.NewWorld(c.States())
	for port, reached := range map[uint16]int{80: 1, 81: 0} {
		frame, err := w.Frame(dptest.PortID("red1"), forward.Ask{Dst: dptest.DemoAddr(1, 12, false), Proto: 6, SrcPort: 4000, DstPort: port})
		if err != nil {
			t.Fatal(err)
		}
		path, err := w.Trace(dptest.PortID("red1"), frame)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(path.Delivered()); got != reached {
			t.Errorf("port %d: delivered to %d, want %d", port, got, reached)
		}
	}
}
