package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/weft-cloud/weft/internal/agent/tally"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

func portN(n byte) model.PortID   { return model.PortID{UUID: model.UUID{n}} }
func netN(n byte) model.NetworkID { return model.NetworkID{UUID: model.UUID{0xff, n}} }

// cloud has two networks with the same addresses: ports 2 and 3 are on the first, 4 on the second.
func cloud() *hostplan.State {
	subnets := []hostplan.Subnet{{Prefix: netip.MustParsePrefix("10.0.0.0/24")}, {Prefix: netip.MustParsePrefix("fd00::/64")}}
	addrs := func(last byte) []netip.Addr {
		return []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, last}), netip.MustParseAddr(fmt.Sprintf("fd00::%x", last))}
	}
	return &hostplan.State{
		Networks: map[model.NetworkID]*hostplan.Network{
			netN(1): {ID: netN(1), DNSDomain: "openstacklocal", Subnets: subnets}, netN(2): {ID: netN(2), DNSDomain: "openstacklocal", Subnets: subnets},
		},
		Routers: map[model.RouterID]*hostplan.Router{{}: {Interfaces: []hostplan.Interface{
			{Network: netN(1), Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}},
		}}},
		Endpoints: map[model.PortID]*hostplan.Endpoint{
			portN(2): {Port: portN(2), Network: netN(1)}, portN(4): {Port: portN(4), Network: netN(2)},
		},
		Outsiders: map[model.PortID]*hostplan.Endpoint{ // machines on the wires of both networks
			portN(6): {Port: portN(6), Network: netN(1)}, portN(7): {Port: portN(7), Network: netN(2)},
		},
		Neighbors: map[model.PortID]*hostplan.Neighbor{
			portN(2): {Port: portN(2), Network: netN(1), DNSName: "Web", Addresses: addrs(2)},
			// Port 3 is on another host, and may use port 2's address and one more (allowed_address_pairs).
			portN(3): {Port: portN(3), Network: netN(1), Host: "elsewhere", Addresses: addrs(3),
				Pairs: []hostplan.AddressPair{{Prefix: netip.PrefixFrom(addrs(2)[0], 32)}, {Prefix: netip.PrefixFrom(addrs(50)[0], 32)}}},
			portN(5): {Port: portN(5), Network: netN(1), Host: "elsewhere", DNSName: "mail", DNSDomain: "red.example.", Addresses: addrs(5)},
			portN(6): {Port: portN(6), Network: netN(1), DNSName: "metal", Addresses: addrs(6)},
			portN(7): {Port: portN(7), Network: netN(2), Addresses: addrs(7)},
			portN(4): {Port: portN(4), Network: netN(2), DNSName: "db", DNSDomain: "corp.example.", Addresses: addrs(2)},
		},
	}
}

type rig struct {
	t    *testing.T
	s    *Server
	addr string
	book *tally.Book
}

// newRig serves on 127.0.0.0/8, where an asker's last byte is its port.
func newRig(t *testing.T, resolvers ...netip.AddrPort) *rig {
	t.Helper()
	st := cloud()
	r := &rig{t: t, book: tally.New(tally.Deps{Now: time.Now})}
	r.s = New(Deps{
		Attribute: func(a netip.Addr) (model.PortID, netip.Addr, bool) { return portN(a.As4()[3]), a, a.As4()[3] > 1 },
		State:     func() *hostplan.State { return st }, Resolvers: resolvers, Timeout: 200 * time.Millisecond, Book: r.book,
		Log: slog.New(slog.DiscardHandler),
	})
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = u.LocalAddr().String()
	l, err := net.Listen("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- r.s.ServeUDP(ctx, u) }()
	go func() { done <- r.s.ServeTCP(ctx, l) }()
	t.Cleanup(func() {
		stop()
		for range 2 {
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	})
	return r
}

func query(name string, t dnsmessage.Type, size int) []byte {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: 4711, RecursionDesired: true})
	err := errors.Join(b.StartQuestions(), b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: t, Class: dnsmessage.ClassINET}))
	if size > 0 {
		var h dnsmessage.ResourceHeader
		err = errors.Join(err, b.StartAdditionals(), h.SetEDNS0(size, dnsmessage.RCodeSuccess, false), b.OPTResource(h, dnsmessage.OPTResource{}))
	}
	out, ferr := b.Finish()
	if err = errors.Join(err, ferr); err != nil {
		panic(err)
	}
	return out
}

// ask sends raw bytes from port n and returns the parsed answer.
func (r *rig) ask(n byte, network string, msg []byte) *dnsmessage.Message {
	r.t.Helper()
	var local net.Addr = &net.UDPAddr{IP: net.IPv4(127, 0, 0, n)}
	if network == "tcp" {
		local = &net.TCPAddr{IP: net.IPv4(127, 0, 0, n)}
	}
	d := net.Dialer{LocalAddr: local}
	c, err := d.Dial(network, r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	var out []byte
	if network == "tcp" {
		if err := writeTCP(c, msg); err != nil {
			r.t.Fatal(err)
		}
		out, err = readTCP(c)
	} else {
		if _, err := c.Write(msg); err != nil {
			r.t.Fatal(err)
		}
		out = make([]byte, 65535)
		var n int
		n, err = c.Read(out)
		out = out[:n]
	}
	if err != nil {
		r.t.Fatal(err)
	}
	var m dnsmessage.Message
	if err := m.Unpack(out); err != nil {
		r.t.Fatal(err)
	}
	if m.ID != 4711 || !m.Response {
		r.t.Errorf("%+v", m.Header)
	}
	return &m
}

// short is an answer on one line: the code, then the records.
func short(m *dnsmessage.Message) string {
	s := strings.TrimPrefix(m.RCode.String(), "RCode")
	if m.Truncated {
		s += " truncated"
	}
	for _, a := range m.Answers {
		switch b := a.Body.(type) {
		case *dnsmessage.AResource:
			s += " " + netip.AddrFrom4(b.A).String()
		case *dnsmessage.AAAAResource:
			s += " " + netip.AddrFrom16(b.AAAA).String()
		case *dnsmessage.PTRResource:
			s += " " + b.PTR.String()
		case *dnsmessage.TXTResource:
			s += fmt.Sprintf(" TXT %d", len(b.TXT))
		}
	}
	return s
}

// TestNames: each port sees the names of its own network, and no other's.
func TestNames(t *testing.T) {
	r := newRig(t)
	for _, tc := range []struct {
		name string
		port byte
		ask  string
		typ  dnsmessage.Type
		want string
	}{
		{"own name", 2, "web.openstacklocal.", dnsmessage.TypeA, "Success 10.0.0.2"},
		{"in any case", 2, "WEB.OpenStackLocal.", dnsmessage.TypeAAAA, "Success fd00::2"},
		{"by address", 2, "host-10-0-0-3.openstacklocal.", dnsmessage.TypeA, "Success 10.0.0.3"},
		{"by address, no such family", 2, "host-10-0-0-3.openstacklocal.", dnsmessage.TypeAAAA, "Success"},
		{"by IPv6 address", 2, "host-fd00--3.openstacklocal.", dnsmessage.TypeAAAA, "Success fd00::3"},
		{"all", 2, "web.openstacklocal.", dnsmessage.TypeALL, "Success 10.0.0.2 fd00::2"},
		{"no such type", 2, "web.openstacklocal.", dnsmessage.TypeMX, "Success"},
		{"nobody has it", 2, "host-10-0-0-9.openstacklocal.", dnsmessage.TypeA, "NameError"},
		{"without a domain", 2, "web.", dnsmessage.TypeA, "NameError"},
		{"of a port on another host", 2, "mail.red.example.", dnsmessage.TypeALL, "Success 10.0.0.5 fd00::5"},
		{"and not for another network", 4, "mail.red.example.", dnsmessage.TypeA, "Refused"},
		{"the router", 2, "host-10-0-0-1.openstacklocal.", dnsmessage.TypeA, "Success 10.0.0.1"},
		{"another network's router", 4, "host-10-0-0-1.openstacklocal.", dnsmessage.TypeA, "NameError"},
		{"a pair's address has no name", 2, "50.0.0.10.in-addr.arpa.", dnsmessage.TypePTR, "NameError"},
		{"another tenant's name", 2, "db.corp.example.", dnsmessage.TypeA, "Refused"},
		{"the same, for its own", 4, "db.corp.example.", dnsmessage.TypeA, "Success 10.0.0.2"},
		{"and not ours", 4, "web.openstacklocal.", dnsmessage.TypeA, "Refused"},
		{"reverse", 2, "2.0.0.10.in-addr.arpa.", dnsmessage.TypePTR, "Success web.openstacklocal."},
		{"the same reverse of another tenant", 4, "2.0.0.10.in-addr.arpa.", dnsmessage.TypePTR, "Success db.corp.example."},
		{"reverse, free", 2, "9.0.0.10.in-addr.arpa.", dnsmessage.TypePTR, "NameError"},
		{"reverse, elsewhere", 2, "9.9.9.9.in-addr.arpa.", dnsmessage.TypePTR, "Refused"},
		{"reverse IPv6", 2, "3." + strings.Repeat("0.", 27) + "0.0.d.f.ip6.arpa.", dnsmessage.TypePTR, "Success host-fd00--3.openstacklocal."},
		{"a transfer", 2, "openstacklocal.", dnsmessage.TypeAXFR, "Refused"},
		{"a machine on the wire asks for an instance", 6, "web.openstacklocal.", dnsmessage.TypeA, "Success 10.0.0.2"},
		{"for itself", 6, "metal.openstacklocal.", dnsmessage.TypeALL, "Success 10.0.0.6 fd00::6"},
		{"for its reverse", 6, "6.0.0.10.in-addr.arpa.", dnsmessage.TypePTR, "Success metal.openstacklocal."},
		{"and for nobody on another wire", 6, "host-10-0-0-7.openstacklocal.", dnsmessage.TypeA, "NameError"},
		{"an instance asks for a machine on the wire", 2, "metal.openstacklocal.", dnsmessage.TypeALL, "Success 10.0.0.6 fd00::6"},
		{"a port that is gone", 9, "web.openstacklocal.", dnsmessage.TypeA, "Refused"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, network := range []string{"udp", "tcp"} {
				if got := short(r.ask(tc.port, network, query(tc.ask, tc.typ, 1400))); got != tc.want {
					t.Errorf("%s: %s, want %s", network, got, tc.want)
				}
			}
		})
	}
}

func TestMalformed(t *testing.T) {
	r := newRig(t)
	two := query("a.b.", dnsmessage.TypeA, 0)
	two[5] = 2
	if got := short(r.ask(2, "udp", two)); got != "FormatError" {
		t.Error(got)
	}
	notify := query("a.b.", dnsmessage.TypeA, 0)
	notify[2] |= 4 << 3
	if got := short(r.ask(2, "udp", notify)); got != "NotImplemented" {
		t.Error(got)
	}
	m := r.ask(2, "udp", func() []byte {
		b := query("a.b.", dnsmessage.TypeA, 1400)
		b[len(b)-5] = 1 // the version in OPT's TTL
		return b
	}())
	if len(m.Additionals) != 1 || m.Additionals[0].Header.ExtendedRCode(m.RCode) != badVersion {
		t.Errorf("%+v", m)
	}
}

// upstream is a resolver on the loopback; answer is how many TXT strings of 200 bytes it gives.
func upstream(t *testing.T, texts int, asked *atomic.Int32) netip.AddrPort {
	t.Helper()
	reply := func(msg []byte, tcp bool) []byte {
		asked.Add(1)
		q, _, _ := parse(msg)
		b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: q.head.ID, Response: true, Truncated: !tcp && texts > 2})
		b.EnableCompression()
		err := errors.Join(b.StartQuestions(), b.Question(q.q), b.StartAnswers())
		for i := range texts {
			if !tcp && i == 2 {
				break
			}
			err = errors.Join(err, b.TXTResource(dnsmessage.ResourceHeader{Name: q.q.Name, Class: dnsmessage.ClassINET}, dnsmessage.TXTResource{TXT: []string{strings.Repeat("x", 200)}}))
		}
		out, ferr := b.Finish()
		if err = errors.Join(err, ferr); err != nil {
			t.Error(err)
		}
		return out
	}
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", u.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close(); l.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := u.ReadFrom(buf)
			if err != nil {
				return
			}
			forged := append([]byte{buf[0] ^ 1, buf[1]}, buf[2:n]...) // another id: must be passed over
			u.WriteTo(reply(forged, false), from)
			u.WriteTo(reply(buf[:n], false), from)
		}
	}()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if msg, err := readTCP(c); err == nil {
				writeTCP(c, reply(msg, true))
			}
			c.Close()
		}
	}()
	return netip.MustParseAddrPort(u.LocalAddr().String())
}

// TestForward: other names go out, by the way they came, and what is too long for the asker is cut and said to be.
func TestForward(t *testing.T) {
	var asked atomic.Int32
	r := newRig(t, upstream(t, 6, &asked))
	for _, tc := range []struct {
		name, network string
		size          int
		want          string
	}{
		{"udp", "udp", 1400, "Success truncated TXT 1 TXT 1"},
		{"udp without EDNS", "udp", 0, "Success truncated TXT 1 TXT 1"},
		{"tcp", "tcp", 0, "Success TXT 1 TXT 1 TXT 1 TXT 1 TXT 1 TXT 1"},
	} {
		if got := short(r.ask(2, tc.network, query("example.org.", dnsmessage.TypeTXT, tc.size))); got != tc.want {
			t.Errorf("%s: %s", tc.name, got)
		}
	}
	was := asked.Load()
	r.ask(2, "udp", query("host-10-0-0-9.openstacklocal.", dnsmessage.TypeA, 0))
	r.ask(2, "udp", query("9.0.0.10.in-addr.arpa.", dnsmessage.TypePTR, 0))
	if asked.Load() != was {
		t.Error("a name of the network went out")
	}
}

// TestDead: a resolver that does not answer costs its time-out, the next one is asked, and in the end it is SERVFAIL.
func TestDead(t *testing.T) {
	hole, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hole.Close() })
	dead := netip.MustParseAddrPort(hole.LocalAddr().String())
	var asked atomic.Int32
	r := newRig(t, dead, upstream(t, 1, &asked))
	if got := short(r.ask(2, "udp", query("example.org.", dnsmessage.TypeTXT, 0))); got != "Success TXT 1" {
		t.Error(got)
	}
	r = newRig(t, dead)
	if got := short(r.ask(2, "udp", query("example.org.", dnsmessage.TypeTXT, 0))); got != "ServerFailure" {
		t.Error(got)
	}
	if why := r.book.Of(portN(2)).Last[0].Why; !strings.Contains(why, "no resolver answered") {
		t.Error(why)
	}
}

// TestShare: a port whose questions hang holds up nobody else, nor its own names for long.
func TestShare(t *testing.T) {
	r := newRig(t)
	for range perPort {
		if !r.s.enter(portN(2)) {
			t.Fatal("share")
		}
	}
	if r.s.enter(portN(2)) {
		t.Error("past its share")
	}
	if got := short(r.ask(4, "udp", query("db.corp.example.", dnsmessage.TypeA, 0))); got != "Success 10.0.0.2" {
		t.Error(got)
	}
	for range perPort {
		r.s.leave(portN(2))
	}
	// A share is given back after the answer is out.
	busy := func() map[model.PortID]int { r.s.mu.Lock(); defer r.s.mu.Unlock(); return maps.Clone(r.s.busy) }
	for end := time.Now().Add(10 * time.Second); len(busy()) > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if d := cmp.Diff(map[model.PortID]int{}, busy()); d != "" {
		t.Error(d)
	}
}

// TestCut: an own answer larger than the asker takes is cut, too.
func TestCut(t *testing.T) {
	st := cloud()
	for i := range 100 {
		n := portN(byte(100 + i))
		st.Neighbors[n] = &hostplan.Neighbor{Port: n, Network: netN(1), DNSName: "many", Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(100 + i)})}}
	}
	z := newZone(st, netN(1))
	q, _, _ := parse(query("many.openstacklocal.", dnsmessage.TypeA, 0))
	a := z.answer(q.q)
	if got := len(build(q, a, false)); got > plain {
		t.Errorf("%d bytes", got)
	}
	if got := len(build(q, a, true)); got < 1600 {
		t.Errorf("%d bytes over TCP", got)
	}
}

func TestParseResolvers(t *testing.T) {
	got := ParseResolvers("# x\nsearch a b\nnameserver 10.0.0.1\nnameserver  fe80::1%eth0 \nnameserver x\nnameserver\n")
	want := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:53"), netip.MustParseAddrPort("[fe80::1%eth0]:53")}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Error(got)
	}
}

func FuzzReply(f *testing.F) {
	f.Add(query("web.openstacklocal.", dnsmessage.TypeALL, 1400))
	f.Add(query("2.0.0.10.in-addr.arpa.", dnsmessage.TypePTR, 0))
	st := cloud()
	s := New(Deps{State: func() *hostplan.State { return st }, Book: tally.New(tally.Deps{Now: time.Now}), Log: slog.New(slog.DiscardHandler)})
	f.Fuzz(func(t *testing.T, b []byte) {
		out := s.reply(t.Context(), portN(2), b, false)
		if out == nil {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(out); err != nil {
			t.Errorf("%v: %x", err, out)
		}
		if len(out) > most {
			t.Errorf("%d bytes", len(out))
		}
	})
}
