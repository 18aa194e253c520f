package service

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/agent/frame"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

func portN(n byte) model.PortID { return model.PortID{UUID: model.UUID{n}} }

func state(ports ...byte) *hostplan.State {
	st := &hostplan.State{Endpoints: map[model.PortID]*hostplan.Endpoint{}}
	for _, n := range ports {
		st.Endpoints[portN(n)] = &hostplan.Endpoint{Port: portN(n)}
	}
	return st
}

// wire is a tun device that remembers what was written.
type wire struct {
	bytes.Buffer
	last []byte
}

func (w *wire) Write(b []byte) (int, error) { w.last = bytes.Clone(b); return len(b), nil }
func (w *wire) Close() error                { return nil }

var (
	vmMAC   = model.MAC{0xfa, 0x16, 0x3e, 0, 0, 1}
	hostMAC = model.MAC{2, 0, 169, 254, 169, 254}
)

func datagram(from, to string) []byte {
	return frame.UDP{SrcMAC: vmMAC, DstMAC: hostMAC, Src: netip.MustParseAddrPort(from), Dst: netip.MustParseAddrPort(to), Payload: []byte("question")}.Bytes()
}

// TestTranslation: out and back, two tenants with the same addresses have different ways, and a port that is gone has none.
func TestTranslation(t *testing.T) {
	w := &wire{}
	got := map[model.PortID]frame.UDP{}
	g := New(Deps{Tun: w, Log: slog.New(slog.DiscardHandler), Inject: func(id model.PortID, b []byte) error {
		u, err := frame.ParseUDP(b)
		got[id] = u
		return err
	}})
	st := state(1, 2)
	for _, tc := range []struct{ from, to, own string }{
		{"10.0.0.5:4000", "10.0.0.2:53", "169.254.169.254"}, {"[fd00::5]:4000", "[fd00::2]:53", "fd77:6566:7400:1::1"},
	} {
		seen := map[netip.Addr]bool{}
		for _, n := range []byte{1, 2, 1} {
			g.Handle(dataplane.Punt{Port: portN(n), Frame: datagram(tc.from, tc.to)}, st)
			p, err := frame.ParsePacket(w.last)
			if err != nil {
				t.Fatal(err)
			}
			if p.Dst.String() != tc.own || !range4.Contains(p.Src) && !range6.Contains(p.Src) {
				t.Errorf("%v → %v", p.Src, p.Dst)
			}
			id, inst, ok := g.Attribute(p.Src)
			if id != portN(n) || inst != netip.MustParseAddrPort(tc.from).Addr() || !ok {
				t.Errorf("attributed to %v %v %v", id, inst, ok)
			}
			seen[p.Src] = true
			p.Src, p.Dst = p.Dst, p.Src
			g.back(p.AppendPacket(nil))
			u := got[portN(n)]
			if u.Src.Addr() != netip.MustParseAddrPort(tc.to).Addr() || u.Dst.Addr() != inst || u.SrcMAC != hostMAC || u.DstMAC != vmMAC {
				t.Errorf("back: %+v", u)
			}
		}
		if len(seen) != 2 {
			t.Errorf("%d ways for two ports", len(seen))
		}
	}
	g.Keep(func(id model.PortID) bool { return id != portN(1) })
	if len(g.ways) != 2 || len(g.byKey) != 2 || len(g.ports) != 1 {
		t.Errorf("%d ways, %d keys, %d ports are left", len(g.ways), len(g.byKey), len(g.ports))
	}
	w.last = nil
	g.Handle(dataplane.Punt{Port: portN(9), Frame: datagram("10.0.0.5:1", "10.0.0.2:53")}, st)
	if w.last != nil {
		t.Error("a port that is not here was let in")
	}
}

// TestShare: a port that uses many addresses loses its own oldest ones, not another's.
func TestShare(t *testing.T) {
	g := New(Deps{Tun: &wire{}, Log: slog.New(slog.DiscardHandler)})
	first := g.way(key{portN(2), netip.MustParseAddr("10.0.0.1"), addr4}, vmMAC, hostMAC)
	for i := range 3 * perPort {
		g.way(key{portN(1), netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}), addr4}, vmMAC, hostMAC)
	}
	if _, _, ok := g.Attribute(first); !ok || len(g.ports[portN(1)]) != perPort || len(g.ways) != perPort+1 {
		t.Errorf("%v, %d, %d", ok, len(g.ports[portN(1)]), len(g.ways))
	}
}

func FuzzHandle(f *testing.F) {
	f.Add(datagram("10.0.0.5:4000", "10.0.0.2:53"))
	f.Add(datagram("[fd00::5]:4000", "[fd00::2]:53"))
	st := state(1)
	f.Fuzz(func(t *testing.T, b []byte) {
		w := &wire{}
		g := New(Deps{Tun: w, Log: slog.New(slog.DiscardHandler), Inject: func(_ model.PortID, b []byte) error {
			_, err := frame.ParseIP(b)
			return err
		}})
		g.Handle(dataplane.Punt{Port: portN(1), Frame: b}, st)
		if w.last != nil {
			if _, err := frame.ParsePacket(w.last); err != nil {
				t.Error(err)
			}
		}
		g.back(b)
	})
}

// guest is an instance's namespace whose cable ends at the gate, in place of a data plane.
type guest struct {
	ns   string
	conn *packet.Conn
}

func newGuest(t *testing.T, n byte) guest {
	t.Helper()
	if err := linux.PrepareNetnsDir(); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("wt-%d-%x-%d", os.Getpid(), time.Now().UnixNano()&0xffffff, n)
	g := guest{ns: name + "-vm"}
	far := name + "-far"
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, ns := range []string{g.ns, far} {
		check(linux.CreateNetns(ns, "weft test"))
		t.Cleanup(func() { linux.DeleteNetns(ns) })
	}
	check(linux.AddVeth(linux.Veth{Name: "eth0", Netns: g.ns, Peer: linux.End{Name: "far", Netns: far}, MTU: 1450, MAC: vmMAC[:]}))
	check(linux.SetUp(far, "far"))
	check(linux.SetUp(g.ns, "eth0"))
	check(linux.AddAddr(g.ns, "eth0", netip.MustParsePrefix("10.0.0.5/24")))
	check(linux.AddAddr(g.ns, "eth0", netip.MustParsePrefix("fe80::f816:3eff:fe00:1/64")))
	check(linux.ReplaceRoute(g.ns, "eth0", netip.MustParsePrefix("169.254.169.254/32"), netip.Addr{}))
	check(linux.InNetns(far, func() error {
		ifi, err := net.InterfaceByName("far")
		if err != nil {
			return err
		}
		g.conn, err = packet.Listen(ifi, packet.Raw, unix.ETH_P_ALL, nil)
		return err
	}))
	return g
}

// carry hands the guest's TCP to the gate, and answers its ARP and ND.
func (g guest) carry(gate *Gate, id model.PortID, st *hostplan.State) {
	buf := make([]byte, 65536)
	for {
		n, _, err := g.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		b := bytes.Clone(buf[:n])
		if n < 42 || model.MAC(b[6:12]) != vmMAC {
			continue
		}
		switch kind := binary.BigEndian.Uint16(b[12:]); {
		case kind == 0x0806 && b[21] == 1:
			out := append(append(append([]byte{}, b[6:12]...), hostMAC[:]...), 8, 6, 0, 1, 8, 0, 6, 4, 0, 2)
			out = append(append(append(out, hostMAC[:]...), b[38:42]...), b[22:32]...)
			g.send(out)
		case kind == 0x86dd && b[20] == 58 && b[54] == 135:
			target := netip.AddrFrom16([16]byte(b[62:78]))
			if target.String() != "fe80::a9fe:a9fe" {
				continue
			}
			body := append(append([]byte{0x60, 0, 0, 0}, b[62:78]...), 2, 1)
			g.send(frame.ICMP6{SrcMAC: hostMAC, DstMAC: vmMAC, Src: target, Dst: netip.AddrFrom16([16]byte(b[22:38])), HopLimit: 255, Type: 136, Body: append(body, hostMAC[:]...)}.Bytes())
		case kind == 0x0800 && b[23] == 6, kind == 0x86dd && b[20] == 6:
			gate.Handle(dataplane.Punt{Port: id, Frame: b}, st)
		}
	}
}

func (g guest) send(b []byte) { g.conn.WriteTo(b, &packet.Addr{HardwareAddr: b[:6]}) }

// TestNamespace: two guests with the same address fetch a page of 300 kB over both families at once, through the kernel's
// TCP, and each is known by its port.
func TestNamespace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	n, err := OpenNet()
	if err != nil {
		t.Fatal(err)
	}
	guests := map[model.PortID]guest{portN(1): newGuest(t, 1), portN(2): newGuest(t, 2)}
	st := state(1, 2)
	gate := New(Deps{Tun: n.Tun, Log: slog.New(slog.DiscardHandler), Inject: func(id model.PortID, b []byte) error { guests[id].send(b); return nil }})
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		if err := gate.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	page := bytes.Repeat([]byte("metadata "), 33334)
	srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, _ := netip.ParseAddrPort(r.RemoteAddr)
		id, inst, _ := gate.Attribute(a.Addr().Unmap())
		fmt.Fprintln(w, id, inst)
		w.Write(page)
	})}
	for _, l := range n.HTTP {
		all.Go(func() { srv.Serve(l) })
	}
	for id, g := range guests {
		all.Go(func() { g.carry(gate, id, st) })
	}
	t.Cleanup(func() {
		stop()
		srv.Close()
		for _, g := range guests {
			g.conn.Close()
		}
		all.Wait()
		n.Close()
	})
	if n.NoIPv6 != nil {
		t.Error(n.NoIPv6)
	}
	var fetches sync.WaitGroup
	for id, g := range guests {
		for to, from := range map[string]string{"169.254.169.254:80": "10.0.0.5", "[fe80::a9fe:a9fe%eth0]:80": "fe80::f816:3eff:fe00:1"} {
			fetches.Go(func() { fetch(t, g, to, fmt.Sprintln(id, from), page) })
		}
	}
	fetches.Wait()
}

func fetch(t *testing.T, g guest, to, first string, page []byte) {
	var c net.Conn
	err := linux.InNetns(g.ns, func() error {
		l, err := linux.LinkByName("", "eth0")
		if err != nil {
			return err
		}
		to = strings.Replace(to, "eth0", strconv.Itoa(l.Index), 1) // package net keeps names of another namespace
		// A link-local address is tentative for a moment (duplicate address detection).
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			c, err = net.DialTimeout("tcp", to, 10*time.Second)
			if !errors.Is(err, syscall.EADDRNOTAVAIL) || time.Now().After(deadline) {
				break
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprint(c, "GET / HTTP/1.0\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Errorf("%s: %v", to, err)
		return
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || string(b) != first+string(page) {
		t.Errorf("%s: %v, %d bytes, begins %q", to, err, len(b), b[:min(len(b), 80)])
	}
}
