package forward

import (
	"fmt"
	"io"
	"strings"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/model"
)

// Names turns an object's id into the name that its owner gave it; "" if it has none. It may be nil.
type Names func(id model.UUID) string

// Render writes the path for people: the packet, what each host did with it, the verdict, and, if it was dropped, the
// reason, the rule and the cure.
func (p Path) Render(w io.Writer, names Names) error {
	var b strings.Builder
	for i, h := range p.Hops {
		if i == 0 {
			fmt.Fprintf(&b, "packet   %s\n", Summary(h.Frame))
		}
		h.render(&b)
	}
	b.WriteString("verdict  " + p.verdict() + "\n")
	text := b.String()
	if names != nil {
		text = named(text, names)
	}
	_, err := io.WriteString(w, text)
	return err
}

func (h Hop) render(b *strings.Builder) {
	where := "from port " + h.In.Port.String()
	switch {
	case h.In.Physnet != "":
		where = fmt.Sprintf("from physical network %s, VLAN %d", h.In.Physnet, h.In.VLAN)
	case h.In.Tunnel():
		where = fmt.Sprintf("from tunnel, outer source %s, VNI %d", h.In.Outer, h.In.VNI)
	}
	if !h.Central.IsZero() {
		where = fmt.Sprintf("central part of router %s", h.Central)
	}
	fmt.Fprintf(b, "host     %s (%s)\n", h.Host, where)
	if h.Missing {
		b.WriteString("         its state is not known here: the trace ends\n")
		return
	}
	for _, n := range h.Trail {
		fmt.Fprintf(b, "  %-14s %s\n", n.Stage, n.Text)
	}
	for _, o := range h.Outputs {
		fmt.Fprintf(b, "  → %-12s %s\n", o.where(), o.summary())
	}
	for _, f := range h.Refused {
		fmt.Fprintf(b, "  ✗ port %s: %s\n", f.Port, Explain(f.Reason).What)
	}
	if h.Reason != reason.None {
		a := Explain(h.Reason)
		fmt.Fprintf(b, "  ✗ dropped: %s\n", a.What)
		if a.Cure != "" {
			fmt.Fprintf(b, "    cure: %s\n", a.Cure)
		}
	} else if !h.Rule.IsZero() {
		fmt.Fprintf(b, "    allowed by rule %s\n", h.Rule)
	}
}

// verdict is the path in one line.
func (p Path) verdict() string {
	if r := p.Reason(); r != reason.None {
		text := "dropped: " + Explain(r).What
		if len(p.Replies()) > 0 {
			text += "; the sender was told"
		}
		return text
	}
	if len(p.outputs(Outside)) > 0 {
		return "sent out of the cloud"
	}
	if p.taken() {
		return "taken by the host's own services"
	}
	if n := len(p.Replies()); n > 0 {
		return "answered on the sender's host"
	}
	switch d := p.Delivered(); len(d) {
	case 0:
		return "nobody to give it to"
	case 1:
		return fmt.Sprintf("delivered to port %s on host %s", d[0].Port, d[0].Host)
	default:
		return fmt.Sprintf("delivered to %d ports", len(d))
	}
}

func (o Output) where() string {
	switch o.Kind {
	case Deliver:
		return "port " + o.Port.String()
	case Tunnel:
		return fmt.Sprintf("host %s, VNI %d", o.Peer, o.VNI)
	case Reply:
		return "back to the sender"
	case Outside:
		return fmt.Sprintf("physical network %s, VLAN %d", o.Physnet, o.VLAN)
	case ToHost:
		return "the host itself"
	case Punt:
		return "user space (" + puntText(o.Punt) + ")"
	}
	return "nowhere"
}

// summary is the frame in one line. The MAC of a next hop outside may be unknown: its host asks for it when a packet is really sent.
func (o Output) summary() string {
	text := Summary(o.Frame)
	if p, _ := parse(o.Frame); o.Kind == Outside && p.dst.IsZero() {
		text = strings.Replace(text, "> ", "> (MAC to be asked for)", 1)
	}
	return text
}

func puntText(k dataplane.PuntKind) string {
	switch k {
	case dataplane.PuntDHCP4:
		return "DHCP"
	case dataplane.PuntDHCP6:
		return "DHCPv6"
	case dataplane.PuntRS:
		return "router solicitation"
	case dataplane.PuntFragment:
		return "fragmentation"
	case dataplane.PuntMetadata:
		return "metadata"
	case dataplane.PuntDNS:
		return "DNS"
	case dataplane.PuntExternal:
		return "external neighbour"
	case dataplane.PuntNeighbor:
		return "who has an address outside"
	case dataplane.PuntAsk:
		return "who has an address that nobody is known to have"
	}
	return fmt.Sprintf("kind %d", k)
}

// named puts "name (first 8 characters of the id)" for each id in text that has a name.
func named(text string, names Names) string {
	const size = 36
	var b strings.Builder
	for i := 0; i < len(text); {
		if i+size <= len(text) && text[i+8] == '-' {
			if id, err := model.ParseUUID(text[i : i+size]); err == nil {
				if name := names(id); name != "" {
					b.WriteString(name + " (" + text[i:i+8] + ")")
				} else {
					b.WriteString(text[i : i+size])
				}
				i += size
				continue
			}
		}
		b.WriteByte(text[i])
		i++
	}
	return b.String()
}

// Summary is a frame in one line, as tcpdump would put it, with its MACs.
func Summary(frame []byte) string {
	p, why := parse(frame)
	if len(frame) < ethLen {
		return fmt.Sprintf("%d bytes, too short for Ethernet", len(frame))
	}
	head := fmt.Sprintf("%s > %s ", p.src, p.dst)
	switch {
	case p.etherType == etherARP && len(frame) >= ethLen+arpLen:
		return head + arpText(p.l3())
	case p.ip != nil:
		text := head + p.ip.text()
		if why != reason.None {
			text += " (malformed)"
		}
		return text
	}
	return head + fmt.Sprintf("ethertype %#04x, %d bytes", p.etherType, len(frame))
}

func arpText(a []byte) string {
	addr := func(b []byte) string { return fmt.Sprintf("%d.%d.%d.%d", b[0], b[1], b[2], b[3]) }
	if be16(a[6:]) == 1 {
		return fmt.Sprintf("ARP who has %s, tell %s", addr(a[24:]), addr(a[14:]))
	}
	return fmt.Sprintf("ARP %s is at %s", addr(a[14:]), model.MAC(a[8:14]))
}

func (h *ipHeader) text() string {
	text := fmt.Sprintf("%s > %s %s ttl %d length %d", h.src, h.dst, h.upperText(), h.ttl, h.length)
	if h.frag {
		text += fmt.Sprintf(" fragment %d at %d", h.id, h.offset)
		if h.more {
			text += "+"
		}
	}
	if h.df && !h.v6 {
		text += " DF"
	}
	return text
}

func (h *ipHeader) upperText() string {
	switch {
	case h.icmp():
		return fmt.Sprintf("ICMP type %d code %d", h.icmpType, h.icmpCode)
	case !h.upper:
		return fmt.Sprintf("protocol %d", h.proto)
	}
	name := map[uint8]string{protoTCP: "TCP", protoUDP: "UDP", protoSCTP: "SCTP", protoDCCP: "DCCP", protoUDPLite: "UDP-Lite"}[h.proto]
	return fmt.Sprintf("%s %d > %d", name, h.sport, h.dport)
}

// SummaryOf is Summary of a frame of that length of which only the first bytes are known.
func SummaryOf(head []byte, length int) string {
	if length <= len(head) || length > 1<<17 {
		return Summary(head)
	}
	frame := make([]byte, length)
	copy(frame, head)
	return Summary(frame)
}
