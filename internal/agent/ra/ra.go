// Package ra speaks router advertisements (RFC 4861) for the distributed routers, to this host's instances and to the machines on a
// physical network that the host serves.
//
// Each host says the same, from the router's own link-local address and MAC, so an instance that moves notices nothing. A
// Responder answers solicitations at once; an Announcer repeats advertisements now and then, and tells at once what
// changed and what is gone. Lifetimes are long, so that an agent which is away for hours harms nobody. The package takes
// no part in routing; how a frame gets to a port is its user's business.
package ra

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/weft-cloud/weft/internal/agent/frame"
	"github.com/weft-cloud/weft/internal/agent/tally"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// Service is the name of router advertisements in a tally.Book.
const Service = "ra"

const (
	// RouterLifetime in seconds is the most that the field holds (RFC 8319 lifts RFC 4861's 9000): 18 hours without any
	// agent. A router that is taken away is revoked by an advertisement of lifetime 0, not by waiting.
	RouterLifetime = 65535
	// ValidLifetime and PreferredLifetime in seconds are RFC 4861's defaults, 30 and 7 days.
	ValidLifetime     = 2592000
	PreferredLifetime = 604800

	typeSolicitation  = 133
	typeAdvertisement = 134
	hopLimit          = 255 // whatever crossed a router is no neighbour's (RFC 4861, section 6.1)
	curHopLimit       = 64  // what instances are to put in their packets
)

var (
	allNodes    = netip.MustParseAddr("ff02::1")                //nolint:gochecknoglobals // a constant
	allNodesMAC = model.MAC{0x33, 0x33, 0x00, 0x00, 0x00, 0x01} //nolint:gochecknoglobals // a constant
)

// Responder answers solicitations. It implements agent.Responder.
type Responder struct{ book *tally.Book }

// New returns a responder that keeps its accounts in book.
func New(book *tally.Book) *Responder { return &Responder{book: book} }

// Handle answers one solicitation with the advertisement of every router of the network.
func (r *Responder) Handle(p dataplane.Punt, st *hostplan.State) [][]byte {
	ep := st.Served(p.Port)
	if p.Kind != dataplane.PuntRS || ep == nil || !r.book.Allow(p.Port, Service) {
		return nil
	}
	advs, everybody := told(st, ep), allNodesMAC
	if st.Endpoints[p.Port] == nil {
		everybody = ep.MAC // the wire is not ours to speak to all (RFC 6085: a group's address, one machine's MAC)
	}
	out, said := answer(ep, advs, everybody, p.Frame)
	r.book.Note(p.Port, said)
	return out
}

// told are the advertisements for a port: its network's, or those for the network's wire if no agent plugs it in.
func told(st *hostplan.State, ep *hostplan.Endpoint) []hostplan.Advertisement {
	switch n := st.Networks[ep.Network]; {
	case n == nil:
		return nil
	case st.Endpoints[ep.Port] == nil:
		return n.OnWire
	default:
		return n.Advertisements
	}
}

// answer tells all that is advertised; everybody is the MAC for an asker without an address.
func answer(ep *hostplan.Endpoint, advs []hostplan.Advertisement, everybody model.MAC, b []byte) ([][]byte, tally.Exchange) {
	said := tally.Exchange{Service: Service, Got: "router solicitation"}
	m, err := frame.ParseICMP6(b)
	if err == nil {
		err = checkSolicitation(m)
	}
	if err != nil {
		said.Got, said.Why = "malformed", err.Error()
		return nil, said
	}
	if len(advs) == 0 {
		said.Why = "the network has no router with an IPv6 subnet whose ipv6_ra_mode is set"
		return nil, said
	}
	// To the asker alone (RFC 4861, section 6.2.6 leaves the choice), unless it has no address yet.
	to, mac := m.Src, ep.MAC
	if m.Src.IsUnspecified() {
		to, mac = allNodes, everybody
	} else if m.SrcMAC != ep.MAC && !m.SrcMAC.IsMulticast() {
		mac = m.SrcMAC // an address pair's
	}
	out := make([][]byte, 0, len(advs))
	for i := range advs {
		out = append(out, build(&advs[i], to, mac))
	}
	said.Answer = fmt.Sprintf("router advertisement of %d routers", len(out))
	return out, said
}

// checkSolicitation is RFC 4861, section 6.1.1.
func checkSolicitation(m frame.ICMP6) error {
	if m.Type != typeSolicitation || m.Code != 0 || m.HopLimit != hopLimit || len(m.Body) < 4 {
		return fmt.Errorf("type %d, code %d, hop limit %d, %d bytes: %w", m.Type, m.Code, m.HopLimit, 4+len(m.Body), frame.ErrFormat)
	}
	for opts := m.Body[4:]; len(opts) > 0; {
		if len(opts) < 2 || opts[1] == 0 || int(opts[1])*8 > len(opts) {
			return fmt.Errorf("an option without a proper length: %w", frame.ErrFormat)
		}
		if opts[0] == 1 && m.Src.IsUnspecified() {
			return fmt.Errorf("a link-layer address without a source address: %w", frame.ErrFormat)
		}
		opts = opts[int(opts[1])*8:]
	}
	return nil
}

func build(a *hostplan.Advertisement, to netip.Addr, mac model.MAC) []byte {
	return frame.ICMP6{
		SrcMAC: a.MAC, DstMAC: mac, Src: a.LinkLocal, Dst: to, HopLimit: hopLimit, Type: typeAdvertisement, Body: body(a),
	}.Bytes()
}

// body is the advertisement behind the checksum (RFC 4861, section 4.2; RFC 8106, section 5.1).
func body(a *hostplan.Advertisement) []byte {
	b := make([]byte, 0, 128)
	var flags byte
	if a.Managed {
		flags |= 0x80
	}
	if a.Other {
		flags |= 0x40
	}
	b = append(b, curHopLimit, flags)
	lifetime := uint16(0)
	if a.DefaultRouter {
		lifetime = RouterLifetime
	}
	b = binary.BigEndian.AppendUint16(b, lifetime)
	b = append(b, make([]byte, 8)...) // reachable time and retransmission timer: not ours to say
	b = append(b, 1, 1)               // source link-layer address
	b = append(b, a.MAC[:]...)
	if a.MTU > 0 {
		b = append(b, 5, 1, 0, 0)
		b = binary.BigEndian.AppendUint32(b, a.MTU)
	}
	for _, p := range a.Prefixes {
		b = appendPrefix(b, p)
	}
	return appendDNS(b, a)
}

func appendPrefix(b []byte, p hostplan.AdvertisedPrefix) []byte {
	var flags byte
	if p.OnLink {
		flags |= 0x80
	}
	if p.Autonomous {
		flags |= 0x40
	}
	b = append(b, 3, 4, byte(p.Prefix.Bits()), flags) //nolint:gosec // 0..128
	b = binary.BigEndian.AppendUint32(b, ValidLifetime)
	b = binary.BigEndian.AppendUint32(b, PreferredLifetime)
	b = append(b, 0, 0, 0, 0)
	addr := p.Prefix.Masked().Addr().As16()
	return append(b, addr[:]...)
}

func appendDNS(b []byte, a *hostplan.Advertisement) []byte {
	var addrs []byte
	n := 0
	for _, d := range a.DNS {
		if d.Is6() && n < 127 { // what the length field holds
			addrs = append(addrs, d.AsSlice()...)
			n++
		}
	}
	if n == 0 {
		return b
	}
	b = append(b, 25, byte(1+2*n), 0, 0) //nolint:gosec // at most 255
	b = binary.BigEndian.AppendUint32(b, RouterLifetime)
	return append(b, addrs...)
}
