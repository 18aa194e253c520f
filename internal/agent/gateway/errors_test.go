package gateway

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/linux"
)

// probe is one UDP packet, and what error came back for it.
type probe struct {
	from string
	to   netip.Addr
	port int
	ttl  int
	size int
}

// icmpError is an ICMP error as the kernel took it in: it found the socket by the quote, which must therefore be as the
// sender knows its packet.
type icmpError struct {
	offender   netip.Addr
	kind, code uint8
	info       uint32
}

// errorFor sends p with DF and waits for the error.
func (e *env) errorFor(p probe) icmpError {
	e.t.Helper()
	var out icmpError
	e.in(p.from, func() (err error) { out, err = p.send(); return err })
	return out
}

func (p probe) send() (out icmpError, err error) {
	family, level, recverr, ttl, discover := unix.AF_INET, unix.IPPROTO_IP, unix.IP_RECVERR, unix.IP_TTL, unix.IP_MTU_DISCOVER
	var to unix.Sockaddr
	if p.to.Is6() {
		family, level, recverr, ttl, discover = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_RECVERR, unix.IPV6_UNICAST_HOPS, unix.IPV6_MTU_DISCOVER
		to = &unix.SockaddrInet6{Port: p.port, Addr: p.to.As16()}
	} else {
		to = &unix.SockaddrInet4{Port: p.port, Addr: p.to.As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM, 0)
	if err != nil {
		return out, err
	}
	defer unix.Close(fd)
	err = errors.Join(unix.SetsockoptInt(fd, level, recverr, 1), unix.SetsockoptInt(fd, level, discover, unix.IP_PMTUDISC_PROBE))
	if p.ttl > 0 {
		err = errors.Join(err, unix.SetsockoptInt(fd, level, ttl, p.ttl))
	}
	if err = errors.Join(err, unix.Connect(fd, to)); err != nil {
		return out, err
	}
	if _, err := unix.Write(fd, make([]byte, max(p.size, 1))); err != nil {
		return out, err
	}
	fds := []unix.PollFd{{Fd: int32(fd)}}
	if n, err := unix.Poll(fds, int(patience/time.Millisecond)); n == 0 || err != nil {
		return out, fmt.Errorf("no ICMP error came: %w", err)
	}
	oob := make([]byte, 512)
	_, n, _, _, err := unix.Recvmsg(fd, make([]byte, 2048), oob, unix.MSG_ERRQUEUE)
	if err != nil {
		return out, err
	}
	return parseError(oob[:n])
}

// parseError reads a struct sock_extended_err and the offender after it (ip(7)).
func parseError(oob []byte) (out icmpError, err error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return out, err
	}
	for _, m := range msgs {
		if len(m.Data) < 24 || m.Header.Type != unix.IP_RECVERR && m.Header.Type != unix.IPV6_RECVERR {
			continue
		}
		out.kind, out.code, out.info = m.Data[5], m.Data[6], binary.NativeEndian.Uint32(m.Data[8:])
		at := m.Data[16:]
		switch binary.NativeEndian.Uint16(at) {
		case unix.AF_INET:
			out.offender, _ = netip.AddrFromSlice(at[4:8])
		case unix.AF_INET6:
			out.offender, _ = netip.AddrFromSlice(at[8:24])
		}
		return out, nil
	}
	return out, errors.New("no error is told")
}

// TestErrors are ICMP errors through a router: their quotes are translated, so that the sender knows its packet again, and
// they come from whom they should.
func TestErrors(t *testing.T) {
	e := newEnv(t)
	leg, leg6 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00:1::1")
	unknown4, unknown6 := netip.MustParseAddr("198.51.100.99"), netip.MustParseAddr("2001:db8:ffff::99")
	for _, c := range []struct {
		name  string
		probe probe
		want  icmpError
	}{
		{"TTL 1 ends at the router's inner leg", probe{from: "c2", to: outAddr, port: 7, ttl: 1}, icmpError{leg, 11, 0, 0}},
		{"hop limit 1 ends at the router's inner leg", probe{from: "c2", to: out6, port: 7, ttl: 1}, icmpError{leg6, 3, 0, 0}},
		{"TTL 2 ends one hop beyond, through SNAT", probe{from: "c2", to: unknown4, port: 7, ttl: 2}, icmpError{outAddr, 11, 0, 0}},
		{"TTL 2 ends one hop beyond, through a floating IP", probe{from: "c1", to: unknown4, port: 7, ttl: 2}, icmpError{outAddr, 11, 0, 0}},
		{"hop limit 2 ends one hop beyond", probe{from: "c2", to: unknown6, port: 7, ttl: 2}, icmpError{out6, 3, 0, 0}},
		{"TTL 1 from outside to a floating IP ends at the gateway", probe{from: "out", to: float1, port: 7, ttl: 1}, icmpError{gatewayAddr, 11, 0, 0}},
		{"TTL 1 from outside to a forwarded port ends at the gateway", probe{from: "out", to: floatPorts, port: 5001, ttl: 1}, icmpError{gatewayAddr, 11, 0, 0}},
		{"TTL 1 to a floating IP through a hairpin ends at the inner leg", probe{from: "c2", to: float1, port: 7, ttl: 1}, icmpError{leg, 11, 0, 0}},
		{"TTL 1 of one with a floating IP ends at the inner leg", probe{from: "c1", to: float3, port: 7, ttl: 1}, icmpError{leg, 11, 0, 0}},
		{"a port that is not forwarded is refused by the floating IP", probe{from: "out", to: floatPorts, port: 81}, icmpError{floatPorts, 3, 3, 0}},
		{"TTL 1 from outside to an address that is not translated ends at the gateway", probe{from: "out", to: addr4, port: 7, ttl: 1}, icmpError{gatewayAddr, 11, 0, 0}},
		{"hop limit 1 from outside ends at the gateway", probe{from: "out", to: addr26, port: 7, ttl: 1}, icmpError{gateway6, 3, 0, 0}},
		{"port unreachable from outside, through SNAT", probe{from: "c2", to: outAddr, port: 4444}, icmpError{outAddr, 3, 3, 0}},
		{"port unreachable from outside, through a floating IP", probe{from: "c1", to: outAddr, port: 4444}, icmpError{outAddr, 3, 3, 0}},
		{"port unreachable from an instance bears its floating IP", probe{from: "out", to: float1, port: 4444}, icmpError{float1, 3, 3, 0}},
		{"port unreachable of a forwarded port bears the floating IP", probe{from: "out", to: floatPorts, port: 5001}, icmpError{floatPorts, 3, 3, 0}},
		{"port unreachable through a hairpin bears the floating IP", probe{from: "c2", to: float1, port: 4444}, icmpError{float1, 3, 3, 0}},
		{"port unreachable of IPv6", probe{from: "c2", to: out6, port: 4444}, icmpError{out6, 1, 4, 0}},
		{"port unreachable of the gateway address, from inside", probe{from: "c2", to: gatewayAddr, port: 4444}, icmpError{gatewayAddr, 3, 3, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			sub := *e
			sub.t = t
			if got := sub.errorFor(c.probe); got != c.want {
				t.Errorf("error = %+v, want %+v", got, c.want)
			}
		})
	}
}

// TestPathMTU: what does not fit is answered with the size that does, by the router's own address.
func TestPathMTU(t *testing.T) {
	e := newEnv(t)
	leg, leg6 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00:1::1")
	e.ext.MTU = 1400
	for i := range e.central.Legs {
		e.central.Legs[i].MTU = 1300
	}
	if r := e.applyRouter(); len(r.Problems) > 0 {
		t.Fatal(r.Problems)
	}
	check := func(name string, p probe, want icmpError) {
		t.Run(name, func(t *testing.T) {
			sub := *e
			sub.t = t
			if got := sub.errorFor(p); got != want {
				t.Errorf("error = %+v, want %+v", got, want)
			}
		})
	}
	check("inward to a floating IP", probe{from: "out", to: float1, port: 7, size: 1350}, icmpError{gatewayAddr, 3, 4, 1300})
	check("inward to a forwarded port", probe{from: "out", to: floatPorts, port: 5001, size: 1350}, icmpError{gatewayAddr, 3, 4, 1300})
	check("inward, IPv6", probe{from: "out", to: addr26, port: 7, size: 1330}, icmpError{gateway6, 2, 0, 1300})
	for i := range e.central.Legs {
		e.central.Legs[i].MTU = 1500
	}
	if r := e.applyRouter(); len(r.Problems) > 0 {
		t.Fatal(r.Problems)
	}
	check("outward through SNAT", probe{from: "c2", to: outAddr, port: 7, size: 1450}, icmpError{leg, 3, 4, 1400})
	check("outward through a floating IP", probe{from: "c1", to: outAddr, port: 7, size: 1450}, icmpError{leg, 3, 4, 1400})
	check("outward, IPv6", probe{from: "c2", to: out6, port: 7, size: 1450}, icmpError{leg6, 2, 0, 1400})
	check("hairpin", probe{from: "c2", to: float1, port: 4444, size: 1450}, icmpError{float1, 3, 3, 0})
	t.Run("TCP outward finds its size", func(t *testing.T) {
		sub := *e
		sub.t = t
		bulk(&sub, "c2", outAddr)
	})
	t.Run("a packet without DF is cut", func(t *testing.T) {
		sub := *e
		sub.t = t
		sub.serve("out", 7)
		fragments(&sub, "c2", outAddr)
	})
}

// TestPing: the router is a host that answers at its own addresses.
func TestPing(t *testing.T) {
	e := newEnv(t)
	for _, c := range []struct{ name, from, to string }{
		{"gateway address from outside", "out", "203.0.113.100"},
		{"gateway address from outside, IPv6", "out", "2001:db8:cb00:7100::100"},
		{"gateway address from inside", "c2", "203.0.113.100"},
		{"inner leg", "c2", "10.0.0.1"},
		{"inner leg, IPv6", "c2", "fd00:1::1"},
		{"the other inner leg", "c2", "10.0.1.1"},
		{"floating IP", "out", "203.0.113.110"},
		{"floating IP of port forwardings", "out", "203.0.113.120"},
		{"echo through SNAT", "c4", "203.0.113.1"},
		{"echo through a floating IP", "c1", "203.0.113.1"},
		{"echo, IPv6", "c4", "2001:db8:cb00:7100::1"},
		{"echo in fragments through SNAT", "c4 -s 3000", "203.0.113.1"},
		{"echo in fragments to a floating IP", "out -s 3000", "203.0.113.110"},
	} {
		t.Run(c.name, func(t *testing.T) {
			from, more, _ := strings.Cut(c.from, " ")
			args := append([]string{"-c", "2", "-i", "0.05", "-W", "2"}, append(strings.Fields(more), c.to)...)
			e.in(from, func() error {
				if b, err := exec.Command("ping", args...).CombinedOutput(); err != nil {
					t.Errorf("%v\n%s", err, b)
				}
				return nil
			})
		})
	}
}

// outside captures what crosses out's NIC while fn runs.
func (e *env) outside(fn func()) (frames [][]byte) {
	e.t.Helper()
	c, err := linux.OpenCapture(e.ns("out"), "eth0", 2048)
	e.must(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			f, err := c.Read()
			if err != nil {
				return
			}
			if !f.Outgoing {
				frames = append(frames, f.Data)
			}
		}
	}()
	fn()
	time.Sleep(100 * time.Millisecond)
	e.must(c.Close())
	<-done
	return frames
}
