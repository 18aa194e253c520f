package gateway

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

// nat is the translation that a router does; the zero nat does none. It is of IPv4 only: IPv6 passes as it is, and is not
// even tracked.
type nat struct {
	outer    string         // the device that leads outside; "": no gateway
	gateway  []netip.Prefix // the gateway's IPv4 addresses, in Neutron's order; SNAT translates to one of these
	own      []ownAddress   // all of the router's, of which its ICMP errors bear one
	snat     bool
	plain    []netip.Prefix
	floats   []pair
	forwards []forward
	helpers  []hostplan.Helper
}

// pair is a floating IP and the address behind it.
type pair struct{ floating, fixed netip.Addr }

// ownAddress is an IPv4 address of the router on a device.
type ownAddress struct {
	device  string
	address netip.Prefix
}

// ownAddresses are those of a router's devices, floating IPs not among them: a device has them as single addresses behind its own.
func ownAddresses(devices []device) (out []ownAddress) {
	for _, d := range devices {
		for _, a := range d.addresses {
			if a.Addr().Is4() && !a.IsSingleIP() {
				out = append(out, ownAddress{d.name, a})
			}
		}
	}
	return out
}

// forward leads ports of a floating IP to an inside address.
type forward struct {
	floating, inside netip.Addr
	protocol         uint8
	external         model.PortRange
	internal         model.PortRange // one port, or as many as external
}

func natOf(c *hostplan.Central, outer string) nat {
	n := nat{outer: outer, snat: c.Gateway.SNAT}
	for _, a := range c.Gateway.Addresses {
		if a.Addr().Is4() {
			n.gateway = append(n.gateway, a)
		}
	}
	for _, p := range c.Gateway.Plain {
		if p.Addr().Is4() {
			n.plain = append(n.plain, p.Masked())
		}
	}
	slices.SortFunc(n.plain, comparePrefix)
	for _, f := range c.FloatingIPs {
		if !f.Address.Is4() {
			continue
		}
		if f.Fixed.Is4() {
			n.floats = append(n.floats, pair{f.Address, f.Fixed})
		}
		for _, w := range f.Forwardings {
			n.forwards = append(n.forwards, forward{f.Address, w.Address, w.Protocol, w.External, w.Internal})
		}
	}
	slices.SortFunc(n.floats, func(a, b pair) int { return a.floating.Compare(b.floating) })
	slices.SortFunc(n.forwards, func(a, b forward) int {
		return cmp.Or(a.floating.Compare(b.floating), cmp.Compare(a.protocol, b.protocol), cmp.Compare(a.external.First, b.external.First))
	})
	for _, h := range c.Helpers {
		if protocolName(h.Protocol) != "" && isWord(h.Name) {
			n.helpers = append(n.helpers, h)
		}
	}
	slices.SortFunc(n.helpers, func(a, b hostplan.Helper) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
	})
	n.helpers = slices.Compact(n.helpers)
	return n
}

// isWord: the name can stand in a ruleset as it is.
func isWord(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") == "" && s[0] != '-'
}

const sctp = 132

func protocolName(p uint8) string {
	switch p {
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case sctp:
		return "sctp"
	}
	return ""
}

// table is ours, in each router's namespace.
const table = "weft"

// ruleset is the text that nft(8) puts in the place of the table that is there, in one step; "" if none is needed.
func (n nat) ruleset() string {
	if n.outer == "" {
		return ""
	}
	var b strings.Builder
	// Made first, so that there is one to delete.
	fmt.Fprintf(&b, "table ip %s\ndelete table ip %[1]s\ntable ip %[1]s {\n", table)
	n.writeHelpers(&b)
	n.writeMaps(&b)
	forwards := n.forwardRules()
	for _, c := range []struct{ name, priority string }{{"prerouting", "dstnat"}, {"output", "-100"}} {
		fmt.Fprintf(&b, "chain %s { type nat hook %[1]s priority %s; policy accept;\n%s", c.name, c.priority, forwards)
		if len(n.floats) > 0 {
			b.WriteString("dnat ip to ip daddr map @floating\n")
		}
		b.WriteString("}\n")
	}
	n.writeSource(&b)
	n.writeErrors(&b)
	b.WriteString("}\n")
	return b.String()
}

func (n nat) writeMaps(b *strings.Builder) {
	if len(n.floats) > 0 {
		var in, out []string
		fixed := map[netip.Addr]bool{}
		for _, p := range n.floats {
			in = append(in, fmt.Sprintf("%s : %s", p.floating, p.fixed))
			if !fixed[p.fixed] { // of two floating IPs of one address, the first is what it leaves with
				out = append(out, fmt.Sprintf("%s : %s", p.fixed, p.floating))
			}
			fixed[p.fixed] = true
		}
		fmt.Fprintf(b, "map floating { type ipv4_addr : ipv4_addr; elements = { %s }; }\n", strings.Join(in, ", "))
		fmt.Fprintf(b, "map fixed { type ipv4_addr : ipv4_addr; elements = { %s }; }\n", strings.Join(out, ", "))
	}
	if ports := n.singlePorts(); len(ports) > 0 {
		fmt.Fprintf(b, "map ports { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; elements = { %s }; }\n", strings.Join(ports, ", "))
	}
	if len(n.plain) > 0 {
		var list []string
		for _, p := range n.plain {
			list = append(list, p.String())
		}
		fmt.Fprintf(b, "set plain { type ipv4_addr; flags interval; auto-merge; elements = { %s }; }\n", strings.Join(list, ", "))
	}
}

// writeSource writes what becomes of the source of packets, in the order in which it is asked: what stays inside is left
// alone, unless it was sent to a floating IP and must come back by here; a floating IP comes before the gateway's address.
func (n nat) writeSource(b *strings.Builder) {
	fmt.Fprintf(b, "chain postrouting { type nat hook postrouting priority srcnat; policy accept;\n")
	fmt.Fprintf(b, "iifname %q accept\n", n.outer)
	fmt.Fprintf(b, "oifname != %q ct status & dnat == 0 accept\n", n.outer)
	if len(n.floats) > 0 {
		b.WriteString("snat ip to ip saddr map @fixed\n")
	}
	if len(n.plain) > 0 {
		fmt.Fprintf(b, "oifname %q ip saddr @plain accept\n", n.outer)
	}
	if n.snat {
		for _, a := range n.beside() {
			fmt.Fprintf(b, "oifname %q rt ip nexthop %s snat ip to %s fully-random\n", n.outer, a.Masked(), a.Addr())
		}
	}
	if len(n.gateway) > 0 {
		if n.snat {
			fmt.Fprintf(b, "oifname %q snat ip to %s fully-random\n", n.outer, n.gateway[0].Addr())
		}
		fmt.Fprintf(b, "oifname != %q snat ip to %s fully-random\n", n.outer, n.gateway[0].Addr())
	}
	b.WriteString("}\n")
	if n.snat || len(n.floats) > 0 {
		// What belongs to no connection cannot be translated, and would show an inside address outside.
		fmt.Fprintf(b, "chain forward { type filter hook forward priority filter; policy accept;\noifname %q ct state invalid %sdrop\n}\n", n.outer, n.notPlain())
	}
}

// beside are the gateway's addresses on further subnets of the external network, the first of each: what goes to a next hop on one of these
// leaves with the address there, everything else with the gateway's first.
func (n nat) beside() (out []netip.Prefix) {
	for i, a := range n.gateway {
		if i > 0 && !slices.ContainsFunc(n.gateway[:i], func(p netip.Prefix) bool { return p.Masked() == a.Masked() }) {
			out = append(out, a)
		}
	}
	return out
}

// ownError marks an ICMP error that the router itself sends.
const ownError = 0x77656674

// writeErrors has the router's own ICMP errors about translated packets bear an address of its own: connection tracking takes them for
// ones of the instance, and gives them the floating IP. An address on the side to which the error goes comes first.
func (n nat) writeErrors(b *strings.Builder) {
	if len(n.floats)+len(n.forwards) == 0 {
		return
	}
	fmt.Fprintf(b, "chain own { type filter hook output priority filter; policy accept;\n")
	fmt.Fprintf(b, "icmp type { destination-unreachable, time-exceeded, parameter-problem } ct state related ct status dnat meta mark set %#x\n}\n", ownError)
	fmt.Fprintf(b, "chain errors { type filter hook postrouting priority srcnat + 10; policy accept;\nmeta mark != %#x accept\n", ownError)
	for _, o := range n.own {
		fmt.Fprintf(b, "oifname %q rt ip nexthop %s ip saddr set %s accept\n", o.device, o.address.Masked(), o.address.Addr())
	}
	if len(n.gateway) > 0 {
		fmt.Fprintf(b, "oifname %q ip saddr set %s\n", n.outer, n.gateway[0].Addr())
	}
	b.WriteString("}\n")
}

func (n nat) notPlain() string {
	if len(n.plain) == 0 {
		return ""
	}
	return "ip saddr != @plain "
}

// definition is the object of the ruleset that names a helper.
func definition(h hostplan.Helper) string {
	return fmt.Sprintf("ct helper %s-%s-%d { type %q protocol %[2]s; l3proto ip; }\n", h.Name, protocolName(h.Protocol), h.Port, h.Name)
}

func (n nat) writeHelpers(b *strings.Builder) {
	if len(n.helpers) == 0 {
		return
	}
	for _, h := range n.helpers {
		b.WriteString(definition(h))
	}
	// After connection tracking and before the packet's NAT, in both directions from which a connection may be opened.
	b.WriteString("chain helpers { type filter hook prerouting priority mangle; policy accept;\n")
	for _, h := range n.helpers {
		fmt.Fprintf(b, "%s dport %d ct helper set \"%s-%[1]s-%[2]d\"\n", protocolName(h.Protocol), h.Port, h.Name)
	}
	b.WriteString("}\n")
}

// width is the number of ports less one.
func width(r model.PortRange) int { return int(r.Last) - int(r.First) }

// shifted: port i of external leads to port i of internal, and these are not the same numbers.
func (f forward) shifted() bool {
	return width(f.external) > 0 && width(f.internal) == width(f.external) && f.internal.First != f.external.First
}

// singlePorts are the elements of the map: single ports, and ranges whose ports change by their number, which nft cannot
// say otherwise.
func (n nat) singlePorts() []string {
	var out []string
	for _, f := range n.forwards {
		if width(f.external) != 0 && !f.shifted() || protocolName(f.protocol) == "" {
			continue
		}
		for i := 0; i <= width(f.external); i++ {
			out = append(out, fmt.Sprintf("%s . %s . %d : %s . %d", f.floating, protocolName(f.protocol), int(f.external.First)+i, f.inside, f.target(i)))
		}
	}
	return out
}

// target is the inside port of the i-th external one.
func (f forward) target(i int) int {
	if width(f.internal) == 0 {
		return int(f.internal.First)
	}
	return int(f.internal.First) + i
}

func (n nat) forwardRules() string {
	var b strings.Builder
	if len(n.singlePorts()) > 0 {
		b.WriteString("dnat ip to ip daddr . ip protocol . th dport map @ports\n")
	}
	for _, f := range n.forwards {
		p := protocolName(f.protocol)
		if width(f.external) == 0 || f.shifted() || p == "" {
			continue
		}
		to := f.inside.String()
		if width(f.internal) == 0 {
			to += fmt.Sprintf(":%d", f.internal.First)
		}
		fmt.Fprintf(&b, "ip daddr %s %s dport %d-%d dnat ip to %s\n", f.floating, p, f.external.First, f.external.Last, to)
	}
	return b.String()
}

// stale reports whether a connection is translated in a way that n would not choose (any more): it was opened through a
// floating IP that has gone or leads elsewhere, by an instance that has a floating IP now, or by an address that the
// gateway no longer has. What is not translated is not judged.
func (n nat) stale(c linux.Connection) bool {
	if c.Reply.Src != c.Orig.Dst && !n.leadsTo(c) {
		return true
	}
	if c.Reply.Dst == c.Orig.Src {
		return false
	}
	for _, p := range n.floats {
		if p.fixed == c.Orig.Src {
			return !slices.Contains(n.floats, pair{c.Reply.Dst, c.Orig.Src})
		}
	}
	return !n.isGateway(c.Reply.Dst)
}

func (n nat) isGateway(a netip.Addr) bool {
	return slices.ContainsFunc(n.gateway, func(p netip.Prefix) bool { return p.Addr() == a })
}

// leadsTo: the destination of c is translated as n does, or as a helper did for a connection that n would translate.
func (n nat) leadsTo(c linux.Connection) bool {
	if c.Expected && n.isGateway(c.Orig.Dst) {
		return !slices.ContainsFunc(n.floats, func(p pair) bool { return p.fixed == c.Reply.Src })
	}
	return slices.Contains(n.floats, pair{c.Orig.Dst, c.Reply.Src}) || slices.ContainsFunc(n.forwards, func(f forward) bool {
		if f.floating != c.Orig.Dst || f.inside != c.Reply.Src {
			return false
		}
		i := int(c.Orig.DstPort) - int(f.external.First)
		return c.Expected || f.protocol == c.Protocol && i >= 0 && i <= width(f.external) && int(c.Reply.SrcPort) == f.target(i)
	})
}
