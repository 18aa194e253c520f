package dptest

import (
	"slices"
	"strings"
	"testing"
)

// hard are the hard packets that must be told of, each with the cases that are about it, by the beginnings of their names.
var hard = []struct {
	what  string
	cases []string
}{
	{"fragments in order, the first among them", []string{"fragments in order under a port rule", "fragments in order without rules"}},
	{"later fragments", []string{"a later fragment before its first", "a later fragment of another datagram", "a later fragment alone without rules"}},
	{"fragments out of order", []string{"fragments in another order under a port rule"}},
	{"overlapping fragments", []string{"overlapping fragments under a port rule"}},
	{"tiny fragments", []string{"a first fragment too small for its TCP header", "a first fragment too small for its TCP header's options"}},
	{"fragments of what no rule allows", []string{"fragments of a forbidden port"}},
	{"path MTU across unequal MTUs, the error's quote intact", []string{"from a wide network into a narrow one", "one byte over the next network's MTU, not to be cut",
		"too big for the next network, may be cut"}},
	{"the error reaches the connection that it is about", []string{"too big reaches the TCP connection it is about", "an error about a ping"}},
	{"ICMP errors with short quotes", []string{"port unreachable with a short quote", "an error with a quote too short to tell", "an error without a quote"}},
	{"ICMP errors with extended quotes", []string{"port unreachable with an extended quote", "an extended quote of no connection"}},
	{"TTL and hop limit 1", []string{"TTL 1", "a ping with TTL 1 is answered"}},
	{"GSO and large segments near the MTU", []string{"TCP whose segments are exactly the MTU", "TCP whose segments are over the MTU", "UDP whose pieces are exactly the MTU"}},
	{"UDP with zero checksum", []string{"UDP without a checksum"}},
	{"IP options", []string{"record route and router alert options", "60 bytes of header"}},
	{"extension headers", []string{"hop-by-hop and destination options", "eight extension headers", "AH", "a routing header of type 2", "an atomic fragment"}},
	{"VLAN-tagged frames", []string{"a VLAN tag", "a priority tag", "a service tag", "two tags"}},
	{"ARP probes and announcements", []string{"ARP probe for", "ARP announcement reaches the network", "ARP announcement as reply reaches the network"}},
	{"duplicate address detection", []string{"duplicate address detection for"}},
	{"broadcast", []string{"limited broadcast", "subnet broadcast", "to 255.255.255.255 by the router's MAC"}},
	{"multicast", []string{"IPv4 multicast with TTL 1", "IPv6 multicast", "multicast needs a rule", "to 224.0.0.1 by the router's MAC", "to ff02::1 by the router's MAC"}},
	{"MLD", []string{"MLD passes without any rule", "MLD report without a source"}},
	{"jumbo frames", []string{"a jumbo frame"}},
	{"malformed IPv4 headers", []string{"header length below 5", "header longer than the packet", "total length below the header", "total length 0"}},
	{"malformed IPv6 headers", []string{"nine extension headers", "an extension header longer than the packet", "an extension header cut short",
		"a fragment header cut short", "no payload but a next header", "an IPv4-mapped destination", "an IPv4-mapped source"}},
	{"truncated headers", []string{"only an Ethernet header", "IP header cut short", "longer by its header than the frame", "TCP header cut short", "UDP header cut short",
		"SCTP header cut short", "DCCP header cut short", "UDP-Lite header cut short", "ICMP header cut short"}},
	{"malformed upper headers", []string{"TCP offset below 5", "TCP offset behind the end"}},
	{"malformed versions", []string{"wrong IP version", "the other family's version"}},
	{"malformed ARP and ND", []string{"ARP cut short", "ARP for another link type", "NS cut short", "NS with hop limit 254", "NS in a fragment"}},
	{"TCP simultaneous open", []string{"simultaneous open"}},
	{"TCP half-close", []string{"half-close"}},
	{"unknown protocols", []string{"an unknown protocol", "another protocol's replies under the default group"}},
}

// excuses are the cases that are not in every place and family, with the reason.
var excuses = []struct {
	why   string
	cases []string
	// v4, v6, bridged, routed: where they are all the same. near: not between two hosts; far: not within one.
	v4, v6, bridged, routed, near, far bool
}{
	{"IPv4 alone has that", []string{"60 bytes of header", "record route and router alert options", "don't fragment", "header length below 5",
		"header longer than the packet", "total length 0", "total length below the header"}, true, false, true, true, false, false},
	{"an IPv6 packet without payload is malformed; that is a case of its own", []string{"an unknown protocol without payload"}, true, false, true, true, false, false},
	{"an IPv6 first fragment has a header of its own between, which no error's quote is read through", []string{"an error about a first fragment"}, true, false, true, true, false, false},
	{"IPv6 alone has that", []string{"AH", "a routing header of type 2", "an atomic fragment", "eight extension headers", "nine extension headers",
		"hop-by-hop and destination options", "no next header, no payload", "a fragment header cut short", "an IPv4-mapped destination", "an IPv4-mapped source",
		"an extension header cut short", "an extension header longer than the packet", "no payload but a next header"}, false, true, true, true, false, false},
	{"no router is on the way; routed, the router answers, which are the cases below", []string{"TTL 1", "one byte over the MTU"}, true, true, true, false, false, false},
	{"only a router does that", []string{"TTL 0", "TTL 1 (a quote shorter than the packet)", "a ping with TTL 1 is answered", "an echo reply with TTL 1 is answered",
		"an ICMP error with TTL 1 is not answered", "a first fragment with TTL 1 is answered", "a later fragment with TTL 1 is not answered",
		"a fragmented ping to the router", "exactly the next network's MTU", "from a wide network into a narrow one",
		"one byte over the next network's MTU, not to be cut"}, true, true, false, true, false, false},
	{"only a router of IPv4 cuts", []string{"too big for the next network, may be cut"}, true, false, false, true, false, false},
	{"only the way between two hosts has a path", []string{"exactly the path's MTU", "the other way is not narrow"}, true, true, true, true, false, true},
	{"no router is on the way; routed, the router answers, which is the case below", []string{"one byte over the path's MTU"}, true, true, true, false, false, true},
	{"only a router does that, and only between two hosts", []string{"one byte over the path's MTU, not to be cut", "a path that grows"}, true, true, false, true, false, true},
	{"only a router of IPv4 cuts, and only between two hosts", []string{"too big for the path, may be cut"}, true, false, false, true, false, true},
	{"it is another host's path that is narrow", []string{"a narrow path to another host"}, true, true, true, true, true, false},
}

// placed splits the name of a case that place.title made.
func placed(name string) (what string, p place, ok bool) {
	for _, p := range places() {
		if w, is := strings.CutSuffix(name, p.title("")); is {
			return w, p, true
		}
	}
	return "", place{}, false
}

// Every hard packet of the list has its cases; and every case that speaks of a place is there in all four places (same host or two, same
// subnet or routed) and both families, or it is said why it cannot be. RunCases puts them to forward and to the programs, RunWire
// to real interfaces, veth and tap.
func TestHardPacketsAreComplete(t *testing.T) {
	there := map[string][]place{}
	var names []string
	for _, c := range Cases() {
		names = append(names, c.Name)
		if what, p, ok := placed(c.Name); ok {
			there[what] = append(there[what], p)
		}
	}
	for _, h := range hard {
		for _, c := range h.cases {
			if !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, c) }) {
				t.Errorf("%s: no case begins with %q", h.what, c)
			}
		}
	}
	wanted := map[string]func(place) bool{}
	for _, e := range excuses {
		for _, c := range e.cases {
			if there[c] == nil || wanted[c] != nil {
				t.Errorf("an excuse is made for %q, which is no case in places, or twice (%s)", c, e.why)
			}
			wanted[c] = func(p place) bool {
				return (p.v6 && e.v6 || !p.v6 && e.v4) && (p.routed() && e.routed || !p.routed() && e.bridged) &&
					!(e.near && p.far()) && !(e.far && !p.far())
			}
		}
	}
	for what, in := range there {
		for _, p := range places() {
			want := wanted[what] == nil || wanted[what](p)
			if is := slices.Contains(in, p); is != want {
				t.Errorf("%q: there %v, wanted %v: %s, %s; fill it, or say in excuses why not", what, is, want, p.name, family(p.v6))
			}
		}
	}
	t.Logf("%d cases, %d kinds of them in all places", len(names), len(there))
}
