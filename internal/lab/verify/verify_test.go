package verify

import (
	"bytes"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/weft-cloud/weft/internal/linux"
)

var run = runID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}

// cloud is two computes and a controller, two networks, and a second tenant with an address of the first.
func cloud() Topology {
	in := func(name, host, network, tenant, mac, addr string, vni uint32) Instance {
		return Instance{Name: name, Netns: name, Interface: "eth0", Host: host, Tenant: tenant, Network: network, NetworkID: network, VNI: vni, MAC: mac,
			Device: "tap" + name, Addrs: []netip.Addr{netip.MustParseAddr(addr)}}
	}
	nics := []string{"enp0s8", "enp0s9"}
	return Topology{
		Hosts: []Host{
			{"controller", "c", netip.MustParseAddr("192.168.70.10"), nics, true},
			{"compute1", "c1", netip.MustParseAddr("192.168.70.11"), nics, false},
			{"compute2", "c2", netip.MustParseAddr("192.168.70.12"), nics, false},
		},
		Instances: []Instance{
			in("red1", "compute1", "red", "a", "fa:16:3e:00:00:01", "172.16.42.7", 10),
			in("red2", "compute2", "red", "a", "fa:16:3e:00:00:02", "172.16.42.6", 10),
			in("blue2", "compute2", "blue", "a", "fa:16:3e:00:00:04", "172.16.43.6", 11),
			in("red1-b", "compute1", "red-b", "b", "fa:16:3e:00:00:05", "172.16.42.7", 12),
		},
	}
}

const (
	routerMAC = "fa:16:3e:aa:aa:aa"
	dvrMAC    = "fa:16:3f:00:00:01"
)

// seen says that a packet was seen: "where/interface out", source and destination MAC.
type seen struct {
	at       string
	out      bool
	src, dst string
	ttl      int
	outer    *Outer
}

func hops(t Topology, list ...seen) []sighting {
	var out []sighting
	for i, s := range list {
		where, ifc, _ := strings.Cut(s.at, "/")
		h := Hop{Time: time.Unix(0, int64(i)), Where: where, Interface: ifc, Out: s.out, SrcMAC: s.src, DstMAC: s.dst, TTL: s.ttl, Outer: s.outer}
		for _, p := range capturePoints(t) {
			if p.Where == where && p.Interface == ifc {
				h.point = p
			}
		}
		out = append(out, sighting{hop: h})
	}
	return out
}

func tunnel(from, to string, vni uint32) *Outer {
	return &Outer{Src: from, Dst: to, VNI: vni, DF: true, Port: vxlanPort}
}

// good is a request from red1 to blue2 and its reply, as they must be.
func good(t Topology) []sighting {
	blue, red := tunnel("192.168.70.11", "192.168.70.12", 11), tunnel("192.168.70.12", "192.168.70.11", 10)
	request := hops(t,
		seen{"red1/eth0", true, "fa:16:3e:00:00:01", routerMAC, 64, nil},
		seen{"compute1/tapred1", false, "fa:16:3e:00:00:01", routerMAC, 64, nil},
		seen{"compute1/enp0s8", true, dvrMAC, "fa:16:3e:00:00:04", 63, blue},
		seen{"compute2/enp0s8", false, dvrMAC, "fa:16:3e:00:00:04", 63, blue},
		seen{"blue2/eth0", false, routerMAC, "fa:16:3e:00:00:04", 63, nil})
	reply := hops(t,
		seen{"blue2/eth0", true, "fa:16:3e:00:00:04", routerMAC, 64, nil},
		seen{"compute2/enp0s8", true, dvrMAC, "fa:16:3e:00:00:01", 63, red},
		seen{"compute1/enp0s8", false, dvrMAC, "fa:16:3e:00:00:01", 63, red},
		seen{"red1/eth0", false, routerMAC, "fa:16:3e:00:00:01", 63, nil})
	for i := range reply {
		reply[i].reply = true
	}
	return append(request, reply...)
}

func TestJudgeRouted(t *testing.T) {
	top := cloud()
	for _, tc := range []struct {
		name  string
		spoil func([]sighting) []sighting
		want  string // in a fault; "" = none
	}{
		{"as it must be", func(s []sighting) []sighting { return s }, ""},
		{"by way of the controller", func(s []sighting) []sighting {
			return append(s, hops(top, seen{"controller/enp0s8", false, dvrMAC, routerMAC, 64, tunnel("192.168.70.11", "192.168.70.10", 11)})...)
		}, "the controller saw 1 packets"},
		{"wrong VNI", func(s []sighting) []sighting { s[2].hop.Outer.VNI = 10; return s }, "VNI 10; the network it goes to has 11"},
		{"without DF", func(s []sighting) []sighting { s[2].hop.Outer.DF = false; return s }, "without DF"},
		{"outside of a tunnel", func(s []sighting) []sighting { s[3].hop.Outer = nil; return s }, "outside of a tunnel"},
		{"to another host", func(s []sighting) []sighting { s[2].hop.Outer.Dst = "192.168.70.10"; return s }, "192.168.70.10"},
		{"not routed", func(s []sighting) []sighting { s[4].hop.TTL = 64; return s }, "TTL 64, not 63"},
		{"routed twice", func(s []sighting) []sighting { s[4].hop.TTL = 62; return s }, "TTL 62, not 63"},
		{"with the DVR MAC", func(s []sighting) []sighting { s[4].hop.SrcMAC = "fa:16:3e:00:00:01"; return s }, "the sender's is"},
		{"never arrived", func(s []sighting) []sighting { return s[:4] }, "the request did not arrive in blue2"},
		{"no reply", func(s []sighting) []sighting { return s[:5] }, "the reply did not arrive in red1"},
		{"twice on the wire", func(s []sighting) []sighting { return append(s, s[2]) }, "left compute1 2 times"},
		{"in another instance, too", func(s []sighting) []sighting {
			return append(s, hops(top, seen{"red2/eth0", false, routerMAC, "fa:16:3e:00:00:04", 63, nil})...)
		}, "was seen in red2"},
		{"by the external network", func(s []sighting) []sighting {
			return append(s, hops(top, seen{"compute1/enp0s9", true, dvrMAC, routerMAC, 63, nil})...)
		}, "compute1 enp0s9"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := &task{from: top.Instances[0], to: top.Instances[2], result: measured{sent: 3, got: 3, http: "Hello from blue2 at 172.16.43.6:80."}}
			pair := judgePair(top, p, tc.spoil(good(top)))
			faults := strings.Join(pair.Faults, "\n")
			if tc.want == "" && faults != "" || !strings.Contains(faults, tc.want) {
				t.Errorf("faults %q, want %q", faults, tc.want)
			}
		})
	}
}

func TestJudgeSameHostMustNotLeaveIt(t *testing.T) {
	top := cloud()
	top.Instances[1].Host = "compute1"
	p := &task{from: top.Instances[0], to: top.Instances[1], result: measured{sent: 1, got: 1, http: "Hello from red2 at x"}}
	ok := hops(top, seen{"red1/eth0", true, "fa:16:3e:00:00:01", "fa:16:3e:00:00:02", 64, nil}, seen{"red2/eth0", false, "fa:16:3e:00:00:01", "fa:16:3e:00:00:02", 64, nil})
	back := hops(top, seen{"red1/eth0", false, "fa:16:3e:00:00:02", "fa:16:3e:00:00:01", 64, nil})
	back[0].reply = true
	if pair := judgePair(top, p, append(ok, back...)); !pair.OK() {
		t.Errorf("faults %v", pair.Faults)
	}
	bad := hops(top, seen{"compute1/enp0s8", true, "fa:16:3e:00:00:01", "fa:16:3e:00:00:02", 64, nil})
	if pair := judgePair(top, p, append(append(ok, back...), bad...)); pair.OK() || !strings.Contains(pair.Faults[0], "left the host") {
		t.Errorf("faults %v", pair.Faults)
	}
}

func TestAnotherInstanceOfTheAddressIsNotTheRightOne(t *testing.T) {
	top := cloud()
	p := &task{from: top.Instances[0], to: top.Instances[2], result: measured{sent: 3, got: 3, http: "Hello from blue2-b at 172.16.43.6:80."}}
	if pair := judgePair(top, p, good(top)); pair.OK() {
		t.Error("no fault")
	}
}

func TestIsolationSeesACrossing(t *testing.T) {
	top := cloud()
	tasks := crossings(top, 0)
	if len(tasks) == 0 || tasks[0].from.Tenant == tasks[0].to.Tenant {
		t.Fatalf("probes %v", tasks)
	}
	none := judgeIsolation(top, nil, tasks, nil)
	if !none.OK || none.Tenants != 2 || none.Probes != len(tasks) {
		t.Errorf("%+v", none)
	}
	for _, p := range tasks {
		got := hops(top, seen{p.to.Name + "/eth0", false, "x", "y", 64, nil})
		if iso := judgeIsolation(top, nil, tasks, map[uint32][]sighting{p.id: got}); iso.OK || iso.Crossed != 1 {
			t.Errorf("%s to %s: %+v", p.from.Name, p.to.Name, iso)
		}
	}
}

func TestPairsStayWithinATenantAndAFamily(t *testing.T) {
	if n := len(pairsOf(cloud())); n != 6 { // three instances of tenant a, IPv4 only
		t.Errorf("%d pairs", n)
	}
}

func mac(t testing.TB, s string) net.HardwareAddr {
	t.Helper()
	m, err := net.ParseMAC(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// frame is an echo request, in a tunnel if vni is not 0.
func frame(t testing.TB, vni uint32) []byte {
	t.Helper()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	eth := &layers.Ethernet{SrcMAC: mac(t, dvrMAC), DstMAC: mac(t, routerMAC), EthernetType: layers.EthernetTypeIPv4}
	ip := &layers.IPv4{Version: 4, TTL: 63, Protocol: layers.IPProtocolICMPv4, SrcIP: net.IPv4(172, 16, 42, 6), DstIP: net.IPv4(172, 16, 42, 7)}
	icmp := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: 1, Seq: 2}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, opts, eth, ip, icmp, gopacket.Payload(run.payload(77, 5))); err != nil {
		t.Fatal(err)
	}
	if vni == 0 {
		return bytes.Clone(buf.Bytes())
	}
	inner := bytes.Clone(buf.Bytes())
	oip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, Flags: layers.IPv4DontFragment, SrcIP: net.IPv4(192, 168, 70, 12), DstIP: net.IPv4(192, 168, 70, 11)}
	udp := &layers.UDP{SrcPort: 50000, DstPort: vxlanPort}
	if err := udp.SetNetworkLayerForChecksum(oip); err != nil {
		t.Fatal(err)
	}
	err := gopacket.SerializeLayers(buf, opts, &layers.Ethernet{SrcMAC: mac(t, "02:00:00:00:00:01"), DstMAC: mac(t, "02:00:00:00:00:02"), EthernetType: layers.EthernetTypeIPv4},
		oip, udp, &layers.VXLAN{ValidIDFlag: true, VNI: vni}, gopacket.Payload(inner))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(buf.Bytes())
}

func TestParse(t *testing.T) {
	for _, vni := range []uint32{0, 10} {
		b := frame(t, vni)
		task, seq, ok := run.find(b)
		if !ok || task != 77 || seq != 5 {
			t.Errorf("vni %d: task %d seq %d %v", vni, task, seq, ok)
		}
		h, reply, ok := parse(b)
		if !ok || reply || h.Src != "172.16.42.6" || h.Dst != "172.16.42.7" || h.TTL != 63 || h.SrcMAC != dvrMAC || h.DstMAC != routerMAC {
			t.Errorf("vni %d: %+v %v %v", vni, h, reply, ok)
		}
		if (h.Outer != nil) != (vni != 0) {
			t.Fatalf("vni %d: outer %+v", vni, h.Outer)
		}
		if vni != 0 && *h.Outer != (Outer{Src: "192.168.70.12", Dst: "192.168.70.11", VNI: 10, DF: true, Port: vxlanPort}) {
			t.Errorf("outer %+v", h.Outer)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(frame(f, 0))
	f.Add(frame(f, 10))
	f.Fuzz(func(_ *testing.T, b []byte) {
		parse(b)
		run.find(b)
	})
}

func TestPcapHasEveryFrameAtItsInterface(t *testing.T) {
	r := &Report{points: capturePoints(cloud())}
	for i := range r.points {
		b := frame(t, uint32(i)) //nolint:gosec // a few
		r.frames = append(r.frames, captured{linux.Frame{Time: time.Unix(int64(i), 0), Data: b, Length: len(b)}, i})
	}
	var out bytes.Buffer
	if err := r.WritePcap(&out); err != nil {
		t.Fatal(err)
	}
	rd, err := pcapgo.NewNgReader(&out, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range r.points {
		b, ci, err := rd.ReadPacketData()
		if err != nil || !bytes.Equal(b, r.frames[i].Data) || ci.InterfaceIndex != i || !ci.Timestamp.Equal(r.frames[i].Time) {
			t.Fatalf("packet %d: %+v %v", i, ci, err)
		}
		if ifc, err := rd.Interface(i); err != nil || ifc.Name != p.Where+" "+p.Interface {
			t.Errorf("interface %d: %q %v", i, ifc.Name, err)
		}
	}
}
