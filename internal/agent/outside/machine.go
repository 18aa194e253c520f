package outside

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/time/rate"

	"github.com/weft-cloud/weft/internal/agent/frame"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// machine is an outsider on its wire.
type machine struct {
	*hostplan.Endpoint
	at    where
	place place
	// limit is for all that the accounts of DHCP and router advertisements do not count.
	limit *rate.Limiter
}

// newLimit is what an instance has for its packets to services (docs/pipeline.md).
func newLimit() *rate.Limiter { return rate.NewLimiter(500, 1000) }

// place is what this host answers at on a network's wire: the addresses of network:dhcp ports and, under the MAC of one of them, the
// metadata service's. Without such a port it is empty: a gateway's address, say, may be a physical router's.
type place map[netip.Addr]hostplan.Service

func placeOf(n *hostplan.Network) place {
	own := slices.IndexFunc(n.Services, func(s hostplan.Service) bool { return !s.Metadata })
	if own < 0 {
		return nil
	}
	p := place{}
	for _, s := range n.Services {
		if s.Metadata {
			s.MAC = n.Services[own].MAC
		}
		p[s.Address] = s
	}
	return p
}

// hear adds the MACs at which the place is asked.
func (p place) hear(macs map[[6]byte]bool) {
	for a, s := range p {
		macs[s.MAC] = true
		if a.Is6() {
			macs[frame.SolicitedNode(a)] = true
		}
	}
}

// at reports whether a MAC is one of the place's.
func (p place) at(mac model.MAC) bool {
	for _, s := range p {
		if s.MAC == mac {
			return true
		}
	}
	return false
}

// question is what a frame is to a machine's host. packet is not set for ARP.
type question struct {
	kind   dataplane.PuntKind
	packet frame.IP
}

// The protocols and ports that are told apart.
const (
	tcp, udp, icmp6                = 6, 17, 58
	solicitRouter, solicitNeighbor = 133, 135
	dnsPort, httpPort              = 53, 80
	dhcp4Port, dhcp6Port           = 67, 547
)

// classify says what a frame asks; false: nothing that is answered.
func classify(b []byte) (q question, ok bool) {
	if binary.BigEndian.Uint16(b[12:]) == 0x0806 {
		return question{kind: dataplane.PuntNeighbor}, true
	}
	var err error
	if q.packet, err = frame.ParseIP(b); err != nil || len(q.packet.Payload) < 4 {
		return q, false
	}
	port, v6 := binary.BigEndian.Uint16(q.packet.Payload[2:]), q.packet.Dst.Is6()
	switch proto, kind := q.packet.Proto, q.packet.Payload[0]; {
	case proto == icmp6 && v6 && kind == solicitRouter:
		q.kind = dataplane.PuntRS
	case proto == icmp6 && v6 && kind == solicitNeighbor:
		q.kind = dataplane.PuntNeighbor
	case proto == udp && port == dhcp4Port && !v6:
		q.kind = dataplane.PuntDHCP4
	case proto == udp && port == dhcp6Port && v6:
		q.kind = dataplane.PuntDHCP6
	case (proto == udp || proto == tcp) && port == dnsPort:
		q.kind = dataplane.PuntDNS
	case proto == tcp && port == httpPort:
		q.kind = dataplane.PuntMetadata
	default:
		return q, false
	}
	return q, true
}

// resolve answers who asks where a server is; nil: nothing.
func (m *machine) resolve(b []byte) []byte {
	asked, ok := frame.Asked(b)
	if !ok {
		return nil
	}
	s, ours := m.place[asked]
	if !ours {
		return nil
	}
	return frame.Resolution(b, asked, s.MAC)
}

// mayAsk reports whether a packet to DNS or metadata is one of the machine's own, to where that is answered. Its MAC has been looked at; it
// has the addresses that the port has, and any link-local one, which it makes itself.
func (m *machine) mayAsk(q question) bool {
	s, ours := m.place[q.packet.Dst]
	if !ours || !m.place.at(q.packet.DstMAC) || q.kind == dataplane.PuntDNS && !s.DNS || q.kind == dataplane.PuntMetadata && !s.Metadata {
		return false
	}
	src := q.packet.Src
	return src.Is6() && src.IsLinkLocalUnicast() && m.place[src].Address != src ||
		slices.ContainsFunc(m.Addresses, func(p netip.Prefix) bool { return p.Addr() == src })
}
