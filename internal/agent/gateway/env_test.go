package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

// env is a gateway host with a router, without a data plane: bridges stand for the networks.
//
//	out ── br-ex ── wg═qg ─ router ─ qr═wi ── br-red ── c1 (10.0.0.11, floating 203.0.113.110), c2 (10.0.0.12)
//	                               └ qr═wi ── br-blue ─ c3 (10.0.1.13, floating 203.0.113.113), c4 (10.0.1.14)
//
// Behind out is 198.51.100.0/24, of which 198.51.100.7 is out's own, and 2001:db8:ffff::/64.
type env struct {
	t       *testing.T
	host    string
	m       *Manager
	central hostplan.Central
	ext     *hostplan.External
}

var (
	gatewayAddr, outAddr, farAddr = netip.MustParseAddr("203.0.113.100"), netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("198.51.100.7")
	float1, float3, floatPorts    = netip.MustParseAddr("203.0.113.110"), netip.MustParseAddr("203.0.113.113"), netip.MustParseAddr("203.0.113.120")
	addr1, addr2                  = netip.MustParseAddr("10.0.0.11"), netip.MustParseAddr("10.0.0.12")
	addr3, addr4                  = netip.MustParseAddr("10.0.1.13"), netip.MustParseAddr("10.0.1.14")
	gateway6, out6                = netip.MustParseAddr("2001:db8:cb00:7100::100"), netip.MustParseAddr("2001:db8:cb00:7100::1")
	addr26                        = netip.MustParseAddr("fd00:1::12")
)

func id(kind byte, n byte) model.UUID {
	return model.UUID{kind, n, 0x11, 0x22, 0x40, 0, 0x80, 0, 15: n}
}

func prefixes(list ...string) (out []netip.Prefix) {
	for _, p := range list {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// reference is the router of the picture.
func reference() (hostplan.Central, *hostplan.External) {
	red, blue, gw := model.PortID{UUID: id('r', 1)}, model.PortID{UUID: id('b', 1)}, model.PortID{UUID: id('g', 1)}
	leg := func(p model.PortID, mac byte, addrs ...string) hostplan.Leg {
		return hostplan.Leg{Interface: hostplan.Interface{Port: p, MAC: model.MAC{0xfa, 0x16, 0x3e, 0, 0, mac}, MTU: 1500, Addresses: prefixes(addrs...)}, Device: hostplan.InnerDeviceName(p)}
	}
	ext := &hostplan.External{ID: model.NetworkID{UUID: id('e', 1)}, MTU: 1500}
	float := func(n byte, a, fixed netip.Addr) *hostplan.FloatingIP {
		return &hostplan.FloatingIP{ID: model.FloatingIPID{UUID: id('f', n)}, Central: true, External: ext.ID, Address: a, Fixed: fixed}
	}
	forwards := float(3, floatPorts, netip.Addr{})
	for i, f := range []hostplan.PortForwarding{
		{Protocol: 6, External: model.PortRange{First: 80, Last: 80}, Internal: model.PortRange{First: 8080, Last: 8080}},
		{Protocol: 17, External: model.PortRange{First: 5000, Last: 5009}, Internal: model.PortRange{First: 6000, Last: 6009}},
		{Protocol: 6, External: model.PortRange{First: 7000, Last: 7009}, Internal: model.PortRange{First: 7000, Last: 7009}},
		{Protocol: 6, External: model.PortRange{First: 9000, Last: 9005}, Internal: model.PortRange{First: 2200, Last: 2200}},
	} {
		f.ID, f.Address = model.PortForwardingID{UUID: id('p', byte(i))}, addr2
		forwards.Forwardings = append(forwards.Forwardings, f)
	}
	return hostplan.Central{
		Router: model.RouterID{UUID: id('R', 1)}, AdminUp: true,
		Legs: []hostplan.Leg{leg(blue, 2, "10.0.1.1/24", "fd00:2::1/64"), leg(red, 1, "10.0.0.1/24", "fd00:1::1/64")},
		Gateway: &hostplan.Gateway{Port: gw, External: ext.ID, MAC: model.MAC{0xfa, 0x16, 0x3e, 0, 0, 9}, SNAT: true,
			Addresses: prefixes("203.0.113.100/24", "2001:db8:cb00:7100::100/64")},
		OuterDevice: hostplan.OuterDeviceName(gw),
		Routes: []hostplan.Route{
			{Dst: netip.MustParsePrefix("10.0.0.0/24"), Interface: red},
			{Dst: netip.MustParsePrefix("203.0.113.0/24"), Interface: gw},
			{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: outAddr, Interface: gw},
			{Dst: netip.MustParsePrefix("::/0"), Via: out6, Interface: gw},
			{Dst: netip.MustParsePrefix("10.9.0.0/24"), Via: addr2, Interface: red},
			{Dst: netip.MustParsePrefix("10.99.0.0/24"), Blackhole: true},
		},
		FloatingIPs: []*hostplan.FloatingIP{float(1, float1, addr1), float(2, float3, addr3), forwards},
		Helpers:     []hostplan.Helper{{Protocol: 6, Port: 21, Name: "ftp"}},
	}, ext
}

func newEnv(t *testing.T) *env {
	t.Helper()
	if os.Geteuid() != 0 || os.Getenv("WEFT_TEST_PRIVILEGED") == "0" {
		t.Skip("needs root: makes network namespaces")
	}
	e := &env{t: t, m: New(Deps{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})}
	e.central, e.ext = reference()
	e.must(linux.PrepareNetnsDir())
	e.host = e.netns("host")
	for _, b := range []string{"br-red", "br-blue", "br-ex"} {
		e.must(linux.AddBridge(e.host, b, 1500))
	}
	t.Cleanup(func() { e.apply(true, nil) })
	if r := e.applyRouter(); len(r.Problems) > 0 {
		t.Fatalf("problems: %+v", r.Problems)
	}
	e.client("c1", "br-red", "10.0.0.1", "fd00:1::1", "10.0.0.11/24", "fd00:1::11/64")
	e.client("c2", "br-red", "10.0.0.1", "fd00:1::1", "10.0.0.12/24", "fd00:1::12/64")
	e.client("c3", "br-blue", "10.0.1.1", "fd00:2::1", "10.0.1.13/24", "fd00:2::13/64")
	e.client("c4", "br-blue", "10.0.1.1", "fd00:2::1", "10.0.1.14/24", "fd00:2::14/64")
	out := e.client("out", "br-ex", "", "", "203.0.113.1/24", "2001:db8:cb00:7100::1/64")
	e.must(linux.AddAddr(out, "lo", netip.MustParsePrefix("198.51.100.7/32")))
	e.must(linux.AddAddr(out, "lo", netip.MustParsePrefix("2001:db8:ffff::7/128")))
	for key, v := range map[string]string{"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1", "net/ipv4/icmp_ratelimit": "0"} {
		_, err := linux.SetSysctl(out, key, v)
		e.must(err)
	}
	for _, r := range []linux.Route{
		{Dst: netip.MustParsePrefix("10.0.0.0/16"), Via: gatewayAddr, Link: "eth0"}, // for what is not translated
		{Dst: netip.MustParsePrefix("fd00::/16"), Via: gateway6, Link: "eth0"},
		{Dst: netip.MustParsePrefix("198.51.100.0/24"), Via: netip.MustParseAddr("203.0.113.2"), Link: "eth0"},
		{Dst: netip.MustParsePrefix("2001:db8:ffff::/64"), Via: netip.MustParseAddr("2001:db8:cb00:7100::2"), Link: "eth0"},
	} {
		e.must(linux.SetRoute(out, 4, r))
	}
	return e
}

func (e *env) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

// ns is the namespace of a name in the picture.
func (e *env) ns(name string) string {
	if name == "router" {
		return filepath.Join(e.m.Dir, namespaceName(&e.central))
	}
	return "wgt-" + strconv.Itoa(os.Getpid()) + "-" + name
}

func (e *env) netns(name string) string {
	e.t.Helper()
	ns := e.ns(name)
	e.must(linux.CreateNetns(ns, "weft gateway test"))
	e.t.Cleanup(func() {
		if err := linux.DeleteNetns(ns); err != nil {
			e.t.Error(err)
		}
	})
	return ns
}

func (e *env) client(name, bridge, via4, via6 string, addrs ...string) string {
	e.t.Helper()
	ns := e.netns(name)
	port := "v-" + name
	e.must(linux.AddVeth(linux.Veth{Name: "eth0", Netns: ns, MTU: 1500, Peer: linux.End{Name: port, Netns: e.host}}))
	for _, key := range []string{"net/ipv6/conf/eth0/accept_dad", "net/ipv6/conf/eth0/accept_ra"} {
		_, err := linux.SetSysctl(ns, key, "0")
		e.must(err)
	}
	e.must(errors.Join(linux.SetMaster(e.host, port, bridge), linux.SetUp(e.host, port), linux.SetUp(ns, "eth0")))
	for _, a := range addrs {
		e.must(linux.AddAddr(ns, "eth0", netip.MustParsePrefix(a)))
	}
	for dst, via := range map[string]string{"0.0.0.0/0": via4, "::/0": via6} {
		if via != "" {
			e.must(linux.SetRoute(ns, 4, linux.Route{Dst: netip.MustParsePrefix(dst), Via: netip.MustParseAddr(via), Link: "eth0"}))
		}
	}
	return ns
}

// apply has the manager work in the host's namespace; without a router if c is nil.
func (e *env) apply(inSync bool, c *hostplan.Central) Result {
	w := wanted{centrals: map[model.RouterID]*hostplan.Central{}, externals: map[model.NetworkID]*hostplan.External{e.ext.ID: e.ext}, inSync: inSync}
	if c != nil {
		copied := *c
		w.centrals[c.Router] = &copied
	}
	var r Result
	e.must(linux.InNetns(e.host, func() error { r = e.m.apply(w); return nil }))
	return r
}

// applyRouter applies e.central, and plugs its legs in.
func (e *env) applyRouter() Result {
	e.t.Helper()
	r := e.apply(true, &e.central)
	links, err := linux.Links(e.host)
	e.must(err)
	bridges := map[string]string{}
	if len(e.central.Legs) == 2 {
		bridges[e.central.Legs[0].Device], bridges[e.central.Legs[1].Device] = "br-blue", "br-red"
	}
	bridges[e.central.OuterDevice] = "br-ex"
	for _, l := range links {
		if b := bridges[l.Name]; b != "" {
			e.must(linux.SetMaster(e.host, l.Name, b))
		}
	}
	return r
}

// in runs fn in the namespace of that name.
func (e *env) in(name string, fn func() error) {
	e.t.Helper()
	if err := linux.InNetns(e.ns(name), fn); err != nil {
		e.t.Fatalf("in %s: %v", name, err)
	}
}

const patience = 3 * time.Second

// serve answers TCP and UDP at a port of name: the sender's address, a space, what was said.
func (e *env) serve(name string, port int) {
	e.t.Helper()
	e.in(name, func() error {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		u, err := net.ListenPacket("udp", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		e.t.Cleanup(func() { l.Close(); u.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go answerTCP(c)
			}
		}()
		go answerUDP(u)
		return nil
	})
}

func answerTCP(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 65536)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write([]byte(plainAddr(c.RemoteAddr()) + " " + string(buf[:n]))); err != nil {
			return
		}
	}
}

func answerUDP(u net.PacketConn) {
	buf := make([]byte, 65536)
	for {
		n, from, err := u.ReadFrom(buf)
		if err != nil {
			return
		}
		if _, err := u.WriteTo([]byte(plainAddr(from)+" "+string(buf[:n])), from); err != nil {
			continue
		}
	}
}

func plainAddr(a net.Addr) string {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return a.String()
	}
	return ap.Addr().Unmap().String()
}

func port(network string, n int) net.Addr {
	if n == 0 {
		return nil
	}
	if strings.HasPrefix(network, "udp") {
		return &net.UDPAddr{Port: n}
	}
	return &net.TCPAddr{Port: n}
}

// dial connects from a namespace; local 0 is any port.
func (e *env) dial(from, network string, to netip.Addr, toPort, local int) (c net.Conn, err error) {
	e.t.Helper()
	e.in(from, func() error {
		d := net.Dialer{Timeout: patience, LocalAddr: port(network, local), Control: func(_, _ string, rc syscall.RawConn) error {
			return rc.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1) })
		}}
		c, err = d.Dial(network, netip.AddrPortFrom(to, uint16(toPort)).String())
		return nil
	})
	if err == nil {
		e.t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// say sends text and returns the answer.
func say(c net.Conn, text string) (string, error) {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := c.Write([]byte(text)); err != nil {
		return "", err
	}
	buf := make([]byte, 65536)
	n, err := c.Read(buf)
	return string(buf[:n]), err
}

// ports are the client's and the server's of a TCP connection.
func ports(c net.Conn) [2]int {
	return [2]int{c.LocalAddr().(*net.TCPAddr).Port, c.RemoteAddr().(*net.TCPAddr).Port}
}

// sees checks who the server at to sees when from speaks to it.
func (e *env) sees(from, network string, to netip.Addr, toPort int, want netip.Addr) {
	e.t.Helper()
	c, err := e.dial(from, network, to, toPort, 0)
	if err != nil {
		e.t.Fatalf("%s to %s port %d over %s: %v", from, to, toPort, network, err)
	}
	got, err := say(c, "hello")
	if want := want.String() + " hello"; err != nil || got != want {
		e.t.Fatalf("%s to %s port %d over %s: answered %q, %v; want %q", from, to, toPort, network, got, err, want)
	}
}
