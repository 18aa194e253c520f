package dhcp

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/weft-cloud/weft/internal/dhcpoption"
	"github.com/weft-cloud/weft/internal/hostplan"
)

// The options that are handled by name here (RFC 2132 unless said otherwise).
const (
	optMask      = 1
	optRouter    = 3
	optDNS       = 6
	optHostname  = 12
	optDomain    = 15
	optMTU       = 26
	optBroadcast = 28
	optLease     = 51
	optKind      = 53
	optServer    = 54
	optMessage   = 56
	optMaxSize   = 57
	optT1        = 58
	optT2        = 59
	optClientID  = 61
	optTFTP      = 66
	optBootfile  = 67
	optRapid     = 80  // RFC 4039
	optRelay     = 82  // RFC 3046
	optV6Only    = 108 // RFC 8925
	optRoutes    = 121 // RFC 3442
	optTFTPAddr  = 150 // RFC 5859
	optRoutesMS  = 249 // Microsoft's copy of 121
	optEnd       = 255
)

const (
	// headLen is everything up to the magic cookie; minLen what BOOTP relays and old clients demand (RFC 951).
	headLen = 236
	minLen  = 300
	// ipUDP is what option 57 counts beside the message; minSize the datagram that every client takes (RFC 2131, section 2).
	ipUDP   = 28
	minSize = 576
)

// Infinite is a lease for ever (RFC 2131, section 3.3).
const Infinite = math.MaxUint32

// answer is a message in the making.
type answer struct {
	r    *request4
	kind dhcpv4.MessageType
	opts map[uint8][]byte
	// firm options are sent whether asked for or not.
	firm  map[uint8]bool
	next  netip.Addr // siaddr
	notes []string
}

func newAnswer(r *request4, kind dhcpv4.MessageType) *answer {
	a := &answer{r: r, kind: kind, opts: map[uint8][]byte{}, firm: map[uint8]bool{}}
	if kind == dhcpv4.MessageTypeNak {
		a.opts[optMessage] = []byte("the port's address is " + r.conf.Address.String())
	} else {
		a.configure()
		a.extras()
		if r.kind != dhcpv4.MessageTypeInform && kind != dhcpv4.MessageTypeNone {
			a.lease()
		} else {
			for _, c := range []uint8{optLease, optT1, optT2} { // RFC 2131, table 3: not in the answer to INFORM
				delete(a.opts, c)
			}
		}
		if kind == dhcpv4.MessageTypeAck && r.kind == dhcpv4.MessageTypeDiscover {
			a.set(optRapid, []byte{})
		}
	}
	a.protocol()
	return a
}

// set adds an option that is sent in any case.
func (a *answer) set(code uint8, data []byte) { a.opts[code], a.firm[code] = data, true }

// configure fills in what the subnet and the port say.
func (a *answer) configure() {
	c := a.r.conf
	bits := c.Prefix.Bits()
	a.set(optMask, binary.BigEndian.AppendUint32(nil, mask(bits)))
	if c.Router.IsValid() {
		a.set(optRouter, c.Router.AsSlice())
	}
	if len(c.DNS) > 0 {
		var b []byte
		for _, d := range c.DNS {
			if d.Is4() {
				b = append(b, d.AsSlice()...)
			}
		}
		a.set(optDNS, b)
	}
	if c.MTU > 0 {
		a.set(optMTU, binary.BigEndian.AppendUint16(nil, uint16(min(c.MTU, math.MaxUint16)))) //nolint:gosec // bounded
	}
	if bits < 31 {
		net := c.Prefix.Masked().Addr().As4()
		a.opts[optBroadcast] = binary.BigEndian.AppendUint32(nil, binary.BigEndian.Uint32(net[:])|^mask(bits))
	}
	if c.Hostname != "" {
		a.opts[optHostname] = []byte(c.Hostname)
	}
	if c.Domain != "" {
		a.opts[optDomain] = []byte(strings.TrimSuffix(c.Domain, "."))
	}
	if b := routes4(c.Routes, netip.Addr{}); len(b) > 0 {
		a.opts[optRoutes], a.opts[optRoutesMS] = b, b
	}
}

func mask(bits int) uint32 { return ^uint32(0) << (32 - bits) }

// routes4 is option 121 (RFC 3442): all that hostplan says, and nothing if it says nothing. A client that takes the option
// ignores option 3, so the default route is among them; without is a gateway through which nothing may go by default.
func routes4(routes []hostplan.StaticRoute, without netip.Addr) []byte {
	var out []byte
	for _, r := range routes {
		if !r.Dst.Addr().Is4() || !r.Via.Is4() || r.Dst.Bits() == 0 && r.Via == without {
			continue
		}
		out = dhcpoption.AppendRoute(out, r.Dst, r.Via)
	}
	return out
}

// lease fills in the times that an extra option has not set: T1 is half, T2 seven eighths (RFC 2131, section 4.4.5).
func (a *answer) lease() {
	secs := a.r.conf.LeaseSeconds
	if b := a.opts[optLease]; len(b) == 4 {
		secs = binary.BigEndian.Uint32(b)
	}
	t1, t2 := secs/2, uint32(uint64(secs)*7/8) //nolint:gosec // less than secs
	if secs == Infinite {
		t1, t2 = Infinite, Infinite
	}
	for _, t := range []struct {
		code uint8
		secs uint32
	}{{optLease, secs}, {optT1, t1}, {optT2, t2}} {
		if b := a.opts[t.code]; len(b) == 4 {
			a.firm[t.code] = true
			continue
		}
		a.set(t.code, binary.BigEndian.AppendUint32(nil, t.secs))
	}
}

// extras puts the port's extra_dhcp_opts over the rest.
func (a *answer) extras() {
	list, bad := extras(a.r.conf.Extra, false, a.r.tags())
	a.notes = append(a.notes, bad...)
	for _, e := range list {
		switch {
		case e.Code == dhcpoption.ServerAddress:
			if len(e.Data) >= 4 {
				a.next = netip.AddrFrom4([4]byte(e.Data[:4]))
			}
		case e.Drop:
			delete(a.opts, uint8(e.Code)) //nolint:gosec // less than 255
			delete(a.firm, uint8(e.Code)) //nolint:gosec // less than 255
			if e.Code == optRouter {      // or it would come back by the other door
				delete(a.opts, optRoutes)
				delete(a.opts, optRoutesMS)
				if b := routes4(a.r.conf.Routes, a.r.conf.Router); len(b) > 0 {
					a.opts[optRoutes], a.opts[optRoutesMS] = b, b
				}
			}
		case e.Code == optV6Only && !a.asked(optV6Only): // only ever to who asks for it (RFC 8925, section 3.3)
		case e.Code == optRapid: // whoever asks for it has it anyhow, and an OFFER must not carry it (RFC 4039, section 4)
		default:
			a.set(uint8(e.Code), e.Data) //nolint:gosec // less than 255
		}
	}
	if !a.next.IsValid() {
		a.next = a.bootServer()
	}
}

// bootServer is the address that a client without name resolution can take the boot file from.
func (a *answer) bootServer() netip.Addr {
	if b := a.opts[optTFTPAddr]; len(b) >= 4 {
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	if ip, err := netip.ParseAddr(string(a.opts[optTFTP])); err == nil && ip.Is4() {
		return ip
	}
	return netip.Addr{}
}

// protocol fills in what makes it an answer to this question.
func (a *answer) protocol() {
	if a.kind != dhcpv4.MessageTypeNone {
		a.set(optKind, []byte{byte(a.kind)})
		a.set(optServer, a.r.conf.Server.AsSlice())
	}
	// RFC 6842: as it came, also in a NAK. RFC 3046: likewise, and last.
	for _, code := range []uint8{optClientID, optRelay} {
		if b, ok := a.r.msg.Options[code]; ok {
			a.set(code, b)
		}
	}
	if a.kind == dhcpv4.MessageTypeNak {
		a.firm[optMessage] = true
	}
}

func (a *answer) asked(code uint8) bool {
	list, ok := a.r.msg.Options[55]
	return !ok || slices.Contains(list, code)
}

// order is the sequence in which options are written, most needed first: what does not fit is cut from the end.
func (a *answer) order() []uint8 {
	out := []uint8{optKind, optServer, optLease, optT1, optT2, optRapid, optMask}
	out = append(out, a.r.msg.Options[55]...)
	rest := make([]uint8, 0, len(a.opts))
	for code := range a.opts {
		rest = append(rest, code)
	}
	slices.Sort(rest)
	out = append(out, rest...)
	seen := map[uint8]bool{optClientID: true, optRelay: true, optEnd: true}
	return slices.DeleteFunc(out, func(code uint8) bool {
		_, have := a.opts[code]
		skip := seen[code] || !have || !a.firm[code] && !a.asked(code)
		seen[code] = true
		return skip
	})
}

// message writes it all, within the size that the client takes, and returns what was left out, in words. Options never go
// into the fields of the boot file and the server's name (option 52): clients get that wrong.
func (a *answer) message() (msg []byte, notes []string) {
	b := make([]byte, headLen, minSize)
	a.header(b)
	b = append(b, 99, 130, 83, 99)
	tail := appendOption(nil, optClientID, a.opts[optClientID], a.firm[optClientID])
	tail = appendOption(tail, optRelay, a.opts[optRelay], a.firm[optRelay])
	tail = append(tail, optEnd)
	room := a.room() - len(tail)
	for _, code := range a.order() {
		opt := appendOption(nil, code, a.opts[code], true)
		if len(b)+len(opt) > room {
			a.notes = append(a.notes, fmt.Sprintf("option %d (%d bytes) does not fit in the %d bytes that the client takes", code, len(a.opts[code]), a.room()))
			continue
		}
		b = append(b, opt...)
	}
	b = append(b, tail...)
	if len(b) < minLen {
		b = append(b, make([]byte, minLen-len(b))...)
	}
	return b, a.notes
}

// header fills in the fixed fields (RFC 2131, table 3). b is zero.
func (a *answer) header(b []byte) {
	m := a.r.msg
	b[0], b[1], b[2] = byte(dhcpv4.OpcodeBootReply), byte(m.HWType), byte(len(m.ClientHWAddr)) //nolint:gosec // at most 16
	copy(b[4:8], m.TransactionID[:])
	binary.BigEndian.PutUint16(b[10:], m.Flags)
	relay := m.GatewayIPAddr.To4()
	copy(b[24:28], relay)
	copy(b[28:44], m.ClientHWAddr)
	if a.kind == dhcpv4.MessageTypeNak {
		if relay != nil && !relay.IsUnspecified() {
			binary.BigEndian.PutUint16(b[10:], m.Flags|0x8000) // RFC 2131, section 4.3.2: the relay is to broadcast it
		}
		return
	}
	if a.kind == dhcpv4.MessageTypeAck || a.kind == dhcpv4.MessageTypeNone {
		copy(b[12:16], m.ClientIPAddr.To4())
	}
	if a.r.kind != dhcpv4.MessageTypeInform {
		copy(b[16:20], a.r.conf.Address.AsSlice())
	}
	if a.next.IsValid() {
		copy(b[20:24], a.next.AsSlice())
	}
	// The fields as well as the options: PXE firmware reads these, and only these if it is old. One byte stays 0.
	copy(b[44:44+63], a.opts[optTFTP])
	copy(b[108:108+127], a.opts[optBootfile])
}

// room is the largest message, without UDP and IP headers, that client and link take.
func (a *answer) room() int {
	size := minSize
	if b := a.r.msg.Options[optMaxSize]; len(b) == 2 {
		size = max(size, int(binary.BigEndian.Uint16(b)))
	}
	if mtu := int(a.r.ep.MTU); mtu > 0 {
		size = min(size, mtu)
	}
	return max(size, minSize) - ipUDP
}

// appendOption writes an option, in pieces if it is longer than one can be (RFC 3396).
func appendOption(b []byte, code uint8, data []byte, there bool) []byte {
	if !there {
		return b
	}
	for first := true; first || len(data) > 0; first = false {
		n := min(len(data), 255)
		b = append(b, code, byte(n)) //nolint:gosec // bounded
		b = append(b, data[:n]...)
		data = data[n:]
	}
	return b
}
