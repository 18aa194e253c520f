package outside

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/agent/frame"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

func datagram(src, dst model.MAC, from, to string) []byte {
	return frame.UDP{SrcMAC: src, DstMAC: dst, Src: netip.MustParseAddrPort(from), Dst: netip.MustParseAddrPort(to), Payload: []byte("question")}.Bytes()
}

// syn is the first packet of a connection.
func syn(src, dst model.MAC, from, to string) []byte {
	a, b := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	seg := make([]byte, 20)
	binary.BigEndian.PutUint16(seg, a.Port())
	binary.BigEndian.PutUint16(seg[2:], b.Port())
	seg[12], seg[13] = 5<<4, 2
	p := frame.IP{SrcMAC: src, DstMAC: dst, Src: a.Addr(), Dst: b.Addr(), Proto: tcp, Hops: 64, Payload: seg}
	p.Checksum()
	return p.Bytes()
}

// TestAsking: DNS and metadata are asked by the machine itself, under an address of its own, at the servers' MAC and addresses; nothing else
// is handed on, and another's packets least of all.
func TestAsking(t *testing.T) {
	stranger := model.MAC{2, 0, 0, 0, 0, 9}
	broken := syn(metal, dhcpMAC, "10.0.0.5:4000", "169.254.169.254:80")
	broken[len(broken)-1] ^= 1
	for _, tc := range []struct {
		name  string
		frame []byte
		heard linux.Heard
		want  dataplane.PuntKind // 0: it is not handed on
	}{
		{"DNS", datagram(metal, dhcpMAC, "10.0.0.5:4000", "10.0.0.2:53"), linux.Heard{}, dataplane.PuntDNS},
		{"DNS over TCP", syn(metal, dhcpMAC, "10.0.0.5:4000", "10.0.0.2:53"), linux.Heard{}, dataplane.PuntDNS},
		{"DNS over IPv6", datagram(metal, dhcpMAC, "[fd00::5]:4000", "[fd00::2]:53"), linux.Heard{}, dataplane.PuntDNS},
		{"DNS over IPv6 and TCP", syn(metal, dhcpMAC, "[fd00::5]:4000", "[fd00::2]:53"), linux.Heard{}, dataplane.PuntDNS},
		{"metadata", syn(metal, dhcpMAC, "10.0.0.5:4000", "169.254.169.254:80"), linux.Heard{}, dataplane.PuntMetadata},
		{"metadata over IPv6", syn(metal, dhcpMAC, "[fe80::1:2]:4000", "[fe80::a9fe:a9fe]:80"), linux.Heard{}, dataplane.PuntMetadata},
		{"of this machine, not summed yet", broken, linux.Heard{Unsummed: true}, dataplane.PuntMetadata},
		{"broken on its way", broken, linux.Heard{}, 0},
		{"under another's address", datagram(metal, dhcpMAC, "10.0.0.6:4000", "10.0.0.2:53"), linux.Heard{}, 0},
		{"under another's IPv6 address", syn(metal, dhcpMAC, "[fd00::6]:4000", "[fd00::2]:53"), linux.Heard{}, 0},
		{"under the server's address", syn(metal, dhcpMAC, "[fe80::a9fe:a9fe]:4000", "[fe80::a9fe:a9fe]:80"), linux.Heard{}, 0},
		{"under no address", datagram(metal, dhcpMAC, "0.0.0.0:4000", "10.0.0.2:53"), linux.Heard{}, 0},
		{"under another's MAC", datagram(stranger, dhcpMAC, "10.0.0.5:4000", "10.0.0.2:53"), linux.Heard{}, 0},
		{"to another's MAC", datagram(metal, stranger, "10.0.0.5:4000", "10.0.0.2:53"), linux.Heard{}, 0},
		{"to all", datagram(metal, model.Broadcast, "10.0.0.5:4000", "10.0.0.2:53"), linux.Heard{}, 0},
		{"to another resolver", datagram(metal, dhcpMAC, "10.0.0.5:4000", "10.0.0.3:53"), linux.Heard{}, 0},
		{"HTTP to the resolver", syn(metal, dhcpMAC, "10.0.0.5:4000", "10.0.0.2:80"), linux.Heard{}, 0},
		{"DNS to the metadata service", datagram(metal, dhcpMAC, "10.0.0.5:4000", "169.254.169.254:53"), linux.Heard{}, 0},
		{"SSH", syn(metal, dhcpMAC, "10.0.0.5:4000", "10.0.0.2:22"), linux.Heard{}, 0},
		{"in another VLAN", datagram(metal, dhcpMAC, "10.0.0.5:4000", "10.0.0.2:53"), linux.Heard{VLAN: 1}, 0},
	} {
		got := &asked{}
		s := newServing(nil, got)
		s.Update(state(7))
		tc.heard.VLAN += 7
		if out := s.answer("rack", tc.heard, tc.frame); len(out) > 0 {
			t.Errorf("%s: answered at once: %x", tc.name, out)
		}
		if handed := len(got.got) == 1; handed != (tc.want != 0) || handed && (got.got[0].Kind != tc.want || got.got[0].Port != portID) {
			t.Errorf("%s: %+v", tc.name, got.got)
		}
	}
}

// TestNoServer: without a network:dhcp port nothing is answered but what needs no address of ours.
func TestNoServer(t *testing.T) {
	got := &asked{}
	s := newServing(nil, got)
	st := state(7)
	st.Networks[netID].Services = []hostplan.Service{{Address: stub4, MAC: hostMAC, Metadata: true}, {Address: stub6, MAC: hostMAC, Metadata: true}}
	s.Update(st)
	for name, f := range map[string][]byte{
		"ARP for the gateway": request(metal, "10.0.0.2"), "ARP for metadata": request(metal, "169.254.169.254"), "ND": solicit(metal, "fe80::1", "fe80::a9fe:a9fe"),
		"metadata": syn(metal, hostMAC, "10.0.0.5:4000", "169.254.169.254:80"),
	} {
		if out := s.answer("rack", linux.Heard{VLAN: 7}, f); len(out)+len(got.got) > 0 {
			t.Errorf("%s: %x, %+v", name, out, got.got)
		}
	}
}

// request is an ARP request.
func request(from model.MAC, target string) []byte {
	b := frame.Probe(netip.MustParseAddr(target), model.Broadcast, from)
	copy(b[28:], []byte{10, 0, 0, 5})
	return b
}

// solicit is a neighbour solicitation.
func solicit(from model.MAC, src, target string) []byte {
	a := netip.MustParseAddr(target)
	body := append(append([]byte{0, 0, 0, 0}, a.AsSlice()...), 1, 1)
	return frame.ICMP6{SrcMAC: from, DstMAC: frame.SolicitedNode(a), Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr("ff02::1:ff00:2"), HopLimit: 255,
		Type: solicitNeighbor, Body: append(body, from[:]...)}.Bytes()
}

// TestResolve: the machine is told where its servers are, and nobody is told anything of anybody else.
func TestResolve(t *testing.T) {
	s := newServer(nil)
	s.Update(state(7))
	stranger := model.MAC{2, 0, 0, 0, 0, 9}
	for _, tc := range []struct {
		name  string
		frame []byte
		told  string // the address
	}{
		{"the resolver", request(metal, "10.0.0.2"), "10.0.0.2"},
		{"metadata", request(metal, "169.254.169.254"), "169.254.169.254"},
		{"the resolver's IPv6 address", solicit(metal, "fd00::5", "fd00::2"), "fd00::2"},
		{"metadata's", solicit(metal, "fe80::1", "fe80::a9fe:a9fe"), "fe80::a9fe:a9fe"},
		{"the gateway", request(metal, "10.0.0.1"), ""},
		{"another machine", request(metal, "10.0.0.6"), ""},
		{"the router", solicit(metal, "fd00::5", "fd00::1"), ""},
		{"duplicate address detection", solicit(metal, "::", "fd00::2"), ""},
		{"a stranger asks", request(stranger, "10.0.0.2"), ""},
		{"a stranger asks for IPv6", solicit(stranger, "fd00::5", "fd00::2"), ""},
	} {
		out := s.answer("rack", linux.Heard{VLAN: 7}, tc.frame)
		if tc.told == "" {
			if len(out) > 0 {
				t.Errorf("%s: %x", tc.name, out)
			}
			continue
		}
		if len(out) != 1 || model.MAC(out[0][:6]) != metal || model.MAC(out[0][6:12]) != dhcpMAC {
			t.Errorf("%s: %x", tc.name, out)
			continue
		}
		a := netip.MustParseAddr(tc.told)
		if a.Is4() {
			if b := out[0]; b[21] != 2 || model.MAC(b[22:28]) != dhcpMAC || netip.AddrFrom4([4]byte(b[28:32])) != a || model.MAC(b[32:38]) != metal {
				t.Errorf("%s: %x", tc.name, b)
			}
			continue
		}
		m, err := frame.ParseICMP6(out[0])
		if err != nil || m.Type != 136 || m.Src != a || m.HopLimit != 255 || m.Body[0] != 0x60 || netip.AddrFrom16([16]byte(m.Body[4:20])) != a || model.MAC(m.Body[22:28]) != dhcpMAC {
			t.Errorf("%s: %+v %v", tc.name, m, err)
		}
	}
}

// TestLimit: a machine that storms has what an instance has, also across new States, and takes nothing from another.
func TestLimit(t *testing.T) {
	got := &asked{}
	s := newServing(nil, got)
	st := state(7)
	other := model.MAC{0x52, 0x54, 0, 0, 0, 2}
	id := model.PortID{UUID: model.UUID{3}}
	st.Outsiders[id] = &hostplan.Endpoint{Port: id, Network: netID, MAC: other, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.6/24")}}
	s.Update(st)
	start := time.Now()
	for i := range 5000 {
		if i%1000 == 0 {
			s.Update(st)
		}
		s.answer("rack", linux.Heard{VLAN: 7}, datagram(metal, dhcpMAC, "10.0.0.5:4000", "10.0.0.2:53"))
	}
	if n, most := len(got.got), 1001+int(500*time.Since(start).Seconds()); n < 1000 || n > most {
		t.Errorf("%d of 5000 in %v, at most %d should be", n, time.Since(start), most)
	}
	before := len(got.got)
	s.answer("rack", linux.Heard{VLAN: 7}, datagram(other, dhcpMAC, "10.0.0.6:4000", "10.0.0.2:53"))
	if len(got.got) != before+1 {
		t.Error("another's question was not handed on")
	}
}
