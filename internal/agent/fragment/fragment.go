// Package fragment cuts IPv4 packets that a router may not send on whole (RFC 791, section 3.2; RFC 1812, section 5.2.7).
//
// The data plane punts a packet which an instance sent to a router, or a stranger to a floating IP, without "don't fragment" and which is
// larger than the network that it is routed to allows. The pieces go back to the plane as if they had been sent so: they are routed
// and judged like any other packets, so nothing here decides about forwarding or policy.
package fragment

import (
	"encoding/binary"
	"errors"
	"fmt"

	ether "github.com/weft-cloud/weft/internal/agent/frame"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// Cutter implements agent.Responder for dataplane.PuntFragment. It never replies to the sender.
type Cutter struct {
	resend  func(model.PortID, []byte) error
	receive func(model.NetworkID, []byte) error
	failed  func(error)
}

// Deps of New.
type Deps struct {
	// Resend treats the frame as if the endpoint had just sent it.
	Resend func(model.PortID, []byte) error
	// Receive treats the frame as if it had just come from the external network; nil: packets that did are lost.
	Receive func(model.NetworkID, []byte) error
	// Failed is told of packets that could not be cut or sent. It must not block.
	Failed func(error)
}

// New returns a ready Cutter.
func New(d Deps) *Cutter { return &Cutter{resend: d.Resend, receive: d.Receive, failed: d.Failed} }

// Handle cuts one packet to the smallest MTU on its way through the host's routers.
func (c *Cutter) Handle(p dataplane.Punt, st *hostplan.State) [][]byte {
	if err := c.cut(p, st); err != nil {
		c.failed(fmt.Errorf("cut packet of port %s: %w", p.Port, err))
	}
	return nil
}

func (c *Cutter) cut(p dataplane.Punt, st *hostplan.State) error {
	mtu, err := pathMTU(p, st)
	if err != nil {
		return err
	}
	pieces, err := Cut(p.Frame, min(mtu, dataplane.MaxResend-etherLen))
	if err != nil {
		return err
	}
	send := func(f []byte) error { return c.resend(p.Port, f) }
	if p.Port.IsZero() {
		if c.receive == nil {
			return ErrRoute
		}
		send = func(f []byte) error { return c.receive(p.External, f) }
	}
	for _, f := range pieces {
		if err := send(f); err != nil {
			return err
		}
	}
	return nil
}

// Why a frame cannot be cut.
var (
	ErrFormat = errors.New("not an IPv4 packet in an untagged Ethernet frame")
	ErrDF     = errors.New("it must not be cut: don't fragment is set")
	ErrSmall  = errors.New("it fits; something else on its way is narrower than the networks say")
)

const (
	etherLen = 14
	minIP    = 20
	flagDF   = 0x4000
	flagMF   = 0x2000
	offsets  = 0x1fff
)

// Cut gives the fragments of an Ethernet frame with an IPv4 packet, each at most mtu bytes from its IP header on. A
// fragment may be cut again. Transport checksums that were left to the network card are completed first, for no card sees
// the packet whole again.
func Cut(frame []byte, mtu int) ([][]byte, error) {
	ip, hlen, err := parse(frame)
	if err != nil {
		return nil, err
	}
	flags := binary.BigEndian.Uint16(ip[6:])
	switch {
	case flags&flagDF != 0:
		return nil, ErrDF
	case len(ip) <= mtu:
		return nil, ErrSmall
	}
	whole := append([]byte(nil), frame[:etherLen+len(ip)]...)
	if flags&(flagMF|offsets) == 0 {
		ether.Complete(whole)
	}
	ip = whole[etherLen:]
	later := laterHeader(ip[:hlen])
	data := ip[hlen:]
	offset := int(flags&offsets) * 8
	var out [][]byte
	for head := ip[:hlen]; len(data) > 0; head = later {
		if head[6]&0x1f != 0 || head[7] != 0 { // a later fragment that is cut again has its options sorted out already
			head = ip[:hlen]
		}
		n := (mtu - len(head)) &^ 7
		last := len(head)+len(data) <= mtu
		if last {
			n = len(data)
		}
		if n <= 0 {
			return nil, fmt.Errorf("an MTU of %d leaves no room behind a header of %d bytes", mtu, len(head))
		}
		more := uint16(0)
		if !last || flags&flagMF != 0 {
			more = flagMF
		}
		out = append(out, piece(frame[:etherLen], head, data[:n], more|uint16(offset/8)))
		data, offset = data[n:], offset+n
	}
	return out, nil
}

// parse finds the IP packet without Ethernet's padding, and the length of its header.
func parse(frame []byte) (ip []byte, hlen int, err error) {
	if len(frame) < etherLen+minIP || binary.BigEndian.Uint16(frame[12:]) != 0x0800 {
		return nil, 0, ErrFormat
	}
	ip = frame[etherLen:]
	hlen = int(ip[0]&0xf) * 4
	total := int(binary.BigEndian.Uint16(ip[2:]))
	if ip[0]>>4 != 4 || hlen < minIP || total < hlen || total > len(ip) {
		return nil, 0, ErrFormat
	}
	return ip[:total], hlen, nil
}

// piece is one fragment as a frame.
func piece(ether, head, data []byte, flags uint16) []byte {
	f := make([]byte, 0, len(ether)+len(head)+len(data))
	f = append(append(append(f, ether...), head...), data...)
	ip := f[len(ether):]
	ip[0] = 4<<4 | byte(len(head)/4)
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	binary.BigEndian.PutUint16(ip[6:], flags)
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], ^fold(sum(ip[:len(head)])))
	return f
}

// laterHeader keeps the options that every fragment has (the copied flag, RFC 791, section 3.1), padded to words.
func laterHeader(head []byte) []byte {
	out := append([]byte(nil), head[:minIP]...)
	for opts := head[minIP:]; len(opts) > 0; {
		kind, n := opts[0], 1
		if kind == 0 {
			break
		}
		if kind != 1 {
			if len(opts) < 2 || opts[1] < 2 || int(opts[1]) > len(opts) {
				break
			}
			n = int(opts[1])
		}
		if kind&0x80 != 0 {
			out = append(out, opts[:n]...)
		}
		opts = opts[n:]
	}
	for len(out)%4 != 0 {
		out = append(out, 0)
	}
	return out
}

// sum adds up 16-bit words; a last odd byte counts as the upper half of one.
func sum(b []byte) (s uint32) {
	for ; len(b) > 1; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
