package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// ErrTooBig: the packet is larger than this host's own interface takes.
var ErrTooBig = errors.New("packet larger than the interface takes")

// Echo sends ICMP echo requests of an exact size that nobody may cut, from one address of this network namespace, and hears what
// becomes of them. It needs root. Send and Receive may be used beside each other.
type Echo struct {
	conn *net.IPConn
	v6   bool
	id   uint16
}

// EchoReply is what was heard of an echo request.
type EchoReply struct {
	// To is where the request went, Seq its number.
	To  netip.Addr
	Seq uint16
	// MTU 0: it was answered. Else somebody on the way says that only so much fits; 1: less than it had.
	MTU uint32
}

const (
	icmpHeader = 8
	ipHeader4  = 20
	ipHeader6  = 40
)

// OpenEcho opens a socket for echo requests with the number id. Close frees it.
func OpenEcho(local netip.Addr, id uint16) (*Echo, error) {
	e := &Echo{v6: local.Is6(), id: id}
	name := "ip4:icmp"
	if e.v6 {
		name = "ip6:ipv6-icmp"
	}
	conn, err := net.ListenPacket(name, local.String())
	if err != nil {
		return nil, fmt.Errorf("open a socket for ICMP at %s: %w", local, err)
	}
	e.conn = conn.(*net.IPConn) //nolint:errcheck // what ListenPacket returns for ip networks
	raw, err := e.conn.SyscallConn()
	if err == nil {
		var serr error
		err = errors.Join(raw.Control(func(fd uintptr) { serr = e.options(int(fd)) }), serr) //nolint:gosec // a file descriptor
	}
	if err != nil {
		e.conn.Close() //nolint:errcheck // nothing was sent
		return nil, fmt.Errorf("set up a socket for ICMP at %s: %w", local, err)
	}
	return e, nil
}

// options: DF whatever the kernel believes the path's MTU to be, and only answers and "too big" are heard.
func (e *Echo) options(fd int) error {
	if !e.v6 {
		heard := make([]byte, 4)
		binary.NativeEndian.PutUint32(heard, ^uint32(1<<0|1<<3))
		return errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE),
			unix.SetsockoptString(fd, unix.SOL_RAW, 1, string(heard))) // ICMP_FILTER
	}
	var heard unix.ICMPv6Filter
	for i := range heard.Data {
		heard.Data[i] = ^uint32(0)
	}
	heard.Data[129>>5] &^= 1 << (129 & 31)
	heard.Data[2>>5] &^= 1 << 2
	return errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1),
		unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &heard))
}

// Send sends a request whose IP packet has size bytes. The error is ErrTooBig if it does not even leave this host for its size.
func (e *Echo) Send(to netip.Addr, size int, seq uint16) error {
	header, typ := ipHeader4, byte(8)
	if e.v6 {
		header, typ = ipHeader6, 128
	}
	b := make([]byte, max(size-header, icmpHeader))
	b[0] = typ
	binary.BigEndian.PutUint16(b[4:], e.id)
	binary.BigEndian.PutUint16(b[6:], seq)
	if !e.v6 { // for ICMPv6 the kernel does it (RFC 3542, section 3.1)
		binary.BigEndian.PutUint16(b[2:], onesComplement(b))
	}
	_, err := e.conn.WriteToIP(b, &net.IPAddr{IP: to.AsSlice(), Zone: to.Zone()})
	if errors.Is(err, unix.EMSGSIZE) {
		return ErrTooBig
	}
	return err
}

// Receive waits for the next thing heard of requests. The error is net.ErrClosed after Close.
func (e *Echo) Receive() (EchoReply, error) {
	b := make([]byte, 65536)
	for {
		n, from, err := e.conn.ReadFromIP(b)
		if errors.Is(err, net.ErrClosed) {
			return EchoReply{}, net.ErrClosed
		}
		if err != nil { // of one packet, such as EHOSTUNREACH
			continue
		}
		a, ok := netip.AddrFromSlice(from.IP)
		if !ok {
			continue
		}
		if r, ok := e.read(b[:n], a.Unmap()); ok {
			return r, nil
		}
	}
}

// read takes an ICMP message apart, from its header on.
func (e *Echo) read(b []byte, from netip.Addr) (EchoReply, bool) {
	if len(b) < icmpHeader {
		return EchoReply{}, false
	}
	mine := func(h []byte) bool { return binary.BigEndian.Uint16(h[4:]) == e.id }
	seq := func(h []byte) uint16 { return binary.BigEndian.Uint16(h[6:]) }
	quote := b[icmpHeader:]
	switch {
	case !e.v6 && b[0] == 0, e.v6 && b[0] == 129:
		return EchoReply{To: from, Seq: seq(b)}, mine(b)
	case !e.v6 && b[0] == 3 && b[1] == 4 && len(quote) >= ipHeader4:
		header := int(quote[0]&15) * 4
		if header < ipHeader4 || len(quote) < header+icmpHeader || quote[9] != unix.IPPROTO_ICMP {
			return EchoReply{}, false
		}
		h := quote[header:]
		return EchoReply{To: netip.AddrFrom4([4]byte(quote[16:])), Seq: seq(h), MTU: max(1, uint32(binary.BigEndian.Uint16(b[6:])))}, h[0] == 8 && mine(h)
	case e.v6 && b[0] == 2 && len(quote) >= ipHeader6+icmpHeader && quote[6] == unix.IPPROTO_ICMPV6:
		h := quote[ipHeader6:]
		return EchoReply{To: netip.AddrFrom16([16]byte(quote[24:])), Seq: seq(h), MTU: max(1, binary.BigEndian.Uint32(b[4:]))}, h[0] == 128 && mine(h)
	}
	return EchoReply{}, false
}

// Close ends Receive.
func (e *Echo) Close() error { return e.conn.Close() }

// onesComplement is the Internet checksum (RFC 1071).
func onesComplement(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
