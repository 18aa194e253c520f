package dhcp

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/rfc1035label"

	"github.com/weft-cloud/weft/internal/agent/frame"
	"github.com/weft-cloud/weft/internal/agent/tally"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

func endpoint6() *hostplan.Endpoint {
	return &hostplan.Endpoint{
		Port: portID, Network: netID, MAC: vmMAC, MTU: 1450,
		DHCP6: &hostplan.DHCP6{
			Addresses: []netip.Addr{netip.MustParseAddr("fd00:42::10")}, ServerMAC: srvMAC, DNS: []netip.Addr{netip.MustParseAddr("fd00:42::2")},
			LeaseSeconds: 1000, Hostname: "vm", Domain: "openstacklocal",
		},
	}
}

var clientDUID = &dhcpv6.DUIDLL{HWType: 1, LinkLayerAddr: vmMAC[:]}

func question6(t testing.TB, kind dhcpv6.MessageType, opts ...dhcpv6.Option) []byte {
	t.Helper()
	m := dhcpv6.Message{MessageType: kind, TransactionID: dhcpv6.TransactionID{7, 8, 9}}
	if kind != dhcpv6.MessageTypeInformationRequest {
		m.AddOption(dhcpv6.OptClientID(clientDUID))
	}
	for _, o := range opts {
		m.AddOption(o)
	}
	return frame.UDP{
		SrcMAC: vmMAC, DstMAC: model.MAC{0x33, 0x33, 0, 1, 0, 2}, Payload: m.ToBytes(),
		Src: netip.MustParseAddrPort("[fe80::f816:3eff:fe01:203]:546"), Dst: netip.MustParseAddrPort("[ff02::1:2]:547"),
	}.Bytes()
}

func mine6() dhcpv6.Option {
	return dhcpv6.OptServerID(&dhcpv6.DUIDUUID{UUID: netID.UUID})
}

func other6() dhcpv6.Option { return dhcpv6.OptServerID(clientDUID) }

func ia(addrs ...string) dhcpv6.Option {
	o := &dhcpv6.OptIANA{IaId: [4]byte{1, 2, 3, 4}}
	for _, a := range addrs {
		o.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP(a)})
	}
	return o
}

func rapid() dhcpv6.Option { return &dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRapidCommit} }

// life is one address of a reply.
type life struct {
	Addr             string
	Preferred, Valid time.Duration
}

func ask6(t testing.TB, ep *hostplan.Endpoint, b []byte) (*dhcpv6.Message, frame.UDP, tally.Exchange) {
	t.Helper()
	out, said := answer6(ep, b)
	if out == nil {
		return nil, frame.UDP{}, said
	}
	u, err := frame.ParseUDP(out)
	if err != nil {
		t.Fatal(err)
	}
	m, err := dhcpv6.MessageFromBytes(u.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return m, u, said
}

func lives(m *dhcpv6.Message) (out []life) {
	for _, ia := range m.Options.IANA() {
		for _, a := range ia.Options.Addresses() {
			out = append(out, life{a.IPv6Addr.String(), a.PreferredLifetime, a.ValidLifetime})
		}
	}
	return out
}

// TestStates6 is RFC 8415, sections 16 and 18.3.
func TestStates6(t *testing.T) {
	lease := life{"fd00:42::10", 1000 * time.Second, 1000 * time.Second}
	for _, tc := range []struct {
		name string
		kind dhcpv6.MessageType
		opts []dhcpv6.Option
		want dhcpv6.MessageType // 0: no answer
		addr []life
	}{
		{"solicit", dhcpv6.MessageTypeSolicit, []dhcpv6.Option{ia()}, dhcpv6.MessageTypeAdvertise, []life{lease}},
		{"solicit, rapid commit", dhcpv6.MessageTypeSolicit, []dhcpv6.Option{ia(), rapid()}, dhcpv6.MessageTypeReply, []life{lease}},
		{"solicit with a server", dhcpv6.MessageTypeSolicit, []dhcpv6.Option{ia(), mine6()}, 0, nil},
		{"request", dhcpv6.MessageTypeRequest, []dhcpv6.Option{ia("fd00:42::10"), mine6()}, dhcpv6.MessageTypeReply, []life{lease}},
		{"request of another address", dhcpv6.MessageTypeRequest, []dhcpv6.Option{ia("fd00:42::11"), mine6()}, dhcpv6.MessageTypeReply, []life{lease}},
		{"request to another", dhcpv6.MessageTypeRequest, []dhcpv6.Option{ia(), other6()}, 0, nil},
		{"request to nobody", dhcpv6.MessageTypeRequest, []dhcpv6.Option{ia()}, 0, nil},
		{"renew", dhcpv6.MessageTypeRenew, []dhcpv6.Option{ia("fd00:42::10"), mine6()}, dhcpv6.MessageTypeReply, []life{lease}},
		{"renew of an old address", dhcpv6.MessageTypeRenew, []dhcpv6.Option{ia("fd00:42::9"), mine6()}, dhcpv6.MessageTypeReply, []life{lease, {"fd00:42::9", 0, 0}}},
		{"rebind", dhcpv6.MessageTypeRebind, []dhcpv6.Option{ia("fd00:42::10")}, dhcpv6.MessageTypeReply, []life{lease}},
		{"confirm", dhcpv6.MessageTypeConfirm, []dhcpv6.Option{ia("fd00:42::10")}, dhcpv6.MessageTypeReply, nil},
		{"confirm of nothing", dhcpv6.MessageTypeConfirm, []dhcpv6.Option{ia()}, 0, nil},
		{"release", dhcpv6.MessageTypeRelease, []dhcpv6.Option{ia("fd00:42::10"), mine6()}, dhcpv6.MessageTypeReply, nil},
		{"decline", dhcpv6.MessageTypeDecline, []dhcpv6.Option{ia("fd00:42::10"), mine6()}, dhcpv6.MessageTypeReply, nil},
		{"information request", dhcpv6.MessageTypeInformationRequest, nil, dhcpv6.MessageTypeReply, nil},
		{"information request with an address", dhcpv6.MessageTypeInformationRequest, []dhcpv6.Option{ia()}, 0, nil},
		{"advertise from an instance", dhcpv6.MessageTypeAdvertise, nil, 0, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, u, said := ask6(t, endpoint6(), question6(t, tc.kind, tc.opts...))
			if m == nil {
				if tc.want != 0 || said.Why == "" {
					t.Fatalf("no answer: %+v", said)
				}
				return
			}
			if m.MessageType != tc.want {
				t.Fatalf("answer %v, want %v (%+v)", m.MessageType, tc.want, said)
			}
			if d := cmp.Diff(tc.addr, lives(m)); d != "" {
				t.Error(d)
			}
			if m.TransactionID != (dhcpv6.TransactionID{7, 8, 9}) || m.Options.ServerID() == nil || tc.kind != dhcpv6.MessageTypeInformationRequest && !m.Options.ClientID().Equal(clientDUID) {
				t.Error(m.Summary())
			}
			if u.Src.String() != "[fe80::f816:3eff:fe09:909]:547" || u.Dst.String() != "[fe80::f816:3eff:fe01:203]:546" || u.DstMAC != vmMAC || u.SrcMAC != srvMAC {
				t.Errorf("%+v", u)
			}
		})
	}
}

func statusOf(m *dhcpv6.Message) string {
	if s := m.Options.Status(); s != nil {
		return s.StatusCode.String()
	}
	for _, ia := range m.Options.IANA() {
		if s := ia.Options.Status(); s != nil {
			return s.StatusCode.String()
		}
	}
	return ""
}

func TestStatus6(t *testing.T) {
	stateless := endpoint6()
	stateless.DHCP6.Addresses = nil
	for _, tc := range []struct {
		name string
		ep   *hostplan.Endpoint
		b    []byte
		want string
	}{
		{"confirmed", endpoint6(), question6(t, dhcpv6.MessageTypeConfirm, ia("fd00:42::10")), "Success"},
		{"not on link", endpoint6(), question6(t, dhcpv6.MessageTypeConfirm, ia("fd00:43::10")), "NotOnLink"},
		{"stateless gives no address", stateless, question6(t, dhcpv6.MessageTypeSolicit, ia()), "NoAddrsAvail"},
		{"released", endpoint6(), question6(t, dhcpv6.MessageTypeRelease, ia("fd00:42::10"), mine6()), "Success"},
	} {
		m, _, said := ask6(t, tc.ep, tc.b)
		if m == nil || statusOf(m) != tc.want {
			t.Errorf("%s: %v %+v", tc.name, m, said)
		}
	}
}

// TestSeveral6: of several associations one gets the addresses: the one that has them.
func TestSeveral6(t *testing.T) {
	a, b := ia().(*dhcpv6.OptIANA), ia("fd00:42::10").(*dhcpv6.OptIANA)
	b.IaId = [4]byte{9, 9, 9, 9}
	pd := &dhcpv6.OptIAPD{IaId: [4]byte{5, 5, 5, 5}}
	m, _, _ := ask6(t, endpoint6(), question6(t, dhcpv6.MessageTypeRequest, a, b, pd, mine6()))
	list := m.Options.IANA()
	if len(list) != 2 || len(list[0].Options.Addresses()) != 0 || len(list[1].Options.Addresses()) != 1 || len(m.Options.IAPD()) != 1 {
		t.Error(m.Summary())
	}
	if list[1].T1 != 500*time.Second || list[1].T2 != 800*time.Second {
		t.Errorf("T1 %v T2 %v", list[1].T1, list[1].T2)
	}
}

func TestConfiguration6(t *testing.T) {
	ep := endpoint6()
	ep.DHCP6.Extra = []hostplan.DHCPOption{
		{Name: "option6:bootfile-url", Value: "tftp://[fd00::1]/x"}, {Name: "ntp-server", Value: "fd00::5"}, {Name: "65000", Value: "1:2"},
		{Name: "preference", Value: "x"}, {Name: "server-id", Value: "1"},
	}
	m, _, said := ask6(t, ep, question6(t, dhcpv6.MessageTypeInformationRequest, dhcpv6.OptRequestedOption(dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionDomainSearchList)))
	if dns := m.Options.DNS(); len(dns) != 1 || dns[0].String() != "fd00:42::2" {
		t.Error(dns)
	}
	if l := m.Options.DomainSearchList(); l == nil || len(l.Labels) != 1 || l.Labels[0] != "openstacklocal" {
		t.Error(l)
	}
	if got := m.Options.BootFileURL(); got != "tftp://[fd00::1]/x" {
		t.Error(got)
	}
	if got := m.Options.NTPServers(); len(got) != 1 || got[0].String() != "fd00::5" {
		t.Error(got)
	}
	if strings.Count(said.Why, "option ") != 2 {
		t.Errorf("complaints: %s", said.Why)
	}
	if m.Options.GetOne(dhcpv6.OptionInformationRefreshTime) != nil {
		t.Error("refresh time unasked")
	}
	m, _, _ = ask6(t, endpoint6(), question6(t, dhcpv6.MessageTypeSolicit, ia(), &dhcpv6.OptFQDN{Flags: 1, DomainName: &rfc1035label.Labels{Labels: []string{"x"}}}, dhcpv6.OptRequestedOption(dhcpv6.OptionPreference)))
	if f := m.Options.FQDN(); f == nil || len(f.DomainName.Labels) != 1 || f.DomainName.Labels[0] != "vm.openstacklocal" {
		t.Error(f)
	}
	if len(m.Options.DNS()) != 0 {
		t.Error("resolvers unasked")
	}
}

// TestRefused6: what cannot be for us is named.
func TestRefused6(t *testing.T) {
	good := question6(t, dhcpv6.MessageTypeSolicit, ia())
	change := func(f func(u *frame.UDP)) []byte {
		u, _ := frame.ParseUDP(good)
		f(&u)
		return u.Bytes()
	}
	none := endpoint6()
	none.DHCP6 = nil
	for _, tc := range []struct {
		name string
		ep   *hostplan.Endpoint
		b    []byte
	}{
		{"no DHCPv6", none, good},
		{"unicast", endpoint6(), change(func(u *frame.UDP) { u.Dst = netip.MustParseAddrPort("[fe80::1]:547") })},
		{"global source", endpoint6(), change(func(u *frame.UDP) { u.Src = netip.MustParseAddrPort("[fd00::1]:546") })},
		{"IPv4", endpoint6(), question(t)},
		{"cut", endpoint6(), change(func(u *frame.UDP) { u.Payload = u.Payload[:len(u.Payload)-1] })},
		{"no client id", endpoint6(), change(func(u *frame.UDP) { u.Payload = u.Payload[:4] })},
	} {
		if out, said := answer6(tc.ep, tc.b); out != nil || said.Why == "" {
			t.Errorf("%s: %d bytes, %+v", tc.name, len(out), said)
		}
	}
}

func TestHandle6(t *testing.T) {
	book := tally.New(tally.Deps{Now: func() time.Time { return time.Unix(1, 0) }, PerSecond: 1, Burst: 1})
	st := &hostplan.State{Endpoints: map[model.PortID]*hostplan.Endpoint{portID: endpoint6()}}
	p := dataplane.Punt{Kind: dataplane.PuntDHCP6, Port: portID, Frame: question6(t, dhcpv6.MessageTypeSolicit, ia())}
	if got := len(New6(book).Handle(p, st)) + len(New6(book).Handle(p, st)); got != 1 {
		t.Errorf("%d answers", got)
	}
	if a := book.Of(portID); a.Limited != 1 || a.Last[0].Answer != "ADVERTISE fd00:42::10" {
		t.Errorf("%+v", a)
	}
}

func FuzzServer6(f *testing.F) {
	f.Add(question6(f, dhcpv6.MessageTypeSolicit, ia(), rapid()), "ntp-server", "a.b")
	f.Add(question6(f, dhcpv6.MessageTypeRenew, ia("fd00:42::9"), mine6()), "24", "x.y")
	f.Fuzz(func(t *testing.T, b []byte, name, value string) {
		ep := endpoint6()
		ep.DHCP6.Extra = []hostplan.DHCPOption{{Name: name, Value: value}}
		out, said := answer6(ep, b)
		if (out == nil) == (said.Answer != "") {
			t.Errorf("%+v with %d bytes", said, len(out))
		}
		if out == nil {
			return
		}
		u, err := frame.ParseUDP(out)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseOptions(u.Payload[4:]); err != nil {
			t.Error(err)
		}
	})
}
