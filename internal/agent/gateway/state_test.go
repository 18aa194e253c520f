package gateway

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

// silent checks that a connection is dead: what is said brings no answer.
func (e *env) silent(c net.Conn) {
	e.t.Helper()
	if err := c.SetDeadline(time.Now().Add(400 * time.Millisecond)); err != nil {
		e.t.Fatal(err)
	}
	_, _ = c.Write([]byte("still there?"))
	if n, err := c.Read(make([]byte, 100)); err == nil {
		e.t.Errorf("%v -> %v still answers %d bytes", c.LocalAddr(), c.RemoteAddr(), n)
	}
}

func (e *env) speaks(c net.Conn) {
	e.t.Helper()
	if _, err := say(c, "hello"); err != nil {
		e.t.Errorf("%v -> %v: %v", c.LocalAddr(), c.RemoteAddr(), err)
	}
}

func (e *env) open(from, network string, to netip.Addr) net.Conn {
	e.t.Helper()
	c, err := e.dial(from, network, to, 7, 0)
	e.must(err)
	e.speaks(c)
	return c
}

func (e *env) change() {
	e.t.Helper()
	if r := e.applyRouter(); len(r.Problems) > 0 {
		e.t.Fatal(r.Problems)
	}
}

func TestFloatingIPsEndConnections(t *testing.T) {
	e := newEnv(t)
	for _, name := range []string{"out", "c1", "c2"} {
		e.serve(name, 7)
	}
	floats := e.central.FloatingIPs
	in, out, other := e.open("out", "tcp", float1), e.open("c1", "tcp", outAddr), e.open("c2", "tcp", outAddr)
	inUDP := e.open("out", "udp", float1)

	e.central.FloatingIPs = floats[1:] // disassociated
	e.change()
	e.silent(in)
	e.silent(inUDP)
	e.silent(out)
	e.speaks(other)
	e.sees("c1", "tcp", outAddr, 7, gatewayAddr)

	masked := e.open("c1", "tcp", outAddr)
	e.central.FloatingIPs = floats // and associated again
	e.change()
	e.silent(masked)
	e.speaks(other)
	e.sees("c1", "tcp", outAddr, 7, float1)
	e.sees("out", "tcp", float1, 7, outAddr)

	in = e.open("out", "tcp", float1)
	moved := *floats[0]
	moved.Fixed = addr2
	e.central.FloatingIPs = []*hostplan.FloatingIP{&moved, floats[1]}
	e.change()
	e.silent(in)
	e.sees("c2", "tcp", outAddr, 7, float1)
}

func TestForwardingThatGoesEndsItsConnections(t *testing.T) {
	e := newEnv(t)
	e.serve("c2", 8080)
	e.serve("c2", 7005)
	dial := func(p int) net.Conn {
		c, err := e.dial("out", "tcp", floatPorts, p, 0)
		e.must(err)
		e.speaks(c)
		return c
	}
	one, other := dial(80), dial(7005)
	f := *e.central.FloatingIPs[2]
	f.Forwardings = f.Forwardings[1:]
	e.central.FloatingIPs = []*hostplan.FloatingIP{e.central.FloatingIPs[0], e.central.FloatingIPs[1], &f}
	e.change()
	e.silent(one)
	e.speaks(other)
}

// TestRestart: a Manager that knows nothing finds everything as it should be, and touches nothing.
func TestRestart(t *testing.T) {
	e := newEnv(t)
	for _, name := range []string{"out", "c1"} {
		e.serve(name, 7)
	}
	in, out, snat := e.open("out", "tcp", float1), e.open("c1", "tcp", outAddr), e.open("c2", "tcp", outAddr)
	e.in("router", func() error {
		return linux.SetRoute("", 4, linux.Route{Dst: netip.MustParsePrefix("192.0.2.0/24"), Blackhole: true})
	})
	look := func() string {
		var text string
		e.in("router", func() error {
			for _, args := range [][]string{{"nft", "-a", "list", "ruleset"}, {"ip", "-d", "addr"}, {"ip", "route"}, {"ip", "-6", "route"}} {
				b, err := exec.Command(args[0], args[1:]...).CombinedOutput()
				if err != nil {
					return err
				}
				text += string(b)
			}
			return nil
		})
		return text
	}
	before := look()
	for _, inSync := range []bool{false, true} {
		e.m = New(Deps{Dir: e.m.Dir, Log: e.m.Log})
		if r := e.apply(inSync, &e.central); len(r.Problems) > 0 || len(r.FloatingIPs) != len(e.central.FloatingIPs) {
			t.Fatalf("result %+v", r)
		}
	}
	if after := look(); after != before {
		t.Errorf("something has changed:\n%s\nwas:\n%s", after, before)
	}
	for _, c := range []net.Conn{in, out, snat} {
		e.speaks(c)
	}
	// Nothing is deleted by one who does not know yet what there is.
	e.m = New(Deps{Dir: e.m.Dir, Log: e.m.Log})
	e.apply(false, nil)
	less := e.central
	less.FloatingIPs, less.Legs = nil, less.Legs[1:]
	e.apply(false, &less)
	if after := look(); after != before {
		t.Errorf("something has changed before sync:\n%s\nwas:\n%s", after, before)
	}
}

// TestDamage: what others do to a namespace is undone at the next look.
func TestDamage(t *testing.T) {
	e := newEnv(t)
	for _, name := range []string{"out", "c1"} {
		e.serve(name, 7)
	}
	outer := "qg-" + e.central.Gateway.Port.String()[:11]
	for _, c := range []struct{ name, command string }{
		{"ruleset flushed", "nft flush ruleset"},
		{"a rule added in our table", "nft insert rule ip weft prerouting drop"},
		{"default route deleted", "ip route del default"},
		{"address deleted", "ip addr del 203.0.113.100/24 dev " + outer},
		{"address added", "ip addr add 203.0.113.55/24 dev " + outer},
		{"device down", "ip link set " + outer + " down"},
		{"device deleted", "ip link del " + outer},
		{"MAC changed", "ip link set " + outer + " address 02:00:00:00:00:01"},
		{"forwarding off", "sysctl -w net.ipv4.ip_forward=0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sub := *e
			sub.t = t
			sub.in("router", func() error {
				args := strings.Fields(c.command)
				b, err := exec.Command(args[0], args[1:]...).CombinedOutput()
				if err != nil {
					return fmt.Errorf("%w: %s", err, b)
				}
				return nil
			})
			clear(e.m.done)
			sub.change()
			sub.sees("c1", "tcp", outAddr, 7, float1)
			sub.sees("out", "tcp", float1, 7, outAddr)
		})
	}
	have, err := linux.Addrs(e.ns("router"), outer)
	e.must(err)
	if slices.Contains(have, netip.MustParsePrefix("203.0.113.55/24")) {
		t.Errorf("a foreign address stays: %v", have)
	}
}

func TestGatewayAddressChanges(t *testing.T) {
	e := newEnv(t)
	e.serve("out", 7)
	c := e.open("c2", "tcp", outAddr)
	g := *e.central.Gateway
	g.Addresses = prefixes("203.0.113.101/24", "203.0.113.102/24", "2001:db8:cb00:7100::100/64")
	e.central.Gateway = &g
	e.change()
	e.silent(c)
	e.sees("c2", "tcp", outAddr, 7, netip.MustParseAddr("203.0.113.101"))
}

func TestWithoutTranslation(t *testing.T) {
	e := newEnv(t)
	e.serve("out", 7)
	g := *e.central.Gateway
	e.central.Gateway = &g

	g.Plain = prefixes("10.0.1.0/24")
	e.change()
	e.sees("c4", "tcp", outAddr, 7, addr4)
	e.sees("c3", "tcp", outAddr, 7, float3) // a floating IP comes first
	e.sees("c2", "tcp", outAddr, 7, gatewayAddr)

	g.Plain, g.SNAT = nil, false
	e.change()
	e.sees("c2", "tcp", outAddr, 7, addr2)
	e.sees("c1", "tcp", outAddr, 7, float1)
}

func TestExtraRoutes(t *testing.T) {
	e := newEnv(t)
	e.must(linux.AddAddr(e.ns("c2"), "lo", netip.MustParsePrefix("10.9.0.5/32")))
	e.serve("c2", 7)
	e.sees("c3", "tcp", netip.MustParseAddr("10.9.0.5"), 7, addr3)
	if _, err := e.dial("c3", "tcp", netip.MustParseAddr("10.99.0.1"), 7, 0); err == nil {
		t.Error("a blackhole answers")
	}
	e.central.Routes = append(slices.Clone(e.central.Routes), hostplan.Route{Dst: netip.MustParsePrefix("10.8.0.0/24"), Via: gatewayAddr, Interface: e.central.Gateway.Port},
		hostplan.Route{Dst: netip.MustParsePrefix("10.7.0.0/24"), Via: addr2, Interface: model.PortID{UUID: id('x', 1)}})
	r := e.applyRouter()
	if len(r.Problems) != 2 || !strings.Contains(r.Problems[0].Why, "own address") || !strings.Contains(r.Problems[1].Why, "no leg") {
		t.Errorf("problems: %+v", r.Problems)
	}
	e.sees("c3", "tcp", netip.MustParseAddr("10.9.0.5"), 7, addr3)
}

// TestPortsRunOut: with every port of the gateway's address taken towards one server, a further client is refused service,
// nobody's packets are mixed up, and it works again once there is room.
func TestPortsRunOut(t *testing.T) {
	e := newEnv(t)
	e.serve("out", 7)
	first := e.open("c2", "udp", outAddr)
	e.in("c4", func() error { // which does not care for the answers
		if err := linux.Nft("", "table ip t { chain c { type filter hook prerouting priority raw; ip protocol udp drop; }; }"); err != nil {
			return err
		}
		return errors.Join(flood(outAddr, 7, 1<<16), flood(outAddr, 7, 1<<16))
	})
	lost := 0
	for range 20 {
		c, err := e.dial("c2", "udp", outAddr, 7, 0)
		e.must(err)
		e.must(c.SetDeadline(time.Now().Add(100 * time.Millisecond)))
		_, err = c.Write([]byte("late"))
		if err == nil {
			_, err = c.Read(make([]byte, 100))
		}
		if err != nil {
			lost++
		}
		c.Close()
	}
	if lost < 5 {
		t.Errorf("%d of 20 late clients are lost; are the ports really used up?", lost)
	}
	e.speaks(first)
	e.sees("c2", "tcp", outAddr, 7, gatewayAddr)
	n, err := linux.EndConnections(e.ns("router"), func(c linux.Connection) bool { return c.Orig.Src == addr4 && c.Protocol == 17 })
	if err != nil || n < 50_000 {
		t.Errorf("ended %d connections, %v", n, err)
	}
	e.sees("c2", "udp", outAddr, 7, gatewayAddr)
	e.speaks(first)
}

// flood opens UDP connections from n ports of c4.
func flood(to netip.Addr, port, n int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for i := range n {
		src := addr4.As4()
		p := make([]byte, 29)
		p[0], p[8], p[9] = 0x45, 64, 17
		copy(p[12:], src[:])
		copy(p[16:], to.AsSlice())
		binary.BigEndian.PutUint16(p[20:], uint16(i))
		binary.BigEndian.PutUint16(p[22:], uint16(port))
		binary.BigEndian.PutUint16(p[24:], 9)
		for {
			err := unix.Sendto(fd, p, 0, &unix.SockaddrInet4{Addr: to.As4()})
			if !errors.Is(err, syscall.ENOBUFS) && err != nil {
				return err
			}
			if err == nil {
				break
			}
		}
	}
	return nil
}

// TestNothingInsideShowsOutside: packets of no connection are not sent on with their inside address.
func TestNothingInsideShowsOutside(t *testing.T) {
	e := newEnv(t)
	// An ICMP error about a packet that never was.
	quote := make([]byte, 28)
	quote[0], quote[8], quote[9], quote[3] = 0x45, 60, 17, 28
	copy(quote[12:], outAddr.AsSlice())
	copy(quote[16:], addr2.AsSlice())
	icmp := append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, quote...)
	sum := uint32(0)
	for i := 0; i < len(icmp); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(icmp[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(icmp[2:], ^uint16(sum))
	frames := e.outside(func() {
		e.in("c2", func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Sendto(fd, icmp, 0, &unix.SockaddrInet4{Addr: outAddr.As4()})
		})
	})
	for _, f := range frames {
		if len(f) > 34 && binary.BigEndian.Uint16(f[12:]) == 0x0800 && strings.HasPrefix(netip.AddrFrom4([4]byte(f[26:30])).String(), "10.") {
			t.Errorf("seen outside: % x", f)
		}
	}
}

func TestAdminDownAndRemoval(t *testing.T) {
	e := newEnv(t)
	path := e.ns("router")
	e.central.AdminUp = false
	if r := e.apply(true, &e.central); r.Routers[e.central.Router] || len(r.FloatingIPs) > 0 || linux.NetnsExists(path) {
		t.Errorf("a router that is down is there: %+v", r)
	}
	links, err := linux.Links(e.host)
	e.must(err)
	for _, l := range links {
		if strings.HasPrefix(l.Name, "wi-") || strings.HasPrefix(l.Name, "wg-") {
			t.Errorf("%s is left", l.Name)
		}
	}
	e.central.AdminUp, e.central.Distributed = true, true
	e.change()
	if !linux.NetnsExists(e.ns("router")) || linux.NetnsExists(path) {
		t.Error("not the namespace of a distributed router")
	}
	e.serve("out", 7)
	e.sees("c1", "tcp", outAddr, 7, float1)
	e.apply(true, nil)
	if linux.NetnsExists(e.ns("router")) {
		t.Error("the namespace is left")
	}
}

func TestForeignNamespace(t *testing.T) {
	e := newEnv(t)
	e.apply(true, nil)
	path := filepath.Join(e.m.Dir, namespaceName(&e.central))
	e.must(linux.CreateNetns(path, "of somebody else"))
	r := e.apply(true, &e.central)
	if len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Why, "not made by Weft") || r.Routers[e.central.Router] {
		t.Errorf("%+v", r)
	}
	e.apply(true, nil)
	if !linux.NetnsExists(path) {
		t.Error("a namespace of somebody else was deleted")
	}
	e.must(linux.DeleteNetns(path))
	if r := e.apply(true, &e.central); len(r.Problems) > 0 {
		t.Errorf("it does not heal: %+v", r)
	}
}

func TestUnknownHelperLeavesTheRest(t *testing.T) {
	e := newEnv(t)
	e.serve("out", 7)
	e.central.Helpers = append(e.central.Helpers, hostplan.Helper{Protocol: 6, Port: 1720, Name: "nonsense"})
	r := e.applyRouter()
	if len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Why, "not in force: nonsense (tcp port 1720): ") {
		t.Errorf("problems: %+v", r.Problems)
	}
	e.sees("c2", "tcp", outAddr, 7, gatewayAddr)
	activeFTP(e) // the helper that the kernel has
}
