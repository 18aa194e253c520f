package ebpf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/linux"
)

// wait is how long a packet may take before it counts as lost; generous, for a busy machine.
const wait = 2 * time.Second

// ping sends one echo request from the instance and returns the TTL or hop limit of the answer; the error is the wait's end.
func (c *testCloud) ping(from string, to netip.Addr, patience time.Duration) (ttl int, err error) {
	err = linux.InNetns(c.ns(from), func() error {
		if to.Is4() {
			ttl, err = ping4(to, patience)
		} else {
			ttl, err = ping6(to, patience)
		}
		return err
	})
	return ttl, err
}

var echo = icmp.Echo{ID: 0x77, Seq: 1, Data: []byte("weft")}

func ping4(to netip.Addr, patience time.Duration) (int, error) {
	conn, err := net.ListenPacket("ip4:icmp", "0.0.0.0")
	if err != nil {
		return 0, err
	}
	p := ipv4.NewPacketConn(conn)
	defer p.Close()
	if err := errors.Join(p.SetControlMessage(ipv4.FlagTTL, true), p.SetDeadline(time.Now().Add(patience))); err != nil {
		return 0, err
	}
	b, err := (&icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &echo}).Marshal(nil)
	if err != nil {
		return 0, err
	}
	if _, err := p.WriteTo(b, nil, &net.IPAddr{IP: to.AsSlice()}); err != nil {
		return 0, err
	}
	buf := make([]byte, 1500)
	for {
		n, cm, _, err := p.ReadFrom(buf)
		if err != nil {
			return 0, err
		}
		if n > 0 && buf[0] == 0 {
			return cm.TTL, nil
		}
	}
}

func ping6(to netip.Addr, patience time.Duration) (int, error) {
	conn, err := net.ListenPacket("ip6:ipv6-icmp", "::")
	if err != nil {
		return 0, err
	}
	p := ipv6.NewPacketConn(conn)
	defer p.Close()
	if err := errors.Join(p.SetControlMessage(ipv6.FlagHopLimit, true), p.SetDeadline(time.Now().Add(patience))); err != nil {
		return 0, err
	}
	b, err := (&icmp.Message{Type: ipv6.ICMPTypeEchoRequest, Body: &echo}).Marshal(nil)
	if err != nil {
		return 0, err
	}
	if _, err := p.WriteTo(b, nil, &net.IPAddr{IP: to.AsSlice(), Zone: to.Zone()}); err != nil {
		return 0, err
	}
	buf := make([]byte, 1500)
	for {
		n, cm, _, err := p.ReadFrom(buf)
		if err != nil {
			return 0, err
		}
		if n > 0 && buf[0] == 129 {
			return cm.HopLimit, nil
		}
	}
}

// stream sends data over TCP from one instance to another and compares what arrives.
func (c *testCloud) stream(from, to string, v6 bool, data []byte) error {
	var l net.Listener
	err := linux.InNetns(c.ns(to), func() (err error) {
		l, err = net.Listen("tcp", portText(c.addr(to, v6), 7000))
		return err
	})
	if err != nil {
		return err
	}
	defer l.Close()
	got := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			got <- err
			return
		}
		defer conn.Close()
		b, err := io.ReadAll(conn)
		if err == nil && !bytes.Equal(b, data) {
			err = fmt.Errorf("%d bytes arrived, not the %d sent", len(b), len(data))
		}
		got <- err
	}()
	return linux.InNetns(c.ns(from), func() error {
		conn, err := net.DialTimeout("tcp", portText(c.addr(to, v6), 7000), wait)
		if err != nil {
			return err
		}
		if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			return err
		}
		_, err = conn.Write(data)
		return errors.Join(err, conn.Close(), <-got)
	})
}

func families() map[string]bool { return map[string]bool{"IPv4": false, "IPv6": true} }

// Every pair of instances of a tenant, in both families, with the TTL that tells how often a packet was routed.
func TestTraffic(t *testing.T) {
	for _, cfg := range []struct {
		name string
		cfg  Config
	}{{"as the kernel offers", Config{}}, {"plain redirect", Config{Redirect: "plain"}}, {"clsact", Config{Attach: "clsact"}}} {
		t.Run(cfg.name, func(t *testing.T) {
			c := newCloud(t, cfg.cfg, nil)
			for fam, v6 := range families() {
				for _, p := range [][2]string{{"red1", "red3"}, {"red1", "red2"}, {"red1", "blue1"}, {"red1", "blue2"}, {"red1-b", "blue2-b"}} {
					t.Run(fmt.Sprintf("%s to %s, %s", p[0], p[1], fam), func(t *testing.T) { c.pair(t, p[0], p[1], v6) })
				}
			}
		})
	}
}

// The same behind real taps: TCP's large segments cross the programs whole if the guest may offload, and cut if not.
func TestTrafficOfTaps(t *testing.T) {
	for _, vif := range []string{"tap", "plain tap"} {
		t.Run(vif, func(t *testing.T) {
			c := newCloudOn(t, Config{}, vif, func(d *dptest.Cloud) {
				for i := range d.Ports {
					d.Ports[i].Policy = dptest.Stateful(dptest.Any(true, false), dptest.Any(true, true), dptest.Any(false, false), dptest.Any(false, true))
				}
			})
			for fam, v6 := range families() {
				for _, to := range []string{"red3", "red2", "blue1", "blue2"} {
					t.Run(fmt.Sprintf("red1 to %s, %s", to, fam), func(t *testing.T) { c.pair(t, "red1", to, v6) })
				}
			}
		})
	}
}

func (c *testCloud) pair(t *testing.T, from, to string, v6 bool) {
	want := 64
	if c.cloud.Port(from).Network != c.cloud.Port(to).Network {
		want = 63
	}
	for range 2 { // the second time by the flow cache
		if ttl, err := c.ping(from, c.addr(to, v6), wait); err != nil || ttl != want {
			t.Errorf("ping: TTL %d, %v; want TTL %d", ttl, err, want)
		}
	}
	if err := c.stream(from, to, v6, bytes.Repeat([]byte("weft"), 1<<20)); err != nil {
		t.Errorf("stream: %v", err)
	}
}

// Tenants with the same addresses never meet: red1 of one tenant reaches its own red addresses only.
func TestTenantsApart(t *testing.T) {
	c := newCloud(t, Config{}, nil)
	// red-b has no port at .13: red3 of the other tenant must not answer.
	if _, err := c.ping("red1-b", c.addr("red3", false), 300*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("ping from red1-b to the address of the other tenant's red3: %v", err)
	}
}

// A router's own addresses answer ping, link-local ones, too.
func TestRouterAnswers(t *testing.T) {
	c := newCloud(t, Config{}, nil)
	ll := eui64(dptest.LegMAC("router", "red")).WithZone("eth0")
	for _, to := range []netip.Addr{dptest.DemoAddr(0, 1, false), dptest.DemoAddr(1, 1, false), dptest.DemoAddr(0, 1, true), dptest.DemoAddr(1, 1, true), ll} {
		if ttl, err := c.ping("red1", to, wait); err != nil || ttl != 64 {
			t.Errorf("ping %s: TTL %d, %v", to, ttl, err)
		}
	}
}
