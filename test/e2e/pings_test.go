package e2e

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// answersPings makes echo requests to these guests be answered by sockets of the test's own until it ends. The kernel's are no measure: a
// processor has one socket for the ICMP of all namespaces, and while that one's buffer is full, as when replies of whatever namespace wait
// for neighbours that do not answer, it drops IPv4 replies of all of them, also on loopback (seen on Linux 6.18 as IcmpOutErrors).
func answersPings(t *testing.T, guests ...string) {
	t.Helper()
	for _, guest := range guests {
		for _, family := range []struct {
			network, sysctl string
			request, reply  byte
		}{{"ip4:icmp", "net.ipv4.icmp_echo_ignore_all", 8, 0}, {"ip6:ipv6-icmp", "net.ipv6.icmp.echo_ignore_all", 128, 129}} {
			var c *net.IPConn
			err := inNetns(netnsOf(guest), func() error {
				listening, err := net.ListenPacket(family.network, "")
				if err == nil {
					c = listening.(*net.IPConn)
					err = roomy(c)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			go mirror(c, family.request, family.reply)
			set := func(v string) {
				if out, err := exec.Command("ip", "netns", "exec", netnsOf(guest), "sysctl", "-qw", family.sysctl+"="+v).CombinedOutput(); err != nil {
					t.Errorf("%v: %s", err, out)
				}
			}
			set("1")
			t.Cleanup(func() {
				set("0")
				c.Close()
			})
		}
	}
}

// roomy makes room for what comes while the test has no processor.
func roomy(c syscall.Conn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	cerr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20) })
	return errors.Join(cerr, err)
}

// mirror sends requests back as replies until the socket is closed.
func mirror(c *net.IPConn, request, reply byte) {
	b := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFromIP(b)
		if errors.Is(err, os.ErrClosed) || errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n < 8 || b[0] != request {
			continue
		}
		b[0] = reply
		if reply == 0 { // of ICMPv6 the kernel does it: the type fell by 8 in the upper half of a word (RFC 1624)
			sum := (uint32(b[2])<<8 | uint32(b[3])) + 8<<8
			sum = sum&0xffff + sum>>16
			b[2], b[3] = byte(sum>>8), byte(sum)
		}
		_, _ = c.WriteToIP(b[:n], from) // a missing answer is what the test is about
	}
}
