package dhcp

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/weft-cloud/weft/internal/agent/frame"
	"github.com/weft-cloud/weft/internal/agent/tally"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// Service4 is the name of DHCPv4 in a tally.Book.
const Service4 = "dhcpv4"

const (
	serverPort4 = 67
	clientPort4 = 68
)

// Server4 answers DHCPv4 (and BOOTP) for every endpoint and outsider of the host. It implements agent.Responder.
type Server4 struct{ book *tally.Book }

// New4 returns a server that keeps its accounts in book.
func New4(book *tally.Book) *Server4 { return &Server4{book: book} }

// Handle answers one punted frame: with no frame or one.
func (s *Server4) Handle(p dataplane.Punt, st *hostplan.State) [][]byte {
	ep := st.Served(p.Port)
	if p.Kind != dataplane.PuntDHCP4 || ep == nil || !s.book.Allow(p.Port, Service4) {
		return nil
	}
	out, said := answer4(ep, p.Frame)
	said.Service = Service4
	s.book.Note(p.Port, said)
	if out == nil {
		return nil
	}
	return [][]byte{out}
}

// kinds of answers and of states (RFC 2131, section 4.3.2).
type request4 struct {
	ep   *hostplan.Endpoint
	conf *hostplan.DHCP4
	udp  frame.UDP
	msg  *dhcpv4.DHCPv4
	kind dhcpv4.MessageType
	wish netip.Addr // option 50
	cur  netip.Addr // ciaddr
}

// answer4 decides. It is a function of its arguments alone.
func answer4(ep *hostplan.Endpoint, b []byte) ([]byte, tally.Exchange) {
	r, said := parse4(ep, b)
	if said.Why != "" {
		return nil, said
	}
	switch r.kind {
	case dhcpv4.MessageTypeNone: // BOOTP (RFC 1534)
		return r.reply(dhcpv4.MessageTypeNone, said)
	case dhcpv4.MessageTypeDiscover:
		if r.msg.Options.Has(dhcpv4.OptionRapidCommit) { // RFC 4039: one round trip, and there is no second server
			return r.reply(dhcpv4.MessageTypeAck, said)
		}
		return r.reply(dhcpv4.MessageTypeOffer, said)
	case dhcpv4.MessageTypeRequest:
		return r.request(said)
	case dhcpv4.MessageTypeInform:
		return r.reply(dhcpv4.MessageTypeAck, said)
	case dhcpv4.MessageTypeDecline:
		said.Why = "the instance says that somebody else uses " + r.conf.Address.String() + ": look for a duplicate on the network"
	case dhcpv4.MessageTypeRelease:
		said.Why = "a release needs no answer; the address stays the port's"
	default:
		said.Why = "a message that only servers send, or that needs a server of another kind"
	}
	return nil, said
}

// parse4 reads the frame; said.Why tells why it deserves no answer.
func parse4(ep *hostplan.Endpoint, b []byte) (request4, tally.Exchange) {
	r := request4{ep: ep, conf: ep.DHCP4}
	said := tally.Exchange{Got: "malformed"}
	var err error
	if r.udp, err = frame.ParseUDP(b); err != nil {
		said.Why = err.Error()
		return r, said
	}
	if r.udp.Dst.Port() != serverPort4 || !r.udp.Dst.Addr().Is4() {
		said.Why = "not sent to a DHCP server's port"
		return r, said
	}
	// The codec indexes the hardware address by hlen; RFC 2131 gives it 16 bytes.
	if len(r.udp.Payload) < 3 || r.udp.Payload[2] > dhcpv4.MaxHWAddrLen {
		said.Why = "cut short, or the hardware address is longer than its field"
		return r, said
	}
	if r.msg, err = dhcpv4.FromBytes(r.udp.Payload); err != nil {
		said.Why = err.Error()
		return r, said
	}
	r.kind = r.msg.MessageType()
	said.Got = name4(r.kind)
	r.wish, r.cur = addr4(r.msg.RequestedIPAddress()), addr4(r.msg.ClientIPAddr)
	switch {
	case r.conf == nil:
		said.Why = "the port has no address on an IPv4 subnet with enable_dhcp"
	case r.msg.OpCode != dhcpv4.OpcodeBootRequest:
		said.Why = "a server's message from an instance"
	case !bytes.Equal(r.msg.ClientHWAddr, ep.MAC[:]):
		said.Why = "the hardware address " + r.msg.ClientHWAddr.String() + " is not the port's, which is " + ep.MAC.String()
	}
	return r, said
}

func name4(t dhcpv4.MessageType) string {
	if t == dhcpv4.MessageTypeNone {
		return "BOOTP"
	}
	return strings.ToUpper(t.String())
}

func addr4(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	if a = a.Unmap(); !a.Is4() || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// request is DHCPREQUEST in its four states (RFC 2131, table 4).
func (r *request4) request(said tally.Exchange) ([]byte, tally.Exchange) {
	if sid := addr4(r.msg.ServerIdentifier()); sid.IsValid() && sid != r.conf.Server {
		if !r.cur.IsValid() { // selecting, and somebody else was selected
			said.Why = "the instance chose another DHCP server, " + sid.String()
			return nil, said
		}
		// A client which renews must leave the identifier out; one that does not, and names a server of an earlier day (the
		// subnet's DHCP address changed), is served.
	}
	want := r.wish
	if !want.IsValid() {
		want = r.cur
	}
	if want == r.conf.Address && (!r.cur.IsValid() || r.cur == want) {
		return r.reply(dhcpv4.MessageTypeAck, said)
	}
	said.Why = "the instance asked for another address than the port's, " + r.conf.Address.String()
	if want.IsValid() {
		said.Why = "the instance asked for " + want.String() + ", the port has " + r.conf.Address.String()
	}
	return r.reply(dhcpv4.MessageTypeNak, said)
}

// reply builds an answer of the given kind.
func (r *request4) reply(kind dhcpv4.MessageType, said tally.Exchange) ([]byte, tally.Exchange) {
	a := newAnswer(r, kind)
	msg, left := a.message()
	to, mac := r.destination(kind)
	if kind == dhcpv4.MessageTypeNone {
		said.Answer = "BOOTREPLY " + r.conf.Address.String()
	} else {
		said.Answer = name4(kind)
		if kind != dhcpv4.MessageTypeNak {
			said.Answer += " " + r.conf.Address.String()
		}
	}
	if len(left) > 0 {
		said.Why = strings.Join(left, "; ")
	}
	return frame.UDP{
		SrcMAC: r.conf.ServerMAC, DstMAC: mac,
		Src: netip.AddrPortFrom(r.conf.Server, serverPort4), Dst: to, Payload: msg,
	}.Bytes(), said
}

// destination is RFC 2131, section 4.1: to the relay; else a NAK to all; else to the address that the client has; else to
// all if it asks for that; else to the address that it is about to have.
func (r *request4) destination(kind dhcpv4.MessageType) (netip.AddrPort, model.MAC) {
	client := r.ep.MAC
	if relay := addr4(r.msg.GatewayIPAddr); relay.IsValid() {
		return netip.AddrPortFrom(relay, serverPort4), r.udp.SrcMAC
	}
	all := netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), clientPort4)
	switch {
	case kind == dhcpv4.MessageTypeNak:
		return all, model.Broadcast
	case r.cur.IsValid():
		return netip.AddrPortFrom(r.cur, clientPort4), client
	case r.msg.IsBroadcast(), r.kind == dhcpv4.MessageTypeInform:
		return all, model.Broadcast
	}
	return netip.AddrPortFrom(r.conf.Address, clientPort4), client
}

// tags are what a client is known to be, for "tag:" in extra_dhcp_opts.
func (r *request4) tags() map[string]bool {
	t := map[string]bool{}
	// iPXE says so by its encapsulated options and by its user class.
	if r.msg.Options.Has(dhcpv4.GenericOptionCode(175)) || slices.ContainsFunc(r.msg.UserClass(), func(c string) bool { return strings.Contains(c, "iPXE") }) {
		t["ipxe"] = true
	}
	return t
}
