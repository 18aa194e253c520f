package ebpf

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/linux"
)

// Hosts with IPv6 tunnel addresses carry the same traffic.
func TestIPv6Underlay(t *testing.T) {
	c := newCloud(t, Config{}, func(d *dptest.Cloud) {
		d.Hosts[0].VTEP, d.Hosts[1].VTEP = netip.MustParseAddr("fd00:70::11"), netip.MustParseAddr("fd00:70::12")
	})
	for fam, v6 := range families() {
		for _, to := range []string{"red2", "blue2"} {
			t.Run(fam+" to "+to, func(t *testing.T) { c.pair(t, "red1", to, v6) })
		}
	}
}

// Nothing that an instance sends reaches a listener of its host, with the agent alive and dead.
func TestHostIsOutOfReach(t *testing.T) {
	c := newCloud(t, Config{}, nil)
	var l net.Listener
	c.must(linux.InNetns(c.ns("compute1"), func() (err error) {
		l, err = net.Listen("tcp", ":7777")
		return err
	}))
	defer l.Close()
	reached := make(chan string, 16)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			reached <- conn.RemoteAddr().String()
			conn.Close()
		}
	}()
	links, err := linux.Links(c.ns("compute1"))
	c.must(err)
	targets := []string{c.cloud.Hosts[0].VTEP.String(), "172.16.42.1", "fd00:42::1"}
	for _, ln := range links {
		if len(ln.MAC) == 6 {
			targets = append(targets, eui64([6]byte(ln.MAC)).WithZone("eth0").String())
		}
	}
	for _, alive := range []bool{true, false} {
		if !alive {
			c.must(c.planes["compute1"].Close())
			c.planes["compute1"] = nil
		}
		for _, to := range targets {
			c.must(linux.InNetns(c.ns("red1"), func() error {
				conn, err := net.DialTimeout("tcp", net.JoinHostPort(to, "7777"), 200*time.Millisecond)
				if err == nil {
					t.Errorf("agent alive %v: %s:7777 of the host answers an instance", alive, to)
					conn.Close()
				}
				return nil
			}))
		}
	}
	select {
	case from := <-reached:
		t.Errorf("the host accepted a connection from %s", from)
	default:
	}
}

// A port that opens flow after flow uses up its own share of the connection table and nobody else's: other ports' replied
// connections lose no packet, and what is refused is told why.
func TestConnectionFlood(t *testing.T) {
	r := testRunner(t)
	cloud := dptest.Demo()
	for i := range cloud.Ports {
		cloud.Ports[i].Policy = dptest.Stateful(dptest.Any(true, false), dptest.Any(false, false))
	}
	const others, share, flood = 2000, 4000, 200_000
	r.Apply(cloud.States()["compute1"], Limits{ConnShare: share})
	frame := func(from, to string, sport, dport uint16) []byte {
		return dptest.IP{Src: cloud.Port(from).Addresses[0], Dst: cloud.Port(to).Addresses[0]}.UDP(sport, dport, make([]byte, 10)).
			Frame(dptest.PortMAC(to), dptest.PortMAC(from))
	}
	back := func(i int) Packet {
		return Packet{VTEP: cloud.Hosts[1].VTEP, VNI: 10, Frame: frame("red2", "red3", 53, uint16(10000+i))}
	}
	expect := func(p Packet, v Verdict, why reason.Reason) {
		t.Helper()
		if o, err := r.Run(p); err != nil || o.Verdict != v || o.Reason != why {
			t.Fatalf("%v, reason %d, %v; want %v, reason %d", o.Verdict, o.Reason, err, v, why)
		}
	}
	for i := range others {
		expect(Packet{From: dptest.PortID("red3"), Frame: frame("red3", "red2", uint16(10000+i), 53)}, Tunnel, reason.None)
		expect(back(i), Local, reason.None)
	}
	c := r.coll.Programs["from_instance"]
	in := weftTestIn{Ifindex: fakeIfindex(r.t.ids[rootEndpoint].find(dptest.PortID("red1").UUID))}
	if err := r.coll.Maps["test_input"].Put(uint32(0), &in); err != nil {
		t.Fatal(err)
	}
	f := frame("red1", "red2", 1, 1)
	for i := range flood {
		binary.BigEndian.PutUint32(f[34:], uint32(i)+1<<20) // both ports
		if _, err := c.Run(&ebpf.RunOptions{Data: f}); err != nil {
			t.Fatal(err)
		}
	}
	binary.BigEndian.PutUint32(f[34:], 77)
	expect(Packet{From: dptest.PortID("red1"), Frame: f}, Drop, reason.ConnTableFull)
	for i := range others {
		expect(back(i), Local, reason.None)
	}
}

// With nobody to collect them, connections past their time make room by themselves.
func TestConnectionsAgeWithoutTheAgent(t *testing.T) {
	r := testRunner(t)
	cloud := dptest.Demo()
	cloud.Port("red1").Policy = dptest.Stateful(dptest.Any(true, false))
	r.Apply(cloud.States()["compute1"], Limits{ConnShare: 100})
	for i := range defaultTimeouts {
		if err := r.coll.Maps["timeouts"].Put(uint32(i), uint32(1)); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(20 * time.Second)
	full := false
	for i := 0; ; i++ {
		f := dptest.IP{Src: cloud.Port("red1").Addresses[0], Dst: cloud.Port("red2").Addresses[0]}.UDP(uint16(i), 53, nil).
			Frame(dptest.PortMAC("red2"), dptest.PortMAC("red1"))
		o, err := r.Run(Packet{From: dptest.PortID("red1"), Frame: f})
		if err != nil {
			t.Fatal(err)
		}
		if o.Reason == reason.ConnTableFull {
			full = true
			time.Sleep(50 * time.Millisecond)
		} else if full {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("full %v, and no room after it", full)
		}
	}
}
