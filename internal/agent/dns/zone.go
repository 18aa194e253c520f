package dns

import (
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// zone is the names of one network's ports, in lower case with a final dot.
type zone struct {
	domain  string // "": none
	addrs   map[string][]netip.Addr
	names   map[netip.Addr]string
	subnets []hostplan.Subnet
}

// newZone collects the names of a network: each port's dns_name, or what Neutron makes of its address.
func newZone(st *hostplan.State, id model.NetworkID) *zone {
	net := st.Networks[id]
	if net == nil {
		return &zone{}
	}
	z := &zone{domain: dotted(net.DNSDomain), addrs: map[string][]netip.Addr{}, names: map[netip.Addr]string{}, subnets: net.Subnets}
	for _, n := range st.Neighbors {
		if n.Network == id {
			z.add(n.DNSName, n.DNSDomain, n.Addresses)
		}
	}
	for _, r := range st.Routers {
		for _, leg := range r.Interfaces {
			if leg.Network != id {
				continue
			}
			for _, p := range leg.Addresses {
				z.add("", "", []netip.Addr{p.Addr()})
			}
		}
	}
	for _, list := range z.addrs {
		slices.SortFunc(list, netip.Addr.Compare)
	}
	return z
}

// add names a port's fixed IPs. What the port may use besides (allowed_address_pairs) gets no name: several ports may claim
// one such address, and none of them alone may say whose it is.
func (z *zone) add(name, domain string, fixed []netip.Addr) {
	if domain == "" {
		domain = z.domain
	}
	for _, a := range fixed {
		host := name
		if host == "" {
			host = DefaultName(a)
		}
		full := strings.ToLower(host) + "." + dotted(domain)
		if len(full) > 254 {
			continue
		}
		z.addrs[full] = append(z.addrs[full], a)
		z.names[a] = full
	}
}

func dotted(domain string) string {
	domain = strings.ToLower(strings.Trim(domain, "."))
	if domain == "" {
		return ""
	}
	return domain + "."
}

// DefaultName is the name of a port without dns_name, by its address: host-10-0-0-5.
func DefaultName(a netip.Addr) string {
	return "host-" + strings.NewReplacer(".", "-", ":", "-").Replace(a.String())
}

// answer is what the zone says of a question; known: it is the zone's to answer.
type answer struct {
	known   bool
	rcode   dnsmessage.RCode
	records []dnsmessage.ResourceBody
}

func (z *zone) answer(q dnsmessage.Question) answer {
	name := strings.ToLower(q.Name.String())
	if addr, ok := reverse(name); ok {
		return z.reverse(addr, q.Type)
	}
	if addrs, ok := z.addrs[name]; ok {
		out := answer{known: true}
		for _, a := range addrs {
			switch {
			case a.Is4() && (q.Type == dnsmessage.TypeA || q.Type == dnsmessage.TypeALL):
				out.records = append(out.records, &dnsmessage.AResource{A: a.As4()})
			case a.Is6() && (q.Type == dnsmessage.TypeAAAA || q.Type == dnsmessage.TypeALL):
				out.records = append(out.records, &dnsmessage.AAAAResource{AAAA: a.As16()})
			}
		}
		return out
	}
	// A name without a dot, and one that has the form of ours, is nobody else's business.
	if strings.Count(name, ".") <= 1 && name != "." || z.domain != "" && strings.HasPrefix(name, "host-") && strings.HasSuffix(name, "."+z.domain) {
		return answer{known: true, rcode: dnsmessage.RCodeNameError}
	}
	return answer{}
}

func (z *zone) reverse(a netip.Addr, t dnsmessage.Type) answer {
	if name, ok := z.names[a]; ok {
		out := answer{known: true}
		if n, err := dnsmessage.NewName(name); err == nil && (t == dnsmessage.TypePTR || t == dnsmessage.TypeALL) {
			out.records = []dnsmessage.ResourceBody{&dnsmessage.PTRResource{PTR: n}}
		}
		return out
	}
	for _, s := range z.subnets {
		if s.Prefix.Contains(a) {
			return answer{known: true, rcode: dnsmessage.RCodeNameError}
		}
	}
	return answer{}
}

// reverse reads 4.3.2.1.in-addr.arpa. and the 32 digits of ip6.arpa. (RFC 1035, section 3.5; RFC 3596, section 2.5).
func reverse(name string) (netip.Addr, bool) {
	if s, ok := strings.CutSuffix(name, ".in-addr.arpa."); ok {
		parts := strings.Split(s, ".")
		if len(parts) != 4 {
			return netip.Addr{}, false
		}
		a, err := netip.ParseAddr(parts[3] + "." + parts[2] + "." + parts[1] + "." + parts[0])
		return a, err == nil
	}
	s, ok := strings.CutSuffix(name, ".ip6.arpa.")
	if !ok || len(s) != 63 {
		return netip.Addr{}, false
	}
	var b [16]byte
	for i := range 32 {
		d := strings.IndexByte("0123456789abcdef", s[2*i])
		if d < 0 || i < 31 && s[2*i+1] != '.' {
			return netip.Addr{}, false
		}
		at := 31 - i
		b[at/2] |= byte(d) << (4 * (1 - at%2)) //nolint:gosec // a digit
	}
	return netip.AddrFrom16(b), true
}
