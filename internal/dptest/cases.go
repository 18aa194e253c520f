package dptest

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/model"
)

// Case is a named hard situation: frames sent one after the other in a cloud, each with the outcome that it must have,
// across all hosts, worked out by hand from the RFCs and not by the code under test.
type Case struct {
	Name string
	// Change makes of Demo() the case's cloud; nil: Demo() as it is.
	Change func(*Cloud)
	Sends  []Send
}

// Send is one frame that the instance From sends, or, if NIC is not empty, that the NIC of the host of that name receives, with the tag
// VLAN; the State may change before it.
type Send struct {
	From  string
	NIC   string
	VLAN  uint16
	Frame []byte
	// Segment is the payload of one segment of a frame that is cut later (GSO); 0: it is not.
	Segment int
	Want    Want
	// Before changes the cloud for this and the following frames.
	Before func(*Cloud)
}

// Want is what must come of a frame: exactly this and nothing else.
type Want struct {
	// To are the ports that get a frame.
	To map[string][]byte
	// Reply is what comes back; nil: nothing.
	Reply []byte
	// Punt is the kind of punt; 0: none.
	Punt dataplane.PuntKind
	// Reason is why it was dropped on any host; None: it was not.
	Reason reason.Reason
	// Out is what leaves by the NIC, with the tag VLAN; nil: nothing. A Reply to what came from a NIC is not meant.
	Out  []byte
	VLAN uint16
	// ToHost: the host itself gets the frame, as it came. Told: user space is told of a neighbour outside. Asked: it is
	// told of a question without an answer.
	ToHost, Told, Asked bool
}

// Cases is the table.
func Cases() []Case {
	var all []Case
	for _, f := range []func() []Case{unicastCases, sizeCases, pathCases, segmentCases, ttlCases, routerCases, arpCases, ndCases, guardCases,
		floodCases, malformedCases, fragmentCases, policyCases, protoCases, icmpCases, floatingCases, outsideCases, proxyCases, providerCases, machineCases, severalCases, learnCases} {
		all = append(all, f()...)
	}
	return all
}

// place is a pair of ports of the Demo cloud that talk to each other.
type place struct {
	name     string
	src, dst string
	v6       bool
}

// places are all four situations in both families.
func places() []place {
	var out []place
	for _, v6 := range []bool{false, true} {
		out = append(out, place{"same host, same subnet", "red1", "red3", v6}, place{"two hosts, same subnet", "red1", "red2", v6},
			place{"same host, routed", "red1", "blue1", v6}, place{"two hosts, routed", "red1", "blue2", v6})
	}
	return out
}

// routedPlaces are those of places that pass the router.
func routedPlaces() []place {
	var out []place
	for _, p := range places() {
		if p.routed() {
			out = append(out, p)
		}
	}
	return out
}

func family(v6 bool) string {
	if v6 {
		return "IPv6"
	}
	return "IPv4"
}

func (p place) title(what string) string {
	return fmt.Sprintf("%s, %s, %s", what, p.name, family(p.v6))
}

// back is the place with its ends swapped.
func (p place) back() place { return place{p.name, p.dst, p.src, p.v6} }

// network is the number of the port's network: 0 red, 1 blue.
func network(port string) int {
	if port[:4] == "blue" {
		return 1
	}
	return 0
}

func networkName(port string) string { return []string{"red", "blue"}[network(port)] }

// far: between two hosts.
func (p place) far() bool { return strings.HasPrefix(p.name, "two hosts") }

func (p place) routed() bool { return network(p.src) != network(p.dst) }

// addr is the port's address in the family.
func addr(port string, v6 bool) netip.Addr {
	a := Demo().Port(port).Addresses
	if v6 {
		return a[1]
	}
	return a[0]
}

// ip is an empty packet from src to dst.
func (p place) ip() IP { return IP{Src: addr(p.src, p.v6), Dst: addr(p.dst, p.v6)} }

// frame is the packet as src sends it: to dst's MAC, or to its router's.
func (p place) frame(x IP) []byte { return x.Frame(p.nextHop(), PortMAC(p.src)) }

func (p place) nextHop() model.MAC {
	if p.routed() {
		return LegMAC("router", networkName(p.src))
	}
	return PortMAC(p.dst)
}

// arrived is the packet as dst must see it.
func (p place) arrived(x IP) []byte {
	if !p.routed() {
		return x.Frame(PortMAC(p.dst), PortMAC(p.src))
	}
	if x.TTL == 0 {
		x.TTL = 64
	}
	x.TTL--
	return x.Frame(PortMAC(p.dst), LegMAC("router", networkName(p.dst)))
}

// passes is a Send of x that must arrive.
func (p place) passes(x IP) Send {
	return Send{From: p.src, Frame: p.frame(x), Want: Want{To: map[string][]byte{p.dst: p.arrived(x)}}}
}

// dropped is a Send of x that must be dropped without an answer.
func (p place) dropped(x IP, why reason.Reason) Send {
	return Send{From: p.src, Frame: p.frame(x), Want: Want{Reason: why}}
}

// refused is a Send of x that must be dropped and answered by the router with an ICMP error.
func (p place) refused(x IP, why reason.Reason, e IP) Send {
	return Send{From: p.src, Frame: p.frame(x), Want: Want{Reason: why, Reply: e.Frame(PortMAC(p.src), LegMAC("router", networkName(p.src)))}}
}

// routerError is the ICMP error from src's router about x.
func (p place) routerError(x IP, typ, code uint8, rest uint32) IP {
	e := IP{Src: DemoAddr(network(p.src), 1, p.v6), Dst: x.Src}
	limit := 1232
	if !p.v6 {
		e.TOS, limit = 0xc0, 548
	}
	quote := x.Bytes()
	return e.ICMP(typ, code, rest, quote[:min(len(quote), limit)])
}

// pick chooses by family.
func (p place) pick(v4, v6 uint8) uint8 {
	if p.v6 {
		return v6
	}
	return v4
}

// single is a case of one Send in the Demo cloud.
func single(name string, s Send) Case { return Case{Name: name, Sends: []Send{s}} }

// addrFrom is the address of 4 or 16 bytes.
func addrFrom(b []byte) netip.Addr { a, _ := netip.AddrFromSlice(b); return a }

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

func prefixOf(a netip.Addr, bits uint8) netip.Prefix { return netip.PrefixFrom(a, int(bits)).Masked() }

// elsewhere is an address outside of the cloud.
func (p place) elsewhere() netip.Addr {
	if p.v6 {
		return mustAddr("2001:db8::9")
	}
	return mustAddr("10.99.0.9")
}
