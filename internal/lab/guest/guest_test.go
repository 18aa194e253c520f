package guest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"

	"github.com/weft-cloud/weft/internal/linux"
)

func TestLeaseRoutes(t *testing.T) {
	router := dhcpv4.WithRouter(net.IPv4(192, 0, 2, 1))
	for _, tc := range []struct {
		name string
		mods []dhcpv4.Modifier
		want []route
	}{
		{name: "none"},
		{name: "router option", mods: []dhcpv4.Modifier{router},
			want: []route{{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("192.0.2.1")}}},
		{name: "classless routes replace the router option", mods: []dhcpv4.Modifier{router, dhcpv4.WithOption(dhcpv4.OptClasslessStaticRoute(
			&dhcpv4.Route{Dest: &net.IPNet{IP: net.IPv4(169, 254, 169, 254), Mask: net.CIDRMask(32, 32)}, Router: net.IPv4(192, 0, 2, 9)},
			&dhcpv4.Route{Dest: &net.IPNet{IP: net.IPv4(10, 0, 0, 0), Mask: net.CIDRMask(8, 32)}, Router: net.IPv4zero},
		))}, want: []route{
			{netip.MustParsePrefix("169.254.169.254/32"), netip.MustParseAddr("192.0.2.9")},
			{netip.MustParsePrefix("10.0.0.0/8"), netip.Addr{}},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ack, err := dhcpv4.New(tc.mods...)
			if err != nil {
				t.Fatal(err)
			}
			got := leaseRoutes(ack)
			if d := cmp.Diff(tc.want, got, cmp.AllowUnexported(route{}), cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); d != "" {
				t.Error(d)
			}
		})
	}
}

// A guest needs a process of its own, whose every thread is in the guest's namespace.
const guestEnv = "WEFT_TEST_GUEST_TAP"

func testConfig() Config {
	return Config{Name: "g1", MTU: 1450, MAC: net.HardwareAddr{0xfa, 0x16, 0x3e, 1, 2, 3}, Console: os.Stdout, Offloads: true}
}

func TestMain(m *testing.M) {
	tap, ok := os.LookupEnv(guestEnv)
	if !ok {
		os.Exit(m.Run())
	}
	cfg := testConfig()
	cfg.Tap, cfg.TapNetns = tap, os.Getenv("HOST")
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := Run(ctx, cfg); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// hosted is a guest in a namespace, its host in another, and a DHCP server on the host's side.
type hosted struct {
	host, guest string
	console     *syncBuffer
	mu          sync.Mutex
	asked       []string // "type src"
}

type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// start makes the namespaces and runs the guest until the test ends.
func start(t *testing.T, tap bool) *hosted {
	t.Helper()
	if os.Geteuid() != 0 || os.Getenv("WEFT_TEST_PRIVILEGED") == "0" {
		t.Skip("needs root: makes network namespaces")
	}
	if err := linux.PrepareNetnsDir(); err != nil {
		t.Fatal(err)
	}
	base := "wgt-" + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatBool(tap)
	h := &hosted{host: base + "-h", guest: base + "-g", console: &syncBuffer{}}
	for _, ns := range []string{h.host, h.guest} {
		must(t, linux.CreateNetns(ns, "guest test"))
		t.Cleanup(func() { must(t, linux.DeleteNetns(ns)) })
	}
	cfg := testConfig()
	if tap {
		cfg.Tap = "taptest"
	} else {
		must(t, linux.AddVeth(linux.Veth{Name: "taptest", Netns: h.host, MTU: 1450, Peer: linux.End{Name: Interface, Netns: h.guest, MAC: cfg.MAC}}))
		must(t, linux.SetUp(h.host, "taptest"))
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stdout, cmd.Stderr = []string{guestEnv + "=" + cfg.Tap, "HOST=" + h.host}, h.console, h.console
	must(t, linux.InNetns(h.guest, cmd.Start))
	t.Cleanup(func() {
		must(t, cmd.Process.Signal(syscall.SIGTERM))
		if err := cmd.Wait(); err != nil {
			t.Errorf("guest: %v\n%s", err, h.console)
		}
	})
	eventually(t, h, "the tap is there", func() bool { _, err := linux.LinkByName(h.host, "taptest"); return err == nil })
	must(t, linux.AddAddr(h.host, "taptest", netip.MustParsePrefix("192.0.2.1/24")))
	return h
}

// serveDHCP answers for 192.0.2.7 with leases of that many seconds.
func (h *hosted) serveDHCP(t *testing.T, seconds int) {
	t.Helper()
	handler := func(conn net.PacketConn, peer net.Addr, m *dhcpv4.DHCPv4) {
		kind := dhcpv4.MessageTypeOffer
		if m.MessageType() == dhcpv4.MessageTypeRequest {
			kind = dhcpv4.MessageTypeAck
		}
		h.mu.Lock()
		h.asked = append(h.asked, m.MessageType().String()+" "+peer.(*net.UDPAddr).IP.String())
		h.mu.Unlock()
		answer, err := dhcpv4.NewReplyFromRequest(m, dhcpv4.WithMessageType(kind), dhcpv4.WithYourIP(net.IPv4(192, 0, 2, 7)),
			dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithServerIP(net.IPv4(192, 0, 2, 1)), dhcpv4.WithRouter(net.IPv4(192, 0, 2, 1)),
			dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(192, 0, 2, 1))), dhcpv4.WithLeaseTime(uint32(seconds)),
			dhcpv4.WithGeneric(dhcpv4.OptionInterfaceMTU, []byte{0x05, 0x78}))
		if err != nil {
			panic(err)
		}
		to := net.Addr(&net.UDPAddr{IP: net.IPv4bcast, Port: 68})
		if !m.ClientIPAddr.IsUnspecified() {
			to = peer
		}
		conn.WriteTo(answer.ToBytes(), to) //nolint:errcheck // the client asks again
	}
	must(t, linux.InNetns(h.host, func() error {
		srv, err := server4.NewServer("taptest", nil, handler)
		if err != nil {
			return err
		}
		t.Cleanup(func() { srv.Close() })
		go srv.Serve() //nolint:errcheck // ends with Close
		return nil
	}))
}

func TestGuestLeasesRenewsAndGreets(t *testing.T) {
	for _, tap := range []bool{false, true} {
		t.Run("tap="+strconv.FormatBool(tap), func(t *testing.T) {
			h := start(t, tap)
			h.serveDHCP(t, 2)
			eventually(t, h, "address", func() bool {
				a, _ := linux.Addrs(h.guest, Interface)
				return slices.Contains(a, netip.MustParsePrefix("192.0.2.7/24"))
			})
			eventually(t, h, "MTU of the lease", func() bool {
				l, err := linux.LinkByName(h.guest, Interface)
				return err == nil && l.MTU == 1400 && l.MAC.String() == "fa:16:3e:01:02:03"
			})
			var body string
			eventually(t, h, "greeting", func() bool { body = h.get("http://192.0.2.7/"); return body != "" })
			if !strings.HasPrefix(body, "Hello from g1 at 192.0.2.7:80. You are 192.0.2.1:") {
				t.Errorf("greeting %q", body)
			}
			eventually(t, h, "renewal by unicast", func() bool {
				h.mu.Lock()
				defer h.mu.Unlock()
				return slices.Contains(h.asked, "REQUEST 192.0.2.7")
			})
		})
	}
}

func (h *hosted) get(url string) string {
	var out string
	err := linux.InNetns(h.host, func() error {
		// The dialler must stay on this thread: an address, no name, needs no other.
		conn, err := net.DialTimeout("tcp", "192.0.2.7:80", time.Second)
		if err != nil {
			return err
		}
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
			DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}}
		resp, err := c.Get(url)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		out = string(b)
		return err
	})
	if err != nil {
		return ""
	}
	return out
}

func eventually(t *testing.T, h *hosted, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("did not come: %s; asked %v; console:\n%s", what, h.asked, h.console)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
