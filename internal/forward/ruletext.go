package forward

import (
	"fmt"

	"github.com/weft-cloud/weft/internal/hostplan"
)

// RuleText is what a rule says, for people: "ingress IPv4 tcp 22-80 from 10.0.0.0/8".
func RuleText(r hostplan.Rule) string {
	text, side := "ingress", " from "
	if r.Egress {
		text, side = "egress", " to "
	}
	icmp := r.Protocol == protoICMP || r.Protocol == protoICMPv6
	if r.IPv6 {
		text += " IPv6"
	} else {
		text += " IPv4"
	}
	names := map[int16]string{hostplan.AnyProtocol: "any protocol", protoTCP: "tcp", protoUDP: "udp", protoSCTP: "sctp", protoDCCP: "dccp", protoUDPLite: "udplite", protoICMP: "icmp", protoICMPv6: "icmpv6"}
	if name := names[r.Protocol]; name != "" {
		text += " " + name
	} else {
		text += fmt.Sprintf(" protocol %d", r.Protocol)
	}
	switch {
	case icmp && r.PortMin >= 0 && r.PortMax >= 0:
		text += fmt.Sprintf(" type %d code %d", r.PortMin, r.PortMax)
	case icmp && r.PortMin >= 0:
		text += fmt.Sprintf(" type %d", r.PortMin)
	case icmp && r.PortMax >= 0:
		text += fmt.Sprintf(" code %d", r.PortMax)
	case r.PortMin >= 0 && r.PortMin == r.PortMax:
		text += fmt.Sprintf(" %d", r.PortMin)
	case r.PortMin >= 0 || r.PortMax >= 0:
		text += fmt.Sprintf(" %d-%d", max(r.PortMin, 0), r.PortMax)
	}
	switch {
	case !r.RemoteSet.IsZero():
		text += side + "the addresses of group " + r.RemoteSet.String()
	case r.Remote.IsValid():
		text += side + r.Remote.String()
	}
	return text
}
