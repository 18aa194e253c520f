package dhcp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/agent/ra"
	"github.com/weft-cloud/weft/internal/agent/tally"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

var netID = model.NetworkID{UUID: model.UUID{9}}

// segment is one instance's cable: a namespace with eth0, and our responders at the other end of it in the place of a
// data plane.
type segment struct {
	t    *testing.T
	ns   string
	dir  string
	book *tally.Book

	mu sync.Mutex // guards what follows
	ep *hostplan.Endpoint
	ad []hostplan.Advertisement
	// taken is an address that another machine answers ARP for; invalid: none. deaf: DHCP hears only what is sent to all.
	taken netip.Addr
	deaf  bool
	// rebinds counts what was asked of all by who had its address: only who rebinds does (RFC 2131, section 4.3.6).
	rebinds int
}

// newSegment needs root; its namespaces go with the test.
func newSegment(t *testing.T) *segment {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	if err := linux.PrepareNetnsDir(); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("wt-%d-%x", os.Getpid(), time.Now().UnixNano()&0xffffff)
	s := &segment{t: t, ns: name + "-vm", dir: t.TempDir(), ep: endpoint(), book: tally.New(tally.Deps{Now: time.Now})}
	s.ep.Network = netID
	far := name + "-far"
	for _, ns := range []string{s.ns, far} {
		if err := linux.CreateNetns(ns, "weft test"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.check(linux.DeleteNetns(ns)) })
	}
	s.check(linux.AddVeth(linux.Veth{Name: "eth0", Netns: s.ns, Peer: linux.End{Name: "far", Netns: far, MAC: srvMAC[:]}, MTU: 1500, MAC: vmMAC[:]}))
	s.check(linux.SetUp(far, "far"))
	s.serve(far)
	return s
}

func (s *segment) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Error(err)
	}
}

func (s *segment) serve(ns string) {
	var conn *packet.Conn
	err := linux.InNetns(ns, func() error {
		ifi, err := net.InterfaceByName("far")
		if err != nil {
			return err
		}
		conn, err = packet.Listen(ifi, packet.Raw, unix.ETH_P_ALL, nil)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 65536)
		for {
			n, _, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, out := range s.answer(bytes.Clone(buf[:n])) {
				_, err := conn.WriteTo(out, &packet.Addr{HardwareAddr: out[:6]})
				if err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, unix.ENETDOWN) {
					s.t.Log(err)
				}
			}
		}
	}()
	s.t.Cleanup(func() { conn.Close(); <-done })
}

// answer does what the data plane would: resolve the server's address, and hand what is ours to the responders.
func (s *segment) answer(b []byte) [][]byte {
	s.mu.Lock()
	st := &hostplan.State{
		Endpoints: map[model.PortID]*hostplan.Endpoint{portID: s.ep},
		Networks:  map[model.NetworkID]*hostplan.Network{netID: {ID: netID, Advertisements: s.ad}},
	}
	taken, deaf := s.taken, s.deaf
	const ciaddr = 14 + 20 + 8 + 12
	if len(b) > ciaddr+4 && binary.BigEndian.Uint16(b[12:]) == 0x0800 && b[23] == 17 && model.MAC(b[:6]) == model.Broadcast && s.ep.DHCP4 != nil && netip.AddrFrom4([4]byte(b[ciaddr:])) == s.ep.DHCP4.Address {
		s.rebinds++
	}
	s.mu.Unlock()
	if len(b) < 42 || model.MAC(b[6:12]) != vmMAC {
		return nil
	}
	p := dataplane.Punt{Port: portID, Frame: b}
	switch kind := binary.BigEndian.Uint16(b[12:]); {
	case kind == 0x0806 && b[21] == 1 && (netip.AddrFrom4([4]byte(b[38:42])) == srvAddr || netip.AddrFrom4([4]byte(b[38:42])) == gwAddr):
		out := slices.Concat(b[6:12], srvMAC[:], []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 2}, srvMAC[:], b[38:42], b[22:32])
		return [][]byte{out}
	case kind == 0x0806 && b[21] == 1 && netip.AddrFrom4([4]byte(b[38:42])) == taken:
		other := []byte{2, 0, 0, 0, 0, 0x66}
		return [][]byte{slices.Concat(b[6:12], other, []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 2}, other, b[38:42], b[22:32])}
	case kind == 0x0800 && deaf && model.MAC(b[:6]) != model.Broadcast:
		return nil
	case kind == 0x0800 && b[23] == 17 && binary.BigEndian.Uint16(b[36:]) == serverPort4:
		p.Kind = dataplane.PuntDHCP4
		return New4(s.book).Handle(p, st)
	case kind == 0x86dd && len(b) > 58 && b[20] == 58 && b[54] == 133:
		p.Kind = dataplane.PuntRS
		return ra.New(s.book).Handle(p, st)
	case kind == 0x86dd && len(b) > 58 && b[20] == 17 && binary.BigEndian.Uint16(b[56:]) == serverPort6:
		p.Kind = dataplane.PuntDHCP6
		return New6(s.book).Handle(p, st)
	}
	return nil
}

// client starts a program in the instance. It is killed with the test; its words are shown if the test fails.
func (s *segment) client(name string, args ...string) *exec.Cmd {
	s.t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		s.t.Skipf("%s is not installed", name)
	}
	var out bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	s.check(linux.InNetns(s.ns, cmd.Start))
	s.t.Cleanup(func() {
		if err := unix.Kill(-cmd.Process.Pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			s.t.Error(err)
		}
		_ = cmd.Wait() //nolint:errcheck // it was killed
		if s.t.Failed() {
			s.t.Logf("%s:\n%s\ntally: %+v", name, out.String(), s.book.Of(portID))
		}
	})
	return cmd
}

// eventually polls; the deadline is only for a failure.
func (s *segment) eventually(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(40 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("not seen: %s; tally %+v", what, s.book.Of(portID).Last)
		}
	}
}

// saw waits until the accounts hold an exchange like that.
func (s *segment) saw(got, answer string) {
	s.t.Helper()
	s.eventually(got+" → "+answer, func() bool {
		return slices.ContainsFunc(s.book.Of(portID).Last, func(e tally.Exchange) bool {
			return e.Got == got && strings.HasPrefix(e.Answer, answer)
		})
	})
}

func (s *segment) has(prefix string) {
	s.t.Helper()
	want := netip.MustParsePrefix(prefix)
	s.eventually("address "+prefix, func() bool {
		list, err := linux.Addrs(s.ns, "eth0")
		return err == nil && slices.Contains(list, want)
	})
}

// set changes the endpoint as a new State does: by a copy.
func (s *segment) set(change func(*hostplan.Endpoint)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ep, d := *s.ep, *s.ep.DHCP4
	ep.DHCP4 = &d
	change(&ep)
	s.ep = &ep
}

// script writes a hook for clients that call one: it notes its environment and sets the address, and touches no file of
// the machine.
func (s *segment) script() (path, env string) {
	s.t.Helper()
	path, env = filepath.Join(s.dir, "hook"), filepath.Join(s.dir, "env")
	text := `#!/bin/sh
{ echo "== $reason $1"; env; } >>` + env + `
case "$reason$1" in
BOUND|RENEW|REBIND|REBOOT) ip addr replace "$new_ip_address/24" dev eth0 ;;
BOUND6|RENEW6|REBIND6) [ -z "$new_ip6_address" ] || ip addr replace "$new_ip6_address/$new_ip6_prefixlen" dev eth0 ;;
EXPIRE|STOP|RELEASE) ip addr flush dev eth0 ;;
PREINIT|PREINIT6) ip link set eth0 up ;;
bound|renew) ip addr replace "$ip/$mask" dev eth0 ;;
deconfig) ip link set eth0 up; ip addr flush dev eth0 ;;
esac
exit 0
`
	s.check(os.WriteFile(path, []byte(text), 0o755)) //nolint:gosec // a program
	return path, env
}

func (s *segment) environment(path string, want ...string) {
	s.t.Helper()
	for _, w := range want {
		s.eventually("environment "+w, func() bool {
			b, err := os.ReadFile(path)
			return err == nil && bytes.Contains(b, []byte("\n"+w+"\n"))
		})
	}
}

// TestDhclient: ISC's client goes through a whole life: offer, lease, renewals by unicast, a reboot, a changed address,
// release.
func TestDhclient(t *testing.T) {
	s := newSegment(t)
	s.set(func(ep *hostplan.Endpoint) {
		ep.DHCP4.LeaseSeconds = 600
		ep.DHCP4.Extra = []hostplan.DHCPOption{{Name: "ntp-server", Value: "10.1.1.1"}, {Name: "T1", Value: "4"}}
	})
	hook, env := s.script()
	conf := filepath.Join(s.dir, "conf")
	s.check(os.WriteFile(conf, []byte(`option rfc3442 code 121 = array of unsigned integer 8;
request subnet-mask, broadcast-address, routers, domain-name, domain-name-servers, host-name, interface-mtu, rfc3442, ntp-servers;
`), 0o600))
	leases := filepath.Join(s.dir, "leases")
	args := []string{"-4", "-d", "-cf", conf, "-sf", hook, "-lf", leases, "-pf", filepath.Join(s.dir, "pid"), "eth0"}
	cmd := s.client("dhclient", args...)
	s.has("172.16.42.10/24")
	s.environment(env, "new_routers=172.16.42.1", "new_domain_name_servers=172.16.42.2", "new_interface_mtu=1450", "new_ntp_servers=10.1.1.1",
		"new_host_name=host-172-16-42-10", "new_domain_name=openstacklocal", "new_broadcast_address=172.16.42.255",
		"new_rfc3442=17 10 9 0 172 16 42 7 32 169 254 169 254 172 16 42 2 0 172 16 42 1")
	s.environment(env, "== RENEW ")
	s.check(unix.Kill(cmd.Process.Pid, unix.SIGKILL))
	_ = cmd.Wait() //nolint:errcheck // killed
	s.client("dhclient", args...)
	s.environment(env, "== REBOOT ")
	s.set(func(ep *hostplan.Endpoint) { ep.DHCP4.Address = netip.MustParseAddr("172.16.42.11") })
	s.saw("REQUEST", "NAK")
	s.has("172.16.42.11/24")
	release := s.client("dhclient", append([]string{"-r"}, args...)...)
	_ = release.Wait() //nolint:errcheck // what it did is looked at below
	s.eventually("release", func() bool {
		return slices.ContainsFunc(s.book.Of(portID).Last, func(e tally.Exchange) bool { return e.Got == "RELEASE" })
	})
}

// TestDhclientRebind: whose server does not hear it any more asks all, and goes on with its address.
func TestDhclientRebind(t *testing.T) {
	s := newSegment(t)
	s.set(func(ep *hostplan.Endpoint) {
		ep.DHCP4.LeaseSeconds = 60
		ep.DHCP4.Extra = []hostplan.DHCPOption{{Name: "T1", Value: "1"}, {Name: "T2", Value: "3"}}
	})
	s.mu.Lock()
	s.deaf = true
	s.mu.Unlock()
	hook, env := s.script()
	conf := filepath.Join(s.dir, "conf")
	s.check(os.WriteFile(conf, []byte("initial-interval 1;\nbackoff-cutoff 1;\nrequest subnet-mask;\n"), 0o600))
	s.client("dhclient", "-4", "-d", "-cf", conf, "-sf", hook, "-lf", filepath.Join(s.dir, "leases"), "-pf", filepath.Join(s.dir, "pid"), "eth0")
	s.has("172.16.42.10/24")
	s.eventually("a question to all", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.rebinds > 0
	})
	s.eventually("its new lease", func() bool {
		b, err := os.ReadFile(env)
		return err == nil && bytes.Contains(b, []byte("\n== RE"))
	})
	s.has("172.16.42.10/24")
}

// TestUdhcpcDecline: a client that finds its address taken declines it, which is kept for the operator; once it is free, it has it.
func TestUdhcpcDecline(t *testing.T) {
	s := newSegment(t)
	s.mu.Lock()
	s.taken = s.ep.DHCP4.Address
	s.mu.Unlock()
	hook, _ := s.script()
	s.client("udhcpc", "-f", "-i", "eth0", "-s", hook, "-a100", "-A", "1")
	s.saw("DECLINE", "")
	if list, err := linux.Addrs(s.ns, "eth0"); err != nil || slices.Contains(list, netip.MustParsePrefix("172.16.42.10/24")) {
		t.Errorf("it has %v, %v", list, err)
	}
	s.mu.Lock()
	s.taken = netip.Addr{}
	s.mu.Unlock()
	s.has("172.16.42.10/24")
}

// TestDhcpcdInform: who has an address already asks for the rest, and is given no lease.
func TestDhcpcdInform(t *testing.T) {
	s := newSegment(t)
	hook, env := s.script()
	conf := filepath.Join(s.dir, "conf")
	s.check(os.WriteFile(conf, []byte("option domain_name_servers, domain_name, interface_mtu\n"), 0o600))
	s.check(linux.SetUp(s.ns, "eth0"))
	s.check(linux.AddAddr(s.ns, "eth0", netip.MustParsePrefix("172.16.42.10/24")))
	s.client("unshare", "-m", "--propagation", "private", "sh", "-c",
		`mount -t tmpfs tmpfs /var/lib/dhcpcd && mount -t tmpfs tmpfs /run && exec dhcpcd -4 -B -d --inform=172.16.42.10/24 -f `+conf+` -c `+hook+` eth0`)
	s.saw("INFORM", "ACK")
	s.environment(env, "reason=INFORM", "new_domain_name_servers=172.16.42.2", "new_domain_name=openstacklocal")
	if b, err := os.ReadFile(env); err != nil || bytes.Contains(b, []byte("new_dhcp_lease_time")) {
		t.Errorf("it was given a lease, or: %v", err)
	}
}

func TestUdhcpc(t *testing.T) {
	s := newSegment(t)
	s.set(func(ep *hostplan.Endpoint) { ep.DHCP4.LeaseSeconds = 20 })
	hook, env := s.script()
	cmd := s.client("udhcpc", "-f", "-i", "eth0", "-s", hook, "-O", "staticroutes", "-O", "mtu", "-O", "ntpsrv", "-R")
	s.environment(env, "router=172.16.42.1", "dns=172.16.42.2", "mtu=1450", "domain=openstacklocal", "hostname=host-172-16-42-10",
		"staticroutes=10.9.0.0/17 172.16.42.7 169.254.169.254/32 172.16.42.2 0.0.0.0/0 172.16.42.1")
	s.has("172.16.42.10/24")
	s.check(unix.Kill(cmd.Process.Pid, unix.SIGUSR1)) // renew
	s.environment(env, "== "+" renew")
	s.check(unix.Kill(cmd.Process.Pid, unix.SIGUSR2)) // release
	s.eventually("release", func() bool {
		return slices.ContainsFunc(s.book.Of(portID).Last, func(e tally.Exchange) bool { return e.Got == "RELEASE" })
	})
}

// TestUdhcpcBroadcast: with -B the client asks for answers to all.
func TestUdhcpcBroadcast(t *testing.T) {
	s := newSegment(t)
	hook, _ := s.script()
	s.client("udhcpc", "-f", "-B", "-i", "eth0", "-s", hook)
	s.has("172.16.42.10/24")
}

// TestDhcpcd: also probes the address by ARP, and nobody may answer that.
func TestDhcpcd(t *testing.T) {
	s := newSegment(t)
	hook, _ := s.script()
	conf := filepath.Join(s.dir, "conf")
	s.check(os.WriteFile(conf, []byte("option rapid_commit, domain_name_servers, domain_name, host_name, interface_mtu, classless_static_routes\nnooption 31\n"), 0o600))
	s.check(linux.SetUp(s.ns, "eth0"))
	s.client("unshare", "-m", "--propagation", "private", "sh", "-c", `mount -t tmpfs tmpfs /var/lib/dhcpcd && mount -t tmpfs tmpfs /run && exec dhcpcd -4 -B -d -f `+conf+` -c `+hook+` eth0`)
	s.has("172.16.42.10/24")
	s.saw("DISCOVER", "ACK") // rapid commit
}

// networkd runs systemd-networkd by itself, with its own /run and without udev.
func (s *segment) networkd(network string) {
	s.t.Helper()
	const bin = "/usr/lib/systemd/systemd-networkd"
	if _, err := os.Stat(bin); err != nil {
		s.t.Skip("systemd-networkd is not installed")
	}
	s.client("unshare", "-m", "--propagation", "private", "sh", "-c", `set -e
mount -t tmpfs tmpfs /run
mount -t sysfs sysfs /sys
mount -o remount,ro,bind /sys
mkdir -p /run/systemd/network /run/systemd/netif/links /run/systemd/netif/leases
chmod -R 0777 /run/systemd/netif
cat >/run/systemd/network/10-eth0.network <<END
[Match]
Name=eth0
`+network+`
END
SYSTEMD_LOG_LEVEL=debug exec `+bin)
}

func TestNetworkd(t *testing.T) {
	s := newSegment(t)
	s.networkd("[Network]\nDHCP=ipv4\n[DHCPv4]\nUseMTU=yes\n")
	s.has("172.16.42.10/24")
	s.eventually("MTU 1450", func() bool {
		l, err := linux.LinkByName(s.ns, "eth0")
		return err == nil && l.MTU == 1450
	})
}

// stateful turns the segment's network into one with DHCPv6 addresses, and a router that says so.
func (s *segment) stateful(addrs ...string) {
	s.set(func(ep *hostplan.Endpoint) {
		ep.DHCP4 = &hostplan.DHCP4{}
		ep.DHCP6 = endpoint6().DHCP6
		ep.DHCP6.Addresses = nil
		for _, a := range addrs {
			ep.DHCP6.Addresses = append(ep.DHCP6.Addresses, netip.MustParseAddr(a))
		}
		ep.DHCP6.LeaseSeconds = 20
		ep.DHCP4 = nil
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ad = []hostplan.Advertisement{{
		MAC: srvMAC, LinkLocal: hostplan.LinkLocal(srvMAC), Managed: len(addrs) > 0, Other: true, MTU: 1450, DefaultRouter: true,
		Prefixes: []hostplan.AdvertisedPrefix{{Prefix: netip.MustParsePrefix("fd00:42::/64"), OnLink: true, Autonomous: len(addrs) == 0}},
	}}
}

// TestDhclient6: ISC's client, stateful: solicit, request, renew, release.
func TestDhclient6(t *testing.T) {
	s := newSegment(t)
	s.stateful("fd00:42::10")
	hook, env := s.script()
	s.check(linux.SetUp(s.ns, "eth0"))
	s.usable()
	args := []string{"-6", "-d", "-cf", "/dev/null", "-sf", hook, "-lf", filepath.Join(s.dir, "leases"), "-pf", filepath.Join(s.dir, "pid"), "eth0"}
	s.client("dhclient", args...)
	s.environment(env, "new_ip6_address=fd00:42::10", "new_dhcp6_name_servers=fd00:42::2", "new_dhcp6_domain_search=openstacklocal.")
	s.environment(env, "== RENEW6 ")
	s.saw("RENEW", "REPLY fd00:42::10")
	_ = s.client("dhclient", append([]string{"-r"}, args...)...).Wait() //nolint:errcheck // what it did is looked at below
	s.saw("RELEASE", "REPLY")
}

// usable waits for the link-local address, without which no client begins.
func (s *segment) usable() {
	s.t.Helper()
	s.eventually("a link-local address", func() bool {
		list, err := linux.Addrs(s.ns, "eth0")
		return err == nil && slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Addr().IsLinkLocalUnicast() })
	})
}

// TestNetworkd6: the advertisement's M flag makes networkd ask by itself.
func TestNetworkd6(t *testing.T) {
	s := newSegment(t)
	s.stateful("fd00:42::10")
	s.networkd("[Network]\nDHCP=no\nIPv6AcceptRA=yes\n")
	s.has("fd00:42::10/128")
	s.saw("router solicitation", "router advertisement")
}

// TestNetworkdStateless: SLAAC, with other configuration by DHCPv6.
func TestNetworkdStateless(t *testing.T) {
	s := newSegment(t)
	s.stateful()
	s.networkd("[Network]\nDHCP=no\nIPv6AcceptRA=yes\n")
	s.has("fd00:42::f816:3eff:fe01:203/64")
	s.saw("INFORMATION-REQUEST", "REPLY")
}

func TestDhcpcd6(t *testing.T) {
	s := newSegment(t)
	s.stateful("fd00:42::10")
	hook, _ := s.script()
	conf := filepath.Join(s.dir, "conf")
	s.check(os.WriteFile(conf, []byte("option rapid_commit, dhcp6_name_servers\nduid\niaid 1\nia_na\n"), 0o600))
	s.check(linux.SetUp(s.ns, "eth0"))
	s.usable()
	s.client("unshare", "-m", "--propagation", "private", "sh", "-c", `mount -t tmpfs tmpfs /var/lib/dhcpcd && mount -t tmpfs tmpfs /run && exec dhcpcd -6 -B -d -f `+conf+` -c `+hook+` eth0`)
	s.has("fd00:42::10/128")
}
