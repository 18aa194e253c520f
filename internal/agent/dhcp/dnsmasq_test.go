package dhcp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/agent/frame"
	"github.com/weft-cloud/weft/internal/dhcpoption"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

// This file holds our reading of extra_dhcp_opts against dnsmasq's, which is what Neutron hands them to: each option that dnsmasq
// lists, by its name and by its number, and numbers that no list has, are given to both, and the bytes on the wire compared.

// texts4 are values for the options that `dnsmasq --help dhcp` names. One that it names and that is not here fails the test.
var texts4 = map[string]string{
	"netmask": "255.255.0.0", "time-offset": "3600", "router": "10.77.0.9,10.77.0.8", "dns-server": "10.0.0.1,10.0.0.2", "log-server": "10.0.0.3",
	"lpr-server": "10.0.0.4", "boot-file-size": "700", "domain-name": "example.org", "swap-server": "10.0.0.5", "root-path": "10.0.0.5:/srv/root",
	"extension-path": "/ext", "ip-forward-enable": "1", "non-local-source-routing": "0", "policy-filter": "10.0.0.0,255.0.0.0", "max-datagram-reassembly": "1500",
	"default-ttl": "64", "mtu": "1400", "all-subnets-local": "1", "router-discovery": "0", "router-solicitation": "10.0.0.6",
	"static-route": "10.1.0.0,10.77.0.1", "trailer-encapsulation": "1", "arp-timeout": "600", "ethernet-encap": "1", "tcp-ttl": "60", "tcp-keepalive": "7200",
	"nis-domain": "nis.example", "nis-server": "10.0.0.7", "ntp-server": "10.0.0.8,10.0.0.9", "netbios-ns": "10.0.0.10", "netbios-dd": "10.0.0.11",
	"netbios-nodetype": "8", "netbios-scope": "scope", "x-windows-fs": "10.0.0.12", "x-windows-dm": "10.0.0.13", "T1": "100", "T2": "200",
	"vendor-class": "PXEClient", "nis+-domain": "plus.example", "nis+-server": "10.0.0.14", "tftp-server": "10.0.0.15", "bootfile-name": "pxelinux.0",
	"mobile-ip-home": "10.0.0.16", "smtp-server": "10.0.0.17", "pop3-server": "10.0.0.18", "nntp-server": "10.0.0.19", "irc-server": "10.0.0.20",
	"user-class": "class", "rapid-commit": "", "client-arch": "7", "client-interface-id": "01:03:10", "client-machine-id": "00:01:02:03",
	"posix-timezone": "EST5EDT", "tzdb-timezone": "Europe/Berlin", "ipv6-only": "1800", "domain-search": "example.org", "sip-server": "10.0.0.21",
	"classless-static-route": "0.0.0.0/0,10.77.0.1,10.2.0.0/17,10.77.0.2", "vendor-id-encap": "00:00:00:09:01:05", "tftp-server-address": "10.0.0.22,10.0.0.23",
	"server-ip-address": "10.0.0.24",
}

// texts6 are the same for `dnsmasq --help dhcp6`.
var texts6 = map[string]string{
	"sip-server-domain": "sip.example.org", "sip-server": "[fd00::1]", "dns-server": "[fd00::2],[fd00::3]", "domain-search": "example.org",
	"nis-server": "[fd00::4]", "nis+-server": "[fd00::5]", "nis-domain": "nis.example", "nis+-domain": "plus.example", "sntp-server": "[fd00::6]",
	"information-refresh-time": "3600", "posix-timezone": "EST5EDT", "tzdb-timezone": "Europe/Berlin", "ntp-server": "[fd00::7]",
	"bootfile-url": "tftp://[fd00::8]/boot", "bootfile-param": "root,console",
}

// guessed are values of numbers that no list has, of every look.
var guessed = []string{"10.0.0.1", "10.0.0.1,10.0.0.2", "aa:bb:0c", "5", "300", "70000", "some text", `"quoted"`}

// given is one option as Neutron writes it.
type given struct {
	code        uint16
	name, value string
}

// oracle is dnsmasq behind a cable of its own.
type oracle struct {
	ns, class string
	rows      []given
}

// listed is what `dnsmasq --help TOPIC` names, each with its value, by name and by number.
func listed(t *testing.T, topic string, texts map[string]string) (rows []given) {
	t.Helper()
	out, err := exec.Command("dnsmasq", "--help", topic).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^ *(\d+) (\S+)$`).FindAllStringSubmatch(string(out), -1) {
		code, err := strconv.ParseUint(m[1], 10, 16)
		text, ok := texts[m[2]]
		if err != nil || !ok {
			t.Errorf("dnsmasq takes %q: give it a value in this test", m[0])
			continue
		}
		rows = append(rows, given{uint16(code), m[2], text})
		if code != dhcpoption.ServerAddress || topic == "dhcp6" {
			rows = append(rows, given{uint16(code), m[1], text})
		}
	}
	if len(rows) < 2*len(texts)-1 {
		t.Fatalf("dnsmasq names %d", len(rows))
	}
	return rows
}

// newOracle needs root. A client says which row it wants by its user class: class and the row's number.
func newOracle(t *testing.T, family string, rows []given) oracle {
	t.Helper()
	name := fmt.Sprintf("wt-%d-%x", os.Getpid(), time.Now().UnixNano()&0xffffff)
	o := oracle{ns: name + "-vm", class: "weft-", rows: rows}
	far := name + "-far"
	for _, ns := range []string{o.ns, far} {
		if err := linux.CreateNetns(ns, "weft test"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := linux.DeleteNetns(ns); err != nil {
				t.Error(err)
			}
		})
	}
	if err := linux.AddVeth(linux.Veth{Name: "eth0", Netns: o.ns, Peer: linux.End{Name: "far", Netns: far, MAC: srvMAC[:]}, MTU: 1500, MAC: vmMAC[:]}); err != nil {
		t.Fatal(err)
	}
	for ns, args := range map[string]string{o.ns: "dev eth0", far: "dev far"} {
		host := map[string]string{o.ns: "2", far: "1"}[ns]
		for _, cmd := range []string{"addr add 10.77.0." + host + "/24 " + args, "addr add fd00:77::" + host + "/64 nodad " + args, "link set addrgenmode none " + args,
			"addr add fe80::" + host + "/64 nodad " + args, "link set up " + args} {
			if out, err := exec.Command("ip", append([]string{"-n", ns}, strings.Fields(cmd)...)...).CombinedOutput(); err != nil { //nolint:gosec // a test's own words
				t.Fatalf("%s: %v %s", cmd, err, out)
			}
		}
	}
	o.start(t, far, family)
	return o
}

func (o oracle) start(t *testing.T, ns, family string) {
	t.Helper()
	var conf strings.Builder
	fmt.Fprintf(&conf, "port=0\nuser=root\ninterface=far\nno-ping\nquiet-dhcp\nquiet-dhcp6\ndhcp-authoritative\ndhcp-leasefile=%s\ndhcp-range=10.77.0.100,10.77.0.200,600\ndhcp-range=fd00:77::100,fd00:77::200,64,600\n",
		filepath.Join(t.TempDir(), "leases"))
	for i, r := range o.rows {
		name := r.name
		if _, err := strconv.Atoi(name); err != nil || family == "option6" {
			name = family + ":" + name
		}
		fmt.Fprintf(&conf, "dhcp-userclass=set:t%d,%s%04d\ndhcp-option=tag:t%d,%s", i, o.class, i, i, name)
		if r.value != "" {
			fmt.Fprintf(&conf, ",%s", r.value)
		}
		conf.WriteString("\n")
	}
	path := filepath.Join(t.TempDir(), "conf")
	if err := os.WriteFile(path, []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command("dnsmasq", "--keep-in-foreground", "--log-facility=-", "--pid-file=", "--conf-file="+path) //nolint:gosec // a test's own file
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := linux.InNetns(ns, cmd.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() //nolint:errcheck // it ended by itself, then
		_ = cmd.Wait()         //nolint:errcheck // killed
		if t.Failed() {
			t.Logf("dnsmasq:\n%s", out.String())
		}
	})
}

// listen is a client's socket.
func (o oracle) listen(t *testing.T, network, addr string) net.PacketConn {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if e := c.Control(func(fd uintptr) {
			if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1); err == nil { //nolint:gosec // a descriptor
				err = unix.BindToDevice(int(fd), "eth0") //nolint:gosec // a descriptor
			}
		}); e != nil {
			return e
		}
		return err
	}}
	var pc net.PacketConn
	if err := linux.InNetns(o.ns, func() (err error) { pc, err = lc.ListenPacket(context.Background(), network, addr); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	return pc
}

// ask sends until it is answered with the transaction; at is where that stands.
func (o oracle) ask(t *testing.T, pc net.PacketConn, to net.Addr, msg []byte, at, n int) []byte {
	t.Helper()
	buf := make([]byte, 2048)
	for range 100 { // dnsmasq takes a moment to begin
		if _, err := pc.WriteTo(msg, to); errors.Is(err, unix.ENETUNREACH) { // and so does the link: its routes come with its carrier
			time.Sleep(20 * time.Millisecond)
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		if err := pc.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		for {
			got, _, err := pc.ReadFrom(buf)
			if err != nil {
				break
			}
			if got >= at+n && bytes.Equal(buf[at:at+n], msg[at:at+n]) {
				return bytes.Clone(buf[:got])
			}
		}
	}
	t.Fatal("dnsmasq says nothing")
	return nil
}

// needOracle skips only where the test cannot run.
func needOracle(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	if _, err := exec.LookPath("dnsmasq"); err != nil {
		t.Fatal("dnsmasq is not installed: scripts/deps test")
	}
	if err := linux.PrepareNetnsDir(); err != nil {
		t.Fatal(err)
	}
}

// TestOptionsAsDnsmasq: DHCPv4.
func TestOptionsAsDnsmasq(t *testing.T) {
	needOracle(t)
	rows := listed(t, "dhcp", texts4)
	for i, v := range guessed {
		rows = append(rows, given{uint16(224 + i), strconv.Itoa(224 + i), v}) //nolint:gosec // small
	}
	o := newOracle(t, "option", rows)
	pc := o.listen(t, "udp4", "0.0.0.0:68")
	to := &net.UDPAddr{IP: net.IPv4bcast, Port: 67}
	for i, r := range rows {
		m, err := dhcpv4.New(dhcpv4.WithHwAddr(vmMAC[:]), dhcpv4.WithTransactionID(dhcpv4.TransactionID{7, 7, byte(i >> 8), byte(i)}), dhcpv4.WithBroadcast(true),
			kind(dhcpv4.MessageTypeDiscover), dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(1400)), asks(uint8(r.code), 1, 3, 6, 15, 51, 66, 67), //nolint:gosec // at most 255
			dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionUserClassInformation, fmt.Appendf(nil, "%s%04d", o.class, i))))
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := dhcpv4.FromBytes(o.ask(t, pc, to, m.ToBytes(), 4, 4))
		if err != nil {
			t.Fatal(err)
		}
		ep := endpoint()
		ep.DHCP4.Extra = []hostplan.DHCPOption{{Name: r.name, Value: r.value}}
		ours, said := ask(t, ep, frame.UDP{SrcMAC: vmMAC, DstMAC: model.Broadcast, Payload: m.ToBytes(),
			Src: netip.MustParseAddrPort("0.0.0.0:68"), Dst: netip.MustParseAddrPort("255.255.255.255:67")}.Bytes())
		if ours == nil || said.Why != "" {
			t.Errorf("option %s=%s: we say %+v", r.name, r.value, said)
			continue
		}
		switch r.code {
		case dhcpoption.ServerAddress:
			if !ours.msg.ServerIPAddr.Equal(theirs.ServerIPAddr) {
				t.Errorf("%s: we %v, dnsmasq %v", r.name, ours.msg.ServerIPAddr, theirs.ServerIPAddr)
			}
			continue
		case optRapid:
			// dnsmasq would put it into an OFFER, where RFC 4039 does not allow it; we commit rapidly to whoever asks for it.
			if ours.msg.Options.Has(dhcpv4.OptionRapidCommit) {
				t.Error("an OFFER with rapid commit")
			}
			continue
		}
		want := theirs.Options[uint8(r.code)] //nolint:gosec // at most 255
		if r.code == optTFTP || r.code == optBootfile {
			want = bytes.TrimSuffix(want, []byte{0}) // RFC 2132, section 2: a server should not end text with a zero byte
		}
		if diff := cmp.Diff(want, ours.msg.Options[uint8(r.code)]); diff != "" { //nolint:gosec // at most 255
			t.Errorf("option %s=%s (-dnsmasq +ours):\n%s", r.name, r.value, diff)
		}
	}
}

// TestOptionsAsDnsmasq6: DHCPv6.
func TestOptionsAsDnsmasq6(t *testing.T) {
	needOracle(t)
	rows := listed(t, "dhcp6", texts6)
	for i, v := range guessed {
		if !strings.Contains(v, ".") {
			rows = append(rows, given{uint16(2000 + i), strconv.Itoa(2000 + i), v}) //nolint:gosec // small
		}
	}
	rows = append(rows, given{2100, "2100", "[fd00::9]"})
	o := newOracle(t, "option6", rows)
	pc := o.listen(t, "udp6", "[fe80::2%eth0]:546")
	to := &net.UDPAddr{IP: net.ParseIP("ff02::1:2"), Port: 547, Zone: "eth0"}
	for i, r := range rows {
		m := dhcpv6.Message{MessageType: dhcpv6.MessageTypeInformationRequest, TransactionID: dhcpv6.TransactionID{7, byte(i >> 8), byte(i)}}
		m.AddOption(dhcpv6.OptClientID(clientDUID))
		m.AddOption(dhcpv6.OptRequestedOption(dhcpv6.OptionCode(r.code)))
		m.AddOption(&dhcpv6.OptUserClass{UserClasses: [][]byte{fmt.Appendf(nil, "%s%04d", o.class, i)}})
		reply := o.ask(t, pc, to, m.ToBytes(), 1, 3)
		theirs, err := parseOptions(reply[4:])
		if err != nil {
			t.Fatal(err)
		}
		ep := endpoint6()
		ep.DHCP6.Extra = []hostplan.DHCPOption{{Name: r.name, Value: r.value}}
		out, said := answer6(ep, frame.UDP{SrcMAC: vmMAC, DstMAC: model.MAC{0x33, 0x33, 0, 1, 0, 2}, Payload: m.ToBytes(),
			Src: netip.MustParseAddrPort("[fe80::2]:546"), Dst: netip.MustParseAddrPort("[ff02::1:2]:547")}.Bytes())
		if out == nil || said.Why != "" {
			t.Errorf("option %s=%s: we say %+v", r.name, r.value, said)
			continue
		}
		u, err := frame.ParseUDP(out)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := parseOptions(u.Payload[4:])
		if err != nil {
			t.Fatal(err)
		}
		a, there := find(theirs, r.code)
		b, here := find(ours, r.code)
		if there != here || !bytes.Equal(a, b) {
			t.Errorf("option %s=%s: dnsmasq %v %x, we %v %x", r.name, r.value, there, a, here, b)
		}
	}
}
