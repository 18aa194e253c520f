package dhcp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/agent/frame"
	"github.com/weft-cloud/weft/internal/agent/tally"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dhcpoption"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// Service6 is the name of DHCPv6 in a tally.Book.
const Service6 = "dhcpv6"

const (
	serverPort6 = 547
	clientPort6 = 546
)

// The messages (RFC 8415, section 7.3).
const (
	msgSolicit     = 1
	msgAdvertise   = 2
	msgRequest     = 3
	msgConfirm     = 4
	msgRenew       = 5
	msgRebind      = 6
	msgReply       = 7
	msgRelease     = 8
	msgDecline     = 9
	msgInformation = 11
)

var names6Msg = map[uint8]string{ //nolint:gochecknoglobals // a constant table
	msgSolicit: "SOLICIT", msgAdvertise: "ADVERTISE", msgRequest: "REQUEST", msgConfirm: "CONFIRM", msgRenew: "RENEW", msgRebind: "REBIND",
	msgReply: "REPLY", msgRelease: "RELEASE", msgDecline: "DECLINE", 10: "RECONFIGURE", msgInformation: "INFORMATION-REQUEST",
	12: "RELAY-FORW", 13: "RELAY-REPL",
}

// allServers is where clients send to: All_DHCP_Relay_Agents_and_Servers.
var allServers = netip.MustParseAddr("ff02::1:2") //nolint:gochecknoglobals // a constant

// Server6 answers DHCPv6, stateful and stateless, for every endpoint and outsider of the host. It implements agent.Responder.
type Server6 struct{ book *tally.Book }

// New6 returns a server that keeps its accounts in book.
func New6(book *tally.Book) *Server6 { return &Server6{book: book} }

// Handle answers one punted frame: with no frame or one.
func (s *Server6) Handle(p dataplane.Punt, st *hostplan.State) [][]byte {
	ep := st.Served(p.Port)
	if p.Kind != dataplane.PuntDHCP6 || ep == nil || !s.book.Allow(p.Port, Service6) {
		return nil
	}
	out, said := answer6(ep, p.Frame)
	said.Service = Service6
	s.book.Note(p.Port, said)
	if out == nil {
		return nil
	}
	return [][]byte{out}
}

// tlv is one option as it came.
type tlv struct {
	code uint16
	data []byte
}

var errOptions = errors.New("an option runs past the end")

func parseOptions(b []byte) ([]tlv, error) {
	var out []tlv
	for len(b) > 0 {
		if len(b) < 4 {
			return nil, errOptions
		}
		n := int(binary.BigEndian.Uint16(b[2:]))
		if 4+n > len(b) {
			return nil, errOptions
		}
		out = append(out, tlv{binary.BigEndian.Uint16(b), b[4 : 4+n]})
		b = b[4+n:]
	}
	return out, nil
}

func find(opts []tlv, code uint16) ([]byte, bool) {
	for _, o := range opts {
		if o.code == code {
			return o.data, true
		}
	}
	return nil, false
}

func appendTLV(b []byte, code uint16, data []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, code)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data))) //nolint:gosec // options are made within an MTU
	return append(b, data...)
}

type request6 struct {
	ep     *hostplan.Endpoint
	conf   *hostplan.DHCP6
	udp    frame.UDP
	kind   uint8
	xid    []byte
	opts   []tlv
	client []byte // DUID; nil: none
	notes  []string
}

// duid is the server's identity: the same on every host and after any restart, so that an instance that has moved goes on
// renewing (RFC 6355, of the network's id).
func duid(n model.NetworkID) []byte { return append([]byte{0, 4}, n.UUID[:]...) }

// answer6 decides. It is a function of its arguments alone.
func answer6(ep *hostplan.Endpoint, b []byte) ([]byte, tally.Exchange) {
	r, said := parse6(ep, b)
	if said.Why != "" {
		return nil, said
	}
	body, kind := r.answer()
	if len(r.notes) > 0 {
		said.Why = strings.Join(r.notes, "; ")
	}
	if body == nil {
		return nil, said
	}
	said.Answer = names6Msg[kind]
	for _, a := range r.conf.Addresses {
		said.Answer += " " + a.String()
	}
	return frame.UDP{
		SrcMAC: r.conf.ServerMAC, DstMAC: r.udp.SrcMAC, Payload: append(append([]byte{kind}, r.xid...), body...),
		Src: netip.AddrPortFrom(hostplan.LinkLocal(r.conf.ServerMAC), serverPort6), Dst: netip.AddrPortFrom(r.udp.Src.Addr(), clientPort6),
	}.Bytes(), said
}

func parse6(ep *hostplan.Endpoint, b []byte) (*request6, tally.Exchange) {
	r := &request6{ep: ep, conf: ep.DHCP6}
	said := tally.Exchange{Got: "malformed"}
	var err error
	if r.udp, err = frame.ParseUDP(b); err != nil {
		said.Why = err.Error()
		return r, said
	}
	if r.udp.Dst.Port() != serverPort6 || !r.udp.Dst.Addr().Is6() || len(r.udp.Payload) < 4 {
		said.Why = "not a message to a DHCPv6 server"
		return r, said
	}
	r.kind, r.xid = r.udp.Payload[0], r.udp.Payload[1:4]
	if name := names6Msg[r.kind]; name != "" {
		said.Got = name
	}
	if r.opts, err = parseOptions(r.udp.Payload[4:]); err != nil {
		said.Why = err.Error()
		return r, said
	}
	r.client, _ = find(r.opts, 1)
	said.Why = r.refuse()
	return r, said
}

// refuse is RFC 8415, section 16: the reason to discard the message, "" for none.
func (r *request6) refuse() string {
	server, named := find(r.opts, 2)
	mine := bytes.Equal(server, duid(r.ep.Network))
	switch {
	case r.conf == nil:
		return "the port has no address on an IPv6 subnet whose ipv6_address_mode is dhcpv6-stateful or dhcpv6-stateless"
	case r.udp.Dst.Addr() != allServers:
		return "sent to " + r.udp.Dst.Addr().String() + "; clients must use ff02::1:2 (no server unicast option was given)"
	case !r.udp.Src.Addr().IsLinkLocalUnicast():
		return "sent from " + r.udp.Src.Addr().String() + ", which is not a link-local address"
	case r.client == nil && r.kind != msgInformation, r.client != nil && (len(r.client) < 3 || len(r.client) > 130):
		return "no proper client identifier"
	}
	switch r.kind {
	case msgSolicit, msgConfirm, msgRebind:
		if named {
			return "a server identifier where none may be"
		}
	case msgRequest, msgRenew, msgRelease, msgDecline:
		if !mine {
			return "the instance speaks to another DHCPv6 server"
		}
	case msgInformation:
		if named && !mine {
			return "the instance speaks to another DHCPv6 server"
		}
		if _, ia := find(r.opts, optIANA); ia {
			return "an information request with an identity association"
		}
	default:
		return "a message that only servers and relays send"
	}
	return ""
}

// answer makes everything behind the transaction id, and says which message it is; nil: no answer.
func (r *request6) answer() ([]byte, uint8) {
	kind := uint8(msgReply)
	var ias []byte
	switch r.kind {
	case msgSolicit:
		if _, rapid := find(r.opts, 14); !rapid {
			kind = msgAdvertise
		}
		ias = r.associations(r.lease)
	case msgRequest, msgRebind, msgRenew:
		ias = r.associations(r.lease)
	case msgConfirm:
		return r.confirm()
	case msgRelease:
		ias = r.associations(func([]byte, []tlv) []byte { return status(statusSuccess, "released; the address stays the port's") })
		ias = append(ias, status(statusSuccess, "")...)
	case msgDecline:
		r.notes = append(r.notes, "the instance says that somebody else uses its address: look for a duplicate on the network")
		ias = r.associations(func([]byte, []tlv) []byte { return status(statusSuccess, "noted") })
		ias = append(ias, status(statusSuccess, "")...)
	}
	out := r.identities()
	out = append(out, ias...)
	if r.kind == msgSolicit {
		out = appendTLV(out, 7, []byte{255}) // preference: nobody else answers, so do not wait for others
		if kind == msgReply {
			out = appendTLV(out, 14, nil)
		}
	}
	if r.kind != msgRelease && r.kind != msgDecline {
		out = r.configure(out)
	}
	return out, kind
}

func (r *request6) identities() []byte {
	out := appendTLV(nil, 2, duid(r.ep.Network))
	if r.client != nil {
		out = appendTLV(out, 1, r.client)
	}
	return out
}

// confirm is RFC 8415, section 18.3.3: are the addresses ones for this link?
func (r *request6) confirm() ([]byte, uint8) {
	seen, off := false, false
	for _, o := range r.opts {
		if o.code != optIANA || len(o.data) < 12 {
			continue
		}
		subs, err := parseOptions(o.data[12:])
		if err != nil {
			continue
		}
		for _, s := range subs {
			if a, ok := iaAddress(s); ok {
				seen = true
				off = off || !slices.Contains(r.conf.Addresses, a)
			}
		}
	}
	if !seen {
		r.notes = append(r.notes, "nothing to confirm")
		return nil, msgReply
	}
	code, text := uint16(statusSuccess), ""
	if off {
		code, text = statusNotOnLink, "the port has another address"
	}
	return append(r.identities(), status(code, text)...), msgReply
}

// configure appends what is no lease: resolvers, domain, and the port's extra_dhcp_opts.
func (r *request6) configure(out []byte) []byte {
	list, bad := extras(r.conf.Extra, true, r.tags())
	r.notes = append(r.notes, bad...)
	opts := map[uint16][]byte{}
	firm := map[uint16]bool{}
	if b, err := dhcpoption.Addresses(join(r.conf.DNS), true); err == nil {
		opts[23] = b
	}
	if b, err := dhcpoption.Names(r.conf.Domain); err == nil && r.conf.Domain != "" {
		opts[24] = b
	}
	if b, ok := find(r.opts, 39); ok && len(b) > 0 && r.conf.Hostname != "" { // RFC 4704: the server keeps the names
		name := r.conf.Hostname
		if r.conf.Domain != "" {
			name += "." + r.conf.Domain
		}
		if b, err := dhcpoption.AppendName([]byte{1}, name); err == nil {
			opts[39], firm[39] = b, true
		}
	}
	if r.kind == msgInformation {
		refresh := r.conf.LeaseSeconds
		opts[32] = binary.BigEndian.AppendUint32(nil, max(refresh, 600)) // IRT_MINIMUM
	}
	for _, e := range list {
		delete(opts, e.Code)
		if !e.Drop {
			opts[e.Code], firm[e.Code] = e.Data, true
		}
	}
	codes := make([]uint16, 0, len(opts))
	for c := range opts {
		if firm[c] || r.asked(c) {
			codes = append(codes, c)
		}
	}
	slices.Sort(codes)
	room := max(int(r.ep.MTU), 1280) - 48 - 4 // headers of IPv6, UDP and DHCPv6
	for _, c := range codes {
		if len(out)+4+len(opts[c]) > room {
			r.notes = append(r.notes, fmt.Sprintf("option %d (%d bytes) does not fit in the network's MTU", c, len(opts[c])))
			continue
		}
		out = appendTLV(out, c, opts[c])
	}
	return out
}

func join(list []netip.Addr) string {
	var s []string
	for _, a := range list {
		if a.Is6() {
			s = append(s, a.String())
		}
	}
	return strings.Join(s, ",")
}

// asked reads the option request option; a client without one is given all.
func (r *request6) asked(code uint16) bool {
	list, ok := find(r.opts, 6)
	if !ok {
		return true
	}
	for ; len(list) >= 2; list = list[2:] {
		if binary.BigEndian.Uint16(list) == code {
			return true
		}
	}
	return false
}

func (r *request6) tags() map[string]bool {
	t := map[string]bool{}
	if b, ok := find(r.opts, 15); ok && bytes.Contains(b, []byte("iPXE")) {
		t["ipxe"], t["ipxe6"] = true, true
	}
	return t
}
