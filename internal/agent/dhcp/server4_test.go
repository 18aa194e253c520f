package dhcp

import (
	"encoding/hex"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/weft-cloud/weft/internal/agent/frame"
	"github.com/weft-cloud/weft/internal/agent/tally"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

var (
	portID  = model.PortID{UUID: model.UUID{1}}
	vmMAC   = model.MAC{0xfa, 0x16, 0x3e, 1, 2, 3}
	srvMAC  = model.MAC{0xfa, 0x16, 0x3e, 9, 9, 9}
	vmAddr  = netip.MustParseAddr("172.16.42.10")
	srvAddr = netip.MustParseAddr("172.16.42.2")
	gwAddr  = netip.MustParseAddr("172.16.42.1")
	all4    = "255.255.255.255"
)

func endpoint() *hostplan.Endpoint {
	return &hostplan.Endpoint{
		Port: portID, MAC: vmMAC, MTU: 1450,
		DHCP4: &hostplan.DHCP4{
			Address: vmAddr, Prefix: netip.MustParsePrefix("172.16.42.0/24"), Server: srvAddr, ServerMAC: srvMAC, Router: gwAddr,
			DNS: []netip.Addr{srvAddr}, MTU: 1450, LeaseSeconds: 86400, Hostname: "host-172-16-42-10", Domain: "openstacklocal.",
			Routes: []hostplan.StaticRoute{
				{Dst: netip.MustParsePrefix("10.9.0.0/17"), Via: netip.MustParseAddr("172.16.42.7")},
				{Dst: netip.MustParsePrefix("169.254.169.254/32"), Via: srvAddr},
				{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: gwAddr},
			},
		},
	}
}

// question builds a client's frame. Source and destination are those of a broadcast.
func question(t testing.TB, mods ...dhcpv4.Modifier) []byte {
	t.Helper()
	m, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithHwAddr(vmMAC[:]), dhcpv4.WithTransactionID(dhcpv4.TransactionID{1, 2, 3, 4})}, mods...)...)
	if err != nil {
		t.Fatal(err)
	}
	return frame.UDP{
		SrcMAC: vmMAC, DstMAC: model.Broadcast, Payload: m.ToBytes(),
		Src: netip.MustParseAddrPort("0.0.0.0:68"), Dst: netip.MustParseAddrPort("255.255.255.255:67"),
	}.Bytes()
}

type reply struct {
	udp frame.UDP
	msg *dhcpv4.DHCPv4
}

func ask(t testing.TB, ep *hostplan.Endpoint, b []byte) (*reply, tally.Exchange) {
	t.Helper()
	out, said := answer4(ep, b)
	if out == nil {
		return nil, said
	}
	u, err := frame.ParseUDP(out)
	if err != nil {
		t.Fatal(err)
	}
	m, err := dhcpv4.FromBytes(u.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return &reply{u, m}, said
}

func kind(k dhcpv4.MessageType) dhcpv4.Modifier { return dhcpv4.WithMessageType(k) }

func wish(a string) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.ParseIP(a)))
}

func server(a string) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.ParseIP(a)))
}

func ciaddr(a string) dhcpv4.Modifier { return dhcpv4.WithClientIP(net.ParseIP(a)) }

func asks(codes ...uint8) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionParameterRequestList, codes))
}

const mine, server4 = "172.16.42.10", "172.16.42.2"

// TestStates is RFC 2131, tables 3 and 4 and section 4.1: which question gets which answer, and where it is sent.
func TestStates(t *testing.T) {
	for _, tc := range []struct {
		name string
		mods []dhcpv4.Modifier
		want dhcpv4.MessageType // None: no answer
		to   string
		your string
	}{
		{"discover", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeDiscover)}, dhcpv4.MessageTypeOffer, mine, mine},
		{"discover, broadcast", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeDiscover), dhcpv4.WithBroadcast(true)}, dhcpv4.MessageTypeOffer, all4, mine},
		{"discover, another wish", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeDiscover), wish("10.0.0.1")}, dhcpv4.MessageTypeOffer, mine, mine},
		{"discover, rapid commit", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeDiscover), dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionRapidCommit, nil))}, dhcpv4.MessageTypeAck, mine, mine},
		{"selecting", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRequest), server(server4), wish(mine)}, dhcpv4.MessageTypeAck, mine, mine},
		{"selecting, wrong address", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRequest), server(server4), wish("172.16.42.11")}, dhcpv4.MessageTypeNak, all4, "0.0.0.0"},
		{"selecting another server", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRequest), server("172.16.42.3"), wish(mine)}, 0, "", ""},
		{"init-reboot", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRequest), wish(mine)}, dhcpv4.MessageTypeAck, mine, mine},
		{"init-reboot, wrong network", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRequest), wish("10.1.1.1")}, dhcpv4.MessageTypeNak, all4, "0.0.0.0"},
		{"renewing or rebinding", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRequest), ciaddr(mine)}, dhcpv4.MessageTypeAck, mine, mine},
		{"renewing, broadcast bit", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRequest), ciaddr(mine), dhcpv4.WithBroadcast(true)}, dhcpv4.MessageTypeAck, mine, mine},
		{"renewing at an earlier server", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRequest), ciaddr(mine), server("172.16.42.3")}, dhcpv4.MessageTypeAck, mine, mine},
		{"renewing, address changed", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRequest), ciaddr("172.16.42.11")}, dhcpv4.MessageTypeNak, all4, "0.0.0.0"},
		{"request of nothing", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRequest)}, dhcpv4.MessageTypeNak, all4, "0.0.0.0"},
		{"inform", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeInform), ciaddr("172.16.42.99")}, dhcpv4.MessageTypeAck, "172.16.42.99", "0.0.0.0"},
		{"inform without an address", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeInform)}, dhcpv4.MessageTypeAck, all4, "0.0.0.0"},
		{"release", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRelease), ciaddr(mine), server(server4)}, 0, "", ""},
		{"decline", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeDecline), wish(mine), server(server4)}, 0, "", ""},
		{"offer from an instance", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeOffer)}, 0, "", ""},
		{"boot reply from an instance", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeDiscover), func(d *dhcpv4.DHCPv4) { d.OpCode = dhcpv4.OpcodeBootReply }}, 0, "", ""},
		{"another's hardware address", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeDiscover), dhcpv4.WithHwAddr(net.HardwareAddr{2, 0, 0, 0, 0, 1})}, 0, "", ""},
		{"through a relay", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeDiscover), dhcpv4.WithGatewayIP(net.IP{172, 16, 42, 50})}, dhcpv4.MessageTypeOffer, "172.16.42.50", mine},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, said := ask(t, endpoint(), question(t, tc.mods...))
			if r == nil {
				if tc.want != 0 {
					t.Fatalf("no answer: %+v", said)
				}
				if said.Why == "" || said.Answer != "" {
					t.Errorf("no reason given: %+v", said)
				}
				return
			}
			if got := r.msg.MessageType(); got != tc.want {
				t.Fatalf("answer %v, want %v", got, tc.want)
			}
			if got := r.udp.Dst.Addr().String(); got != tc.to {
				t.Errorf("to %s, want %s", got, tc.to)
			}
			if got := r.msg.YourIPAddr.String(); got != tc.your {
				t.Errorf("yiaddr %s, want %s", got, tc.your)
			}
			if wantMAC := tc.to == all4; wantMAC != (r.udp.DstMAC == model.Broadcast) {
				t.Errorf("to %s at %s", tc.to, r.udp.DstMAC)
			}
			if r.udp.SrcMAC != srvMAC || r.udp.Src.String() != "172.16.42.2:67" || addr4(r.msg.ServerIdentifier()) != srvAddr {
				t.Errorf("from %v %v", r.udp.SrcMAC, r.udp.Src)
			}
			if r.msg.TransactionID != (dhcpv4.TransactionID{1, 2, 3, 4}) {
				t.Errorf("xid %v", r.msg.TransactionID)
			}
		})
	}
}

// TestConfiguration: what a client that asks for everything is told, byte for byte.
func TestConfiguration(t *testing.T) {
	r, said := ask(t, endpoint(), question(t, kind(dhcpv4.MessageTypeDiscover), asks(1, 3, 6, 12, 15, 26, 28, 51, 58, 59, 121, 249)))
	if said.Why != "" {
		t.Error(said.Why)
	}
	got := map[uint8]string{}
	for c, b := range r.msg.Options {
		got[c] = hex.EncodeToString(b)
	}
	routes := "11" + "0a0900" + "ac102a07" + "20a9fea9fe" + "ac102a02" + "00" + "ac102a01"
	want := map[uint8]string{
		1: "ffffff00", 3: "ac102a01", 6: "ac102a02", 12: hex.EncodeToString([]byte("host-172-16-42-10")),
		15: hex.EncodeToString([]byte("openstacklocal")), 26: "05aa", 28: "ac102aff", 51: "00015180", 53: "02", 54: "ac102a02",
		58: "0000a8c0", 59: "00012750", 121: routes, 249: routes,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func codes(m *dhcpv4.DHCPv4) []uint8 {
	var out []uint8
	for c := range m.Options {
		out = append(out, c)
	}
	slices.Sort(out)
	return out
}

// TestAsked: a client gets what it asked for and what it cannot do without; routes only if it understands them.
func TestAsked(t *testing.T) {
	for _, tc := range []struct {
		name string
		mods []dhcpv4.Modifier
		want []uint8
	}{
		{"nothing", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeDiscover), asks(43)}, []uint8{1, 3, 6, 26, 51, 53, 54, 58, 59}},
		{"no list", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeDiscover)}, []uint8{1, 3, 6, 12, 15, 26, 28, 51, 53, 54, 58, 59, 121, 249}},
		{"routes", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeDiscover), asks(121)}, []uint8{1, 3, 6, 26, 51, 53, 54, 58, 59, 121}},
		{"inform", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeInform), ciaddr(mine), asks(12, 51, 58)}, []uint8{1, 3, 6, 12, 26, 53, 54}},
		{"nak", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRequest), wish("1.1.1.1"), asks(1, 3)}, []uint8{53, 54, 56}},
		{
			"client id and relay information come back", []dhcpv4.Modifier{
				kind(dhcpv4.MessageTypeRequest), wish("1.1.1.1"), dhcpv4.WithOption(dhcpv4.OptClientIdentifier([]byte{0xff, 1, 2})),
				dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionRelayAgentInformation, []byte{1, 1, 7})),
			}, []uint8{53, 54, 56, 61, 82},
		},
		{"rapid commit", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeDiscover), asks(43), dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionRapidCommit, nil))}, []uint8{1, 3, 6, 26, 51, 53, 54, 58, 59, 80}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, _ := ask(t, endpoint(), question(t, tc.mods...))
			if d := cmp.Diff(tc.want, codes(r.msg)); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestBOOTP: no DHCP option, an address for ever (RFC 1534).
func TestBOOTP(t *testing.T) {
	r, _ := ask(t, endpoint(), question(t))
	if r == nil || r.msg.YourIPAddr.String() != mine || r.msg.Options.Has(dhcpv4.OptionDHCPMessageType) || r.msg.Options.Has(dhcpv4.OptionIPAddressLeaseTime) {
		t.Fatalf("%v", r)
	}
}

func TestExtra(t *testing.T) {
	ipxe := dhcpv4.WithOption(dhcpv4.OptUserClass("iPXE"))
	for _, tc := range []struct {
		name  string
		opts  []hostplan.DHCPOption
		mods  []dhcpv4.Modifier
		check func(t *testing.T, m *dhcpv4.DHCPv4)
	}{
		{"by name", []hostplan.DHCPOption{{Name: "ntp-server", Value: "10.0.0.1, 10.0.0.2"}}, nil, has(42, "0a0000010a000002")},
		{"by number", []hostplan.DHCPOption{{Name: "42", Value: "10.0.0.1"}}, nil, has(42, "0a000001")},
		{"with option:", []hostplan.DHCPOption{{Name: "option:mtu", Value: "1400"}}, nil, has(26, "0578")},
		{"over the subnet's", []hostplan.DHCPOption{{Name: "dns-server", Value: "9.9.9.9"}}, nil, has(6, "09090909")},
		{"taken away", []hostplan.DHCPOption{{Name: "router"}}, nil, func(t *testing.T, m *dhcpv4.DHCPv4) {
			has(3, "none")(t, m)
			has(121, "11"+"0a0900"+"ac102a07"+"20a9fea9fe"+"ac102a02")(t, m)
		}},
		{"lease time sets T1 and T2", []hostplan.DHCPOption{{Name: "51", Value: "80"}}, nil, func(t *testing.T, m *dhcpv4.DHCPv4) {
			has(51, "00000050")(t, m)
			has(58, "00000028")(t, m)
			has(59, "00000046")(t, m)
		}},
		{"T1 alone", []hostplan.DHCPOption{{Name: "T1", Value: "60"}}, nil, has(58, "0000003c")},
		{"infinite", []hostplan.DHCPOption{{Name: "lease-time", Value: "infinite"}}, nil, func(t *testing.T, m *dhcpv4.DHCPv4) {
			has(51, "ffffffff")(t, m)
			has(58, "ffffffff")(t, m)
		}},
		{"unknown number, address", []hostplan.DHCPOption{{Name: "224", Value: "1.2.3.4"}}, nil, has(224, "01020304")},
		{"unknown number, number", []hostplan.DHCPOption{{Name: "224", Value: "258"}}, nil, has(224, "0102")},
		{"unknown number, hex", []hostplan.DHCPOption{{Name: "224", Value: "01:aB:c"}}, nil, has(224, "01ab0c")},
		{"unknown number, quoted", []hostplan.DHCPOption{{Name: "224", Value: `"258"`}}, nil, has(224, "323538")},
		{"search list", []hostplan.DHCPOption{{Name: "domain-search", Value: "a.example,b"}}, nil, has(119, "0161076578616d706c6500"+"016200")},
		{"routes", []hostplan.DHCPOption{{Name: "classless-static-route", Value: "0.0.0.0/0,10.0.0.1,10.2.0.0/15,10.0.0.2"}}, nil, has(121, "000a0000010f0a020a000002")},
		{"sip names", []hostplan.DHCPOption{{Name: "sip-server", Value: "a.b"}}, nil, has(120, "000161016200")},
		{"negative offset", []hostplan.DHCPOption{{Name: "time-offset", Value: "-3600"}}, nil, has(2, "fffff1f0")},
		{"vendor options", []hostplan.DHCPOption{{Name: "43", Value: "06:01:08:ff"}}, nil, has(43, "060108ff")},
		{"tag does not hold", []hostplan.DHCPOption{{Name: "tag:ipxe,67", Value: "http://boot"}}, nil, has(67, "none")},
		{"tag holds", []hostplan.DHCPOption{{Name: "tag:ipxe,67", Value: "http://boot"}}, []dhcpv4.Modifier{ipxe}, has(67, hex.EncodeToString([]byte("http://boot")))},
		{"tag by option 175", []hostplan.DHCPOption{{Name: "tag:ipxe,67", Value: "x"}}, []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.GenericOptionCode(175), []byte{1}))}, has(67, "78")},
		{"the tagged one wins", []hostplan.DHCPOption{{Name: "tag:ipxe,67", Value: "b"}, {Name: "67", Value: "a"}}, []dhcpv4.Modifier{ipxe}, has(67, "62")},
		{"not", []hostplan.DHCPOption{{Name: "tag:!ipxe,67", Value: "a"}, {Name: "tag:ipxe,67", Value: "b"}}, nil, has(67, "61")},
		{"ipv6-only unasked", []hostplan.DHCPOption{{Name: "ipv6-only", Value: "300"}}, []dhcpv4.Modifier{asks(1)}, has(108, "none")},
		{"ipv6-only asked", []hostplan.DHCPOption{{Name: "ipv6-only", Value: "300"}}, []dhcpv4.Modifier{asks(108)}, has(108, "0000012c")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ep := endpoint()
			ep.DHCP4.Extra = tc.opts
			r, said := ask(t, ep, question(t, append(tc.mods, kind(dhcpv4.MessageTypeDiscover))...))
			if said.Why != "" {
				t.Error(said.Why)
			}
			tc.check(t, r.msg)
		})
	}
}

func has(code uint8, want string) func(*testing.T, *dhcpv4.DHCPv4) {
	return func(t *testing.T, m *dhcpv4.DHCPv4) {
		t.Helper()
		got := "none"
		if b, ok := m.Options[code]; ok {
			got = hex.EncodeToString(b)
		}
		if got != want {
			t.Errorf("option %d: %s, want %s", code, got, want)
		}
	}
}

// TestExtraBad: each is named with what is wrong, and costs the client nothing else.
func TestExtraBad(t *testing.T) {
	for _, o := range []hostplan.DHCPOption{
		{Name: "no-such", Value: "1"}, {Name: "256", Value: "1"}, {Name: "ntp-server", Value: "fe80::1"}, {Name: "mtu", Value: "70000"},
		{Name: "mtu", Value: "-40000"}, {Name: "router", Value: "x"}, {Name: "54", Value: "1.2.3.4"}, {Name: "tag:x", Value: "1"},
		{Name: "domain-search", Value: "a..b"}, {Name: "121", Value: "10.0.0.0/8"}, {Name: "policy-filter", Value: "1.2.3.4"},
		{Name: "ip-forward-enable", Value: "maybe"}, {Name: "0", Value: "1"},
	} {
		ep := endpoint()
		ep.DHCP4.Extra = []hostplan.DHCPOption{o}
		r, said := ask(t, ep, question(t, kind(dhcpv4.MessageTypeDiscover)))
		if r == nil || !strings.Contains(said.Why, `"`+o.Name+`"`) {
			t.Errorf("%v: %v %+v", o, r, said)
		}
	}
}

func TestPXE(t *testing.T) {
	ep := endpoint()
	ep.DHCP4.Extra = []hostplan.DHCPOption{
		{Name: "tftp-server", Value: "10.0.0.5"}, {Name: "bootfile-name", Value: "pxelinux.0"},
	}
	r, _ := ask(t, ep, question(t, kind(dhcpv4.MessageTypeDiscover), asks(66, 67)))
	if r.msg.ServerIPAddr.String() != "10.0.0.5" || r.msg.ServerHostName != "10.0.0.5" || r.msg.BootFileName != "pxelinux.0" ||
		r.msg.TFTPServerName() != "10.0.0.5" || r.msg.BootFileNameOption() != "pxelinux.0" {
		t.Error(r.msg.Summary())
	}
	ep.DHCP4.Extra = append(ep.DHCP4.Extra, hostplan.DHCPOption{Name: "server-ip-address", Value: "10.0.0.6"})
	if r, _ := ask(t, ep, question(t, kind(dhcpv4.MessageTypeDiscover))); r.msg.ServerIPAddr.String() != "10.0.0.6" {
		t.Error(r.msg.ServerIPAddr)
	}
}

// TestSize: no answer is larger than the client takes; what it cannot do without is never what is left out.
func TestSize(t *testing.T) {
	ep := endpoint()
	for i := range 40 {
		ep.DHCP4.Extra = append(ep.DHCP4.Extra, hostplan.DHCPOption{Name: "224", Value: `"` + strings.Repeat("x", 200) + `"`})
		ep.DHCP4.Extra[i].Name = []string{"224", "225", "226", "227", "228", "229", "230"}[i%7]
	}
	for _, tc := range []struct {
		name      string
		mods      []dhcpv4.Modifier
		max       int
		wantNotes int
	}{
		{"default", nil, 576, 7},
		{"less than the least", []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(300))}, 576, 7},
		{"1000", []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(1000))}, 1000, 5},
		{"more than the link", []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(9000))}, 1450, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, said := answer4(ep, question(t, append(tc.mods, kind(dhcpv4.MessageTypeDiscover), asks(1, 3, 6, 121))...))
			if got := len(out) - 14; got > tc.max {
				t.Errorf("%d bytes", got)
			}
			if got := strings.Count(said.Why, "does not fit"); got < 1 || got > tc.wantNotes {
				t.Errorf("%d notes: %s", got, said.Why)
			}
			u, _ := frame.ParseUDP(out)
			m, err := dhcpv4.FromBytes(u.Payload)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []uint8{53, 54, 51, 1, 3, 6, 121} {
				if !m.Options.Has(dhcpv4.GenericOptionCode(c)) {
					t.Errorf("option %d is gone", c)
				}
			}
			if m.Options.Has(dhcpv4.OptionOptionOverload) {
				t.Error("overloaded")
			}
		})
	}
}

// TestLong: an option of more than 255 bytes is cut into pieces that a client puts together again (RFC 3396).
func TestLong(t *testing.T) {
	ep := endpoint()
	for i := range 60 {
		ep.DHCP4.Routes = append(ep.DHCP4.Routes, hostplan.StaticRoute{Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), 0}), 24), Via: gwAddr})
	}
	r, _ := ask(t, ep, question(t, kind(dhcpv4.MessageTypeDiscover), asks(121), dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(1400))))
	if got := len(r.msg.ClasslessStaticRoute()); got != 63 {
		t.Errorf("%d routes", got)
	}
}

// TestHandle: only endpoints of this host are answered, accounts are kept, and a storm is cut off.
func TestHandle(t *testing.T) {
	book := tally.New(tally.Deps{Now: func() time.Time { return time.Unix(1, 0) }, PerSecond: 1, Burst: 2})
	s := New4(book)
	st := &hostplan.State{Endpoints: map[model.PortID]*hostplan.Endpoint{portID: endpoint()}}
	p := dataplane.Punt{Kind: dataplane.PuntDHCP4, Port: portID, Frame: question(t, kind(dhcpv4.MessageTypeDiscover))}
	if got := len(s.Handle(p, st)); got != 1 {
		t.Errorf("%d answers", got)
	}
	gone := p
	gone.Port = model.PortID{UUID: model.UUID{2}}
	if got := len(s.Handle(gone, st)); got != 0 {
		t.Errorf("a port that is not here got %d answers", got)
	}
	s.Handle(p, st)
	if got := len(s.Handle(p, st)); got != 0 {
		t.Errorf("%d answers past the limit", got)
	}
	if a := book.Of(portID); a.Asked != 3 || a.Answered != 2 || a.Limited != 1 || a.Last[0].Answer != "OFFER 172.16.42.10" || a.Last[0].Got != "DISCOVER" {
		t.Errorf("%+v", a)
	}
	st.Endpoints[portID].DHCP4 = nil
	if _, said := ask(t, st.Endpoints[portID], p.Frame); !strings.Contains(said.Why, "enable_dhcp") {
		t.Errorf("%+v", said)
	}
}

func FuzzServer4(f *testing.F) {
	f.Add(question(f, kind(dhcpv4.MessageTypeDiscover)), "67", "x")
	f.Add(question(f, kind(dhcpv4.MessageTypeRequest), wish(mine), asks(1, 3, 121)), "tag:ipxe,domain-search", "a.b,c")
	f.Fuzz(func(t *testing.T, b []byte, name, value string) {
		ep := endpoint()
		ep.DHCP4.Extra = []hostplan.DHCPOption{{Name: name, Value: value}}
		out, said := answer4(ep, b)
		if (out == nil) == (said.Answer != "") {
			t.Errorf("%+v with %d bytes", said, len(out))
		}
		if out == nil {
			return
		}
		if len(out) > 14+1450 {
			t.Errorf("%d bytes", len(out))
		}
		u, err := frame.ParseUDP(out)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := dhcpv4.FromBytes(u.Payload); err != nil {
			t.Errorf("own message refused: %v", err)
		}
		if u.Src.Addr() != srvAddr {
			t.Errorf("from %v", u.Src)
		}
	})
}
