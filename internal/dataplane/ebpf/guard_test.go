package ebpf

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

// exposed is a host as bad as can be: it forwards, does not filter by reverse path, and has a server on every address. A device that
// a hypervisor has just made is up, and no program hangs on it.
type exposed struct {
	c      *testCloud
	device string
	mac    model.MAC
	heard  atomic.Int64
}

func newExposed(c *testCloud, device string) *exposed {
	x := &exposed{c: c, device: device}
	c.netns("bare")
	c.netns("guest-" + device[:4])
	c.netns("beyond-" + device[:4])
	host, guest := c.ns("bare"), c.ns("guest-"+device[:4])
	c.must(linux.AddVeth(linux.Veth{Name: "uplink", Netns: host, MTU: 1500, Peer: linux.End{Name: "eth0", Netns: c.ns("beyond-" + device[:4])}}))
	for key, v := range map[string]string{"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1", "net/ipv4/conf/all/rp_filter": "0",
		"net/ipv4/conf/default/rp_filter": "0", "net/ipv6/conf/default/accept_dad": "0"} {
		_, err := linux.SetSysctl(host, key, v)
		c.must(err)
	}
	for _, a := range []string{"192.0.2.1/24", "2001:db8::1/64"} {
		c.must(linux.AddAddr(host, "uplink", netip.MustParsePrefix(a)))
	}
	c.must(linux.SetUp(host, "uplink"))
	c.must(linux.AddAddr(c.ns("beyond-"+device[:4]), "eth0", netip.MustParsePrefix("192.0.2.2/24")))
	c.must(linux.SetUp(c.ns("beyond-"+device[:4]), "eth0"))
	x.listen(host)
	x.listen(c.ns("beyond-" + device[:4]))
	// Up, as a hypervisor leaves it; the guest's end has no stack of its own.
	x.mac = model.MAC{0xfe, 0x16, 0x3e, 1, 2, 3}
	c.must(linux.AddVeth(linux.Veth{Name: device, Netns: host, MTU: 1450, Peer: linux.End{Name: "eth0", Netns: guest}}))
	c.must(linux.SetMAC(host, device, x.mac[:]))
	_, err := linux.SetSysctl(guest, "net/ipv6/conf/eth0/disable_ipv6", "1")
	c.must(err)
	c.must(linux.SetUp(guest, "eth0"))
	c.must(linux.SetUp(host, device))
	for start := time.Now(); time.Since(start) < 5*time.Second; time.Sleep(10 * time.Millisecond) { // the kernel takes its time
		addrs, err := linux.Addrs(host, device)
		c.must(err)
		if slices.ContainsFunc(addrs, func(p netip.Prefix) bool { return p.Addr() == eui64(x.mac) }) {
			break
		}
	}
	return x
}

// listen counts datagrams to port 9 of any address of either family.
func (x *exposed) listen(ns string) {
	x.c.must(linux.InNetns(ns, func() error {
		s, err := net.ListenPacket("udp", "[::]:9")
		if err != nil {
			return err
		}
		x.c.t.Cleanup(func() { s.Close() })
		go func() {
			for buf := make([]byte, 100); ; {
				if _, _, err := s.ReadFrom(buf); err != nil {
					return
				}
				x.heard.Add(1)
			}
		}()
		return nil
	}))
}

// try sends what the guest may want of the host, and says what came of it: datagrams that a server heard, and frames that the guest got.
func (x *exposed) try() (heard int64, got uint64) {
	guest := x.c.ns("guest-" + x.device[:4])
	before := x.heard.Load()
	_, sentBefore, err := linux.Packets(x.c.ns("bare"), x.device)
	x.c.must(err)
	m := model.MAC{2, 0, 0, 0, 0, 9}
	me, me6 := netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("2001:db8::9")
	local := eui64(x.mac)
	all6 := netip.MustParseAddr("ff02::1")
	frames := [][]byte{
		dptest.ARP{Op: 1, SenderMAC: m, Sender: me, Target: netip.MustParseAddr("192.0.2.1")}.Frame(model.Broadcast),
		dptest.IP{Src: me, Dst: netip.MustParseAddr("192.0.2.1")}.UDP(9, 9, []byte("to the host")).Frame(x.mac, m),
		dptest.IP{Src: me, Dst: netip.MustParseAddr("192.0.2.2")}.UDP(9, 9, []byte("by the host")).Frame(x.mac, m),
		dptest.IP{Src: me, Dst: netip.MustParseAddr("255.255.255.255")}.UDP(9, 9, []byte("to all")).Frame(model.Broadcast, m),
		dptest.IP{Src: me, Dst: netip.MustParseAddr("192.0.2.1")}.Ping(1, 1).Frame(x.mac, m),
		dptest.Solicit(m, eui64(m), local),
		dptest.IP{Src: eui64(m), Dst: local}.UDP(9, 9, []byte("to the link-local address")).Frame(x.mac, m),
		dptest.IP{Src: eui64(m), Dst: all6}.UDP(9, 9, []byte("to all nodes")).Frame(model.MAC{0x33, 0x33, 0, 0, 0, 1}, m),
		dptest.IP{Src: me6, Dst: netip.MustParseAddr("2001:db8::1")}.UDP(9, 9, []byte("to the host")).Frame(x.mac, m),
		dptest.IP{Src: eui64(m), Dst: local}.Ping(1, 1).Frame(x.mac, m),
	}
	x.c.must(linux.InNetns(guest, func() error {
		link, err := linux.LinkByName("", "eth0")
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for _, f := range frames {
			if err := unix.Sendto(fd, f, 0, &unix.SockaddrLinklayer{Ifindex: link.Index}); err != nil {
				return err
			}
		}
		return nil
	}))
	time.Sleep(300 * time.Millisecond)
	_, sent, err := linux.Packets(x.c.ns("bare"), x.device)
	x.c.must(err)
	return x.heard.Load() - before, sent - sentBefore
}

// Between the moment when a hypervisor brings a device up and the one when the agent's program hangs on it, be it for ever, because the agent
// is dead: nothing of the instance gets to the host, to the host's networks or, from the host, to the instance, in neither family. Without
// the guard much would; and a VPN's tap0 is none of our business.
func TestNothingPassesBeforeTheProgram(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces and loads BPF programs")
	}
	for _, device := range []string{"tap01234567-89", "wg-fedcba98-76", "tap0"} {
		t.Run(device, func(t *testing.T) {
			c := bareCloud(t, Config{})
			x := newExposed(c, device)
			host := func(do func() error) { c.must(linux.InNetns(c.ns("bare"), do)) }
			heard, got := x.try()
			if heard < 5 || got < 3 {
				t.Fatalf("without the guard %d datagrams were heard, and the guest got %d frames: the test tests nothing", heard, got)
			}
			host(func() error { // an agent that lived for a moment
				p, err := New(Config{PinDir: c.pins("bare")})
				if err != nil {
					return err
				}
				return p.Close()
			})
			heard, got = x.try()
			if theirs := device == "tap0"; theirs && (heard < 5 || got < 3) || !theirs && (heard > 0 || got > 0) {
				t.Errorf("with the guard %d datagrams were heard, and the guest got %d frames", heard, got)
			}
			host(func() error { return Cleanup(c.pins("bare")) })
			if heard, _ = x.try(); heard < 5 {
				t.Errorf("after everything was removed %d datagrams were heard", heard)
			}
		})
	}
}
