package e2e

import (
	bits "encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// metal is a machine on the wire of the lab's physical network, with a cable of its own to the switch and no agent.
type metal struct {
	t  *testing.T
	ns string
}

// newMetal plugs a machine of that MAC in; its frames are in the VLAN, 0: they are in none.
func newMetal(t *testing.T, mac string, vlan uint16) metal {
	t.Helper()
	m := metal{t, fmt.Sprintf("metal-%d", vlan)}
	ip := func(args ...string) {
		t.Helper()
		if _, err := output(exec.Command("ip", args...)); err != nil {
			t.Fatalf("ip %v: %v", args, err)
		}
	}
	ip("netns", "add", m.ns)
	t.Cleanup(func() { ip("netns", "del", m.ns) })
	const lab, port = "weft-underlay", "metal"
	if vlan == 0 {
		ip("link", "add", port, "netns", lab, "type", "veth", "peer", "name", "eth0", "netns", m.ns, "address", mac)
	} else { // kernels need not have VLAN interfaces
		between := m.ns + "-tag"
		ip("netns", "add", between)
		t.Cleanup(func() { ip("netns", "del", between) })
		ip("link", "add", "inner", "netns", between, "type", "veth", "peer", "name", "eth0", "netns", m.ns, "address", mac)
		ip("link", "add", "outer", "netns", between, "type", "veth", "peer", "name", port, "netns", lab)
		ip("-n", between, "link", "set", "inner", "up")
		ip("-n", between, "link", "set", "outer", "up")
		tagger(t, between, vlan)
	}
	ip("-n", lab, "link", "set", port, "master", "external", "up")
	m.must("ethtool", "-K", "eth0", "tx", "off") // what the tagger reads has its checksums
	m.must("sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=0")
	m.must("ip", "link", "set", "eth0", "up")
	return m
}

// must runs a command on the machine.
func (m metal) must(args ...string) string {
	m.t.Helper()
	out, err := output(exec.Command("ip", append([]string{"netns", "exec", m.ns}, args...)...))
	if err != nil {
		m.t.Fatalf("%v: %v", args, err)
	}
	return out
}

// dig is the answer on one line; "": there was none.
func (m metal) dig(args ...string) string {
	out, _ := output(exec.Command("ip", append([]string{"netns", "exec", m.ns, "dig", "+short", "+tries=1", "+time=2"}, args...)...)) // it fails without an answer
	if strings.Contains(out, ";;") {
		return ""
	}
	return strings.Join(strings.Fields(out), " ")
}

// lease is what udhcpc was told, by name, once it has set it.
func (m metal) lease() map[string]string {
	m.t.Helper()
	hook := filepath.Join(m.t.TempDir(), "hook")
	text := `#!/bin/sh
[ "$1" = bound ] || exit 0
env
ip addr replace "$ip/$mask" dev "$interface"
echo "$staticroutes" | xargs -n 2 sh -c 'ip route replace "$0" via "$1"'
`
	if err := os.WriteFile(hook, []byte(text), 0o755); err != nil { //nolint:gosec // a program
		m.t.Fatal(err)
	}
	told := map[string]string{}
	for line := range strings.Lines(m.must("udhcpc", "-q", "-n", "-f", "-T", "1", "-t", "10", "-i", "eth0", "-s", hook, "-O", "staticroutes")) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			told[name] = value
		}
	}
	return told
}

// tagger carries frames between inner, where they have no tag, and outer, where they have one.
func tagger(t *testing.T, ns string, vlan uint16) {
	t.Helper()
	var inner, outer *os.File
	if err := inNetns(ns, func() (err error) {
		if inner, err = rawSocket("inner"); err == nil {
			outer, err = rawSocket("outer")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { inner.Close(); outer.Close() })
	pump := func(from, to *os.File, change func(frame []byte, vlan uint16) []byte) {
		conn, err := from.SyscallConn()
		if err != nil {
			return
		}
		buf, oob := make([]byte, 1<<16), make([]byte, 128)
		for {
			var n, aux int
			err := conn.Read(func(fd uintptr) bool {
				var err error
				n, aux, _, _, err = unix.RecvmsgBuffers(int(fd), [][]byte{buf}, oob, 0)
				return err != unix.EAGAIN
			})
			if err != nil {
				return
			}
			if out := change(buf[:n], auxVLAN(oob[:aux])); out != nil {
				to.Write(out)
			}
		}
	}
	go pump(inner, outer, func(f []byte, _ uint16) []byte {
		return slices.Concat(f[:12], bits.BigEndian.AppendUint16([]byte{0x81, 0}, vlan), f[12:])
	})
	go pump(outer, inner, func(f []byte, in uint16) []byte {
		if in != vlan {
			return nil
		}
		return f
	})
}

func rawSocket(link string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), link)
	for _, o := range []int{unix.PACKET_AUXDATA, unix.PACKET_IGNORE_OUTGOING} {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, o, 1); err != nil {
			return nil, err
		}
	}
	ifi, err := net.InterfaceByName(link)
	if err != nil {
		return nil, err
	}
	return f, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: 0x0300, Ifindex: ifi.Index}) // ETH_P_ALL in network order
}

// auxVLAN is the tag that the kernel has taken out of a frame (struct tpacket_auxdata); 0: it had none.
func auxVLAN(oob []byte) uint16 {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(msgs) != 1 || len(msgs[0].Data) < 20 || bits.NativeEndian.Uint32(msgs[0].Data)&(1<<4) == 0 {
		return 0
	}
	return bits.NativeEndian.Uint16(msgs[0].Data[16:]) & 0xfff
}

// machinesOnTheWire: machines that no agent plugs in, in a VLAN and on the flat network, start as instances do: by DHCP, with a resolver that
// knows their network's names, and metadata that is theirs; and a stranger on the wire is told nothing.
func machinesOnTheWire(t *testing.T) {
	n := newNetworking(t, "admin")
	var red1 doc
	for _, i := range labStatus(t).Instances {
		for _, p := range n.list("ports", "") {
			if i.Name == "red1" && strings.HasPrefix("tap"+p["id"].(string), i.Device) {
				red1 = p
			}
		}
	}
	port := func(t *testing.T, network string, fixed []doc) doc { // of red1's instance: whose metadata it is told is seen
		p := n.do("POST", "ports", "port", doc{"network_id": network, "binding:vnic_type": "baremetal", "binding:host_id": "node-7", "device_owner": "baremetal:none",
			"device_id": red1["device_id"], "project_id": red1["project_id"], "fixed_ips": fixed})
		t.Cleanup(func() { n.do("DELETE", "ports/"+p["id"].(string), "", nil) })
		return p
	}
	t.Run("VLAN", func(t *testing.T) {
		n.t = t
		rack := n.create("networks", "network", doc{"name": "rack", "provider:network_type": "vlan", "provider:physical_network": "external", "provider:segmentation_id": 77,
			"dns_domain": "rack.example."})
		t.Cleanup(func() { n.do("DELETE", "networks/"+rack, "", nil) })
		four := n.create("subnets", "subnet", doc{"network_id": rack, "ip_version": 4, "cidr": "10.77.0.0/24"})
		six := n.create("subnets", "subnet", doc{"network_id": rack, "ip_version": 6, "cidr": "fd77::/64", "ipv6_address_mode": "dhcpv6-stateful"})
		p := port(t, rack, []doc{{"subnet_id": four, "ip_address": "10.77.0.50"}, {"subnet_id": six, "ip_address": "fd77::50"}})
		m := newMetal(t, p["mac_address"].(string), 77)
		m.must("ip", "addr", "add", "fd77::50/64", "dev", "eth0", "nodad")
		m.starts(n, rack, "10.77.0.50", "rack.example", red1["device_id"].(string))
		resolver6 := n.serverOn(rack, six)
		for _, how := range []string{"+notcp", "+tcp"} {
			if got := m.dig(how, "@"+resolver6, "AAAA", "host-fd77--50.rack.example."); got != "fd77::50" {
				t.Errorf("%s of %s: %q", how, resolver6, got)
			}
		}
		m.strange("10.77.0.1", n.serverOn(rack, four), "host-10-77-0-50.rack.example.")
	})
	t.Run("flat", func(t *testing.T) {
		n.t = t
		external := n.only("networks", "name=external")["id"].(string)
		four := n.only("subnets", "ip_version=4&network_id="+external)["id"].(string)
		n.set("subnet", four, doc{"enable_dhcp": true})
		t.Cleanup(func() { n.set("subnet", four, doc{"enable_dhcp": false}) })
		p := port(t, external, []doc{{"subnet_id": four}})
		address := p["fixed_ips"].([]any)[0].(map[string]any)["ip_address"].(string)
		m := newMetal(t, p["mac_address"].(string), 0)
		m.starts(n, external, address, "openstacklocal", red1["device_id"].(string))
	})
}

// serverOn is the address of a network's network:dhcp port on a subnet.
func (n *networking) serverOn(network, subnet string) string {
	n.t.Helper()
	for _, f := range n.only("ports", "device_owner=network:dhcp&network_id="+network)["fixed_ips"].([]any) {
		if f := f.(map[string]any); f["subnet_id"] == subnet {
			return f["ip_address"].(string)
		}
	}
	n.t.Fatalf("no network:dhcp address on subnet %s", subnet)
	return ""
}

// starts boots the machine: a lease, names, metadata.
func (m metal) starts(n *networking, network, address, domain, instance string) {
	t := m.t
	t.Helper()
	told := m.lease()
	resolver := told["dns"]
	if told["ip"] != address || told["domain"] != domain || !strings.HasPrefix(told["staticroutes"], "169.254.169.254/32 "+resolver+" ") {
		t.Errorf("lease: %v", told)
	}
	if got := n.list("ports", "device_owner=network:dhcp&network_id="+network+"&fixed_ips=ip_address%3D"+resolver); len(got) != 1 {
		t.Errorf("the resolver %q is no network:dhcp port's", resolver)
	}
	name := "host-" + strings.ReplaceAll(address, ".", "-") + "." + domain + "."
	for _, how := range []string{"+noedns", "+bufsize=4096", "+tcp"} {
		if got := m.dig(how, "@"+resolver, name); got != address {
			t.Errorf("dig %s: %q", how, got)
		}
		if got := m.dig(how, "@"+resolver, "-x", address); got != name {
			t.Errorf("dig -x %s: %q", how, got)
		}
	}
	for _, at := range []string{"169.254.169.254", "[fe80::a9fe:a9fe%25eth0]"} {
		got := m.must("curl", "-sg", "-m", "10", "-H", "X-Instance-ID: 11111111-2222-3333-4444-555555555555", "http://"+at+"/openstack/latest/meta_data.json")
		if !strings.Contains(got, `"uuid":"`+instance+`"`) {
			t.Errorf("metadata at %s: %s", at, got)
		}
	}
}

// strange: what is not the machine's own is not answered.
func (m metal) strange(gateway, resolver, name string) {
	m.t.Helper()
	m.must("ip", "addr", "add", "10.77.0.99/24", "dev", "eth0")
	if got := m.dig("-b", "10.77.0.99", "@"+resolver, name); got != "" {
		m.t.Errorf("under another's address: %q", got)
	}
	if out, err := output(exec.Command("ip", "netns", "exec", m.ns, "ping", "-c", "1", "-W", "1", gateway)); err == nil || strings.Contains(m.must("ip", "neigh", "show", gateway), "lladdr") {
		m.t.Errorf("somebody answers for the gateway, which is nobody's: %s", out)
	}
	m.must("ip", "link", "set", "eth0", "address", "02:00:00:00:00:99")
	m.must("ip", "neigh", "flush", "all")
	if got := m.dig("@"+resolver, name); got != "" || strings.Contains(m.must("ip", "neigh", "show", resolver), "lladdr") {
		m.t.Errorf("a stranger is told %q", got)
	}
}
