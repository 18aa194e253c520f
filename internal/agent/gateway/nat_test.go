package gateway

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

func TestRuleset(t *testing.T) {
	c, ext := reference()
	c.Gateway.Plain = prefixes("10.5.0.0/16", "fd00:5::/64")
	p, problems := planOf(&c, map[model.NetworkID]*hostplan.External{ext.ID: ext})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	text := p.nat.ruleset()
	last := -1
	for _, want := range []string{ // in this order
		"table ip weft\ndelete table ip weft\n",
		`ct helper ftp-tcp-21 { type "ftp" protocol tcp; l3proto ip; }`,
		"203.0.113.110 : 10.0.0.11", "10.0.0.11 : 203.0.113.110",
		"203.0.113.120 . tcp . 80 : 10.0.0.12 . 8080", "203.0.113.120 . udp . 5009 : 10.0.0.12 . 6009",
		"elements = { 10.5.0.0/16 }",
		"ip daddr 203.0.113.120 tcp dport 7000-7009 dnat ip to 10.0.0.12\n",
		"ip daddr 203.0.113.120 tcp dport 9000-9005 dnat ip to 10.0.0.12:2200\n",
		"snat ip to ip saddr map @fixed", "ip saddr @plain accept", "snat ip to 203.0.113.100 fully-random",
		"ct state invalid ip saddr != @plain drop",
	} {
		i := strings.Index(text, want)
		if i <= last && i >= 0 || i < 0 {
			t.Errorf("%q is at %d, what came before at %d, of\n%s", want, i, last, text)
		}
		last = max(last, i)
	}
	c.Gateway, c.OuterDevice, c.FloatingIPs = nil, "", nil
	c.Routes = nil
	if p, _ := planOf(&c, nil); p.nat.ruleset() != "" || len(p.devices) != 2 {
		t.Errorf("without a gateway: %+v", p)
	}
}

func TestStale(t *testing.T) {
	c, _ := reference()
	c.Gateway.Addresses = append(c.Gateway.Addresses, netip.MustParsePrefix("198.51.100.130/25"))
	n := natOf(&c, "qg")
	a := netip.MustParseAddr
	conn := func(src, dst, replySrc, replyDst string, ports ...uint16) linux.Connection {
		x := linux.Connection{Protocol: 6, Orig: linux.Tuple{Src: a(src), Dst: a(dst)}, Reply: linux.Tuple{Src: a(replySrc), Dst: a(replyDst)}}
		if len(ports) == 2 {
			x.Orig.DstPort, x.Reply.SrcPort = ports[0], ports[1]
		}
		return x
	}
	expected := func(x linux.Connection) linux.Connection { x.Expected = true; return x }
	for _, tc := range []struct {
		name string
		conn linux.Connection
		want bool
	}{
		{"not translated", conn("10.0.0.12", "10.0.1.14", "10.0.1.14", "10.0.0.12"), false},
		{"not translated, of one with a floating IP", conn("10.0.0.11", "10.0.1.14", "10.0.1.14", "10.0.0.11"), false},
		{"SNAT", conn("10.0.0.12", "198.51.100.7", "198.51.100.7", "203.0.113.100"), false},
		{"SNAT by an address that is gone", conn("10.0.0.12", "198.51.100.7", "198.51.100.7", "203.0.113.99"), true},
		{"SNAT of one that has a floating IP now", conn("10.0.0.11", "198.51.100.7", "198.51.100.7", "203.0.113.100"), true},
		{"floating IP, out", conn("10.0.0.11", "198.51.100.7", "198.51.100.7", "203.0.113.110"), false},
		{"another's floating IP, out", conn("10.0.0.11", "198.51.100.7", "198.51.100.7", "203.0.113.113"), true},
		{"floating IP, in", conn("198.51.100.7", "203.0.113.110", "10.0.0.11", "198.51.100.7"), false},
		{"floating IP that leads elsewhere, in", conn("198.51.100.7", "203.0.113.110", "10.0.0.12", "198.51.100.7"), true},
		{"floating IP to floating IP", conn("10.0.0.11", "203.0.113.113", "10.0.1.13", "203.0.113.110"), false},
		{"hairpin by the gateway's address", conn("10.0.0.12", "203.0.113.113", "10.0.1.13", "203.0.113.100"), false},
		{"forwarding", conn("198.51.100.7", "203.0.113.120", "10.0.0.12", "198.51.100.7", 80, 8080), false},
		{"forwarding, shifted", conn("198.51.100.7", "203.0.113.120", "10.0.0.12", "198.51.100.7", 7003, 7003), false},
		{"forwarding to another port", conn("198.51.100.7", "203.0.113.120", "10.0.0.12", "198.51.100.7", 80, 8081), true},
		{"forwarding that is gone", conn("198.51.100.7", "203.0.113.120", "10.0.0.12", "198.51.100.7", 81, 8080), true},
		{"a helper's, to the gateway's address", expected(conn("198.51.100.7", "203.0.113.100", "10.0.0.12", "198.51.100.7", 4000, 4000)), false},
		{"a helper's, of one that has a floating IP now", expected(conn("198.51.100.7", "203.0.113.100", "10.0.0.11", "198.51.100.7", 4000, 4000)), true},
		{"SNAT by the gateway's address on another subnet", conn("10.0.0.12", "198.51.100.129", "198.51.100.129", "198.51.100.130"), false},
		{"to the gateway's address, by nobody", conn("198.51.100.7", "203.0.113.100", "10.0.0.12", "198.51.100.7", 4000, 4000), true},
	} {
		if got := n.stale(tc.conn); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
	if len(n.helpers) != 1 || isWord("ftp; drop") || isWord("") || isWord("-x") {
		t.Error("names of helpers")
	}
}
