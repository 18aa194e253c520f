package forward

import (
	"fmt"
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// UDP ports of DHCP.
const (
	dhcp4Client = 68
	dhcp4Server = 67
	dhcp6Client = 546
	dhcp6Server = 547
)

// mayUseMAC reports whether frames with that source MAC may leave e.
func mayUseMAC(e *hostplan.Endpoint, mac model.MAC) bool {
	if mac == e.MAC {
		return true
	}
	for _, a := range e.Allowed {
		if a.MAC == mac {
			return true
		}
	}
	return false
}

// mayUse reports whether e may send from addr under mac.
func mayUse(e *hostplan.Endpoint, mac model.MAC, addr netip.Addr) bool {
	if mac == e.MAC {
		if addr == linkLocal(mac) || hasAddress(e, addr) {
			return true
		}
	}
	for _, a := range e.Allowed {
		if a.MAC == mac && a.Prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// hasAddress reports whether addr is one of e's fixed IPs.
func hasAddress(e *hostplan.Endpoint, addr netip.Addr) bool {
	for _, a := range e.Addresses {
		if a.Addr() == addr {
			return true
		}
	}
	return false
}

// guardIP is port security for IP packets of e.
func guardIP(e *hostplan.Endpoint, p *packet) reason.Reason {
	h := p.ip
	switch {
	case !mayUseMAC(e, p.src):
		return reason.SpoofedMAC
	case h.src.IsUnspecified():
		if !mayBeUnspecified(h) {
			return reason.SpoofedIP
		}
	case !mayUse(e, p.src, h.src):
		return reason.SpoofedIP
	}
	switch {
	case isDHCP(h, dhcp4Server, dhcp4Client), isDHCP(h, dhcp6Server, dhcp6Client):
		return reason.RogueDHCP
	case h.v6 && h.icmp() && (h.icmpType == icmp6RA || h.icmpType == icmp6Redirect):
		return reason.RogueRA
	}
	return reason.None
}

func guardText(why reason.Reason, e *hostplan.Endpoint, p *packet) string {
	switch why {
	case reason.RogueDHCP:
		return "instances may not act as DHCP servers"
	case reason.RogueRA:
		return "instances may not act as routers"
	case reason.SpoofedMAC:
		return fmt.Sprintf("source MAC %s is not the port's (%s) and no allowed address pair's", p.src, e.MAC)
	}
	return fmt.Sprintf("source %s with MAC %s is not the port's and no allowed address pair's", p.ip.src, p.src)
}

// isDHCP reports whether h is UDP from src to dst in the family that these ports belong to.
func isDHCP(h *ipHeader, src, dst uint16) bool {
	return h.upper && h.proto == protoUDP && h.sport == src && h.dport == dst && h.v6 == (src >= dhcp6Client)
}

// mayBeUnspecified: packets that one without an address sends to get one (RFC 2131, section 4.1; RFC 4861, sections 4.1
// and 4.3; RFC 3590).
func mayBeUnspecified(h *ipHeader) bool {
	if !h.v6 {
		return !h.frag && isDHCP(h, dhcp4Client, dhcp4Server) && h.dst == netip.AddrFrom4([4]byte{255, 255, 255, 255})
	}
	if !h.icmp() {
		return false
	}
	switch h.icmpType {
	case icmp6MLDReport, icmp6MLDDone, icmp6RS, icmp6NS, icmp6MLDv2:
		return true
	}
	return false
}
