package gateway

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestPackets are the named cases through one router in real namespaces. Each leaves the router as it was.
func TestPackets(t *testing.T) {
	e := newEnv(t)
	for _, name := range []string{"out", "c1", "c2", "c3", "c4"} {
		e.serve(name, 7)
	}
	for _, p := range []int{8080, 2200, 7005, 6003} {
		e.serve("c2", p)
	}
	for _, c := range []struct {
		name string
		run  func(*env)
	}{
		{"SNAT of TCP", func(e *env) { e.sees("c2", "tcp", outAddr, 7, gatewayAddr) }},
		{"SNAT of UDP", func(e *env) { e.sees("c2", "udp", outAddr, 7, gatewayAddr) }},
		{"SNAT to beyond the external network", func(e *env) { e.sees("c4", "tcp", farAddr, 7, gatewayAddr) }},
		{"floating IP in, TCP", func(e *env) { e.sees("out", "tcp", float1, 7, outAddr) }},
		{"floating IP in, UDP", func(e *env) { e.sees("out", "udp", float1, 7, outAddr) }},
		{"floating IP out comes before SNAT", func(e *env) { e.sees("c1", "tcp", outAddr, 7, float1) }},
		{"hairpin: an instance without a floating IP to one on its own subnet", func(e *env) { e.sees("c2", "tcp", float1, 7, gatewayAddr) }},
		{"hairpin: floating IP to floating IP across subnets", func(e *env) { e.sees("c1", "tcp", float3, 7, float1) }},
		{"hairpin: to one's own floating IP", func(e *env) { e.sees("c1", "udp", float1, 7, float1) }},
		{"between subnets nothing is translated", func(e *env) { e.sees("c1", "tcp", addr4, 7, addr1) }},
		{"port forwarding, one port", func(e *env) { e.sees("out", "tcp", floatPorts, 80, outAddr) }},
		{"port forwarding, a range that is shifted", func(e *env) { e.sees("out", "udp", floatPorts, 5003, outAddr) }},
		{"port forwarding, a range that keeps its ports", func(e *env) { e.sees("out", "tcp", floatPorts, 7005, outAddr) }},
		{"port forwarding, a range to one port", func(e *env) { e.sees("out", "tcp", floatPorts, 9004, outAddr) }},
		{"port forwarding, hairpin from its own subnet", func(e *env) { e.sees("c1", "tcp", floatPorts, 80, float1) }},
		{"port forwarding, a port that is not forwarded is refused by the router", refusedByRouter},
		{"IPv6 out is not translated", func(e *env) { e.sees("c2", "tcp", out6, 7, addr26) }},
		{"IPv6 in is not translated", func(e *env) { e.sees("out", "tcp", addr26, 7, out6) }},
		{"an inside address without a floating IP is its own when called from outside", func(e *env) { e.sees("out", "udp", addr4, 7, outAddr) }},
		{"two clients with one source port", portCollision},
		{"bulk TCP with GSO through SNAT", func(e *env) { bulk(e, "c2", outAddr) }},
		{"bulk TCP with GSO through a floating IP", func(e *env) { bulk(e, "out", float1) }},
		{"bulk TCP with GSO through a hairpin", func(e *env) { bulk(e, "c2", float1) }},
		{"bulk TCP without offloads through SNAT", func(e *env) { withoutOffloads(e, func() { bulk(e, "c2", outAddr) }) }},
		{"fragments out", func(e *env) { fragments(e, "c2", outAddr) }},
		{"fragments in", func(e *env) { fragments(e, "out", float1) }},
		{"fragments of IPv6 out", func(e *env) { fragments(e, "c2", out6) }},
		{"FTP, active: the helper opens the way back", activeFTP},
	} {
		t.Run(c.name, func(t *testing.T) {
			sub := *e
			sub.t = t
			c.run(&sub)
		})
	}
}

func refusedByRouter(e *env) {
	if c, err := e.dial("out", "tcp", floatPorts, 81, 0); !errors.Is(err, syscall.ECONNREFUSED) {
		e.t.Errorf("connected to %v, error %v; want it refused", c, err)
	}
}

// portCollision: the same port of two clients, to one and the same server.
func portCollision(e *env) {
	var conns []net.Conn
	for _, from := range []string{"c2", "c4"} {
		c, err := e.dial(from, "udp", outAddr, 7, 33333)
		e.must(err)
		conns = append(conns, c)
	}
	for range 3 {
		for i, c := range conns {
			text := fmt.Sprintf("client %d", i)
			got, err := say(c, text)
			if err != nil || got != gatewayAddr.String()+" "+text {
				e.t.Errorf("client %d hears %q, %v", i, got, err)
			}
		}
	}
}

// bulk sends 8 MiB to a sink and compares what came.
func bulk(e *env, from string, to netip.Addr) {
	e.t.Helper()
	server := "out"
	if from == "out" || to == float1 {
		server = "c1"
	}
	data := bytes.Repeat([]byte("The quick brown fox. "), 400_000)
	sum := make(chan [32]byte, 1)
	var l net.Listener
	e.in(server, func() (err error) { l, err = net.Listen("tcp", ":9"); return err })
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		got, _ := io.ReadAll(c) // what is missing shows in the sum
		sum <- sha256.Sum256(got)
	}()
	c, err := e.dial(from, "tcp", to, 9, 0)
	e.must(err)
	e.must(c.SetDeadline(time.Now().Add(20 * time.Second)))
	_, err = c.Write(data)
	e.must(err)
	e.must(c.Close())
	select {
	case got := <-sum:
		if got != sha256.Sum256(data) {
			e.t.Error("what came is not what was sent")
		}
	case <-time.After(20 * time.Second):
		e.t.Error("it did not all come within 20 s")
	}
}

func fragments(e *env, from string, to netip.Addr) {
	e.t.Helper()
	c, err := e.dial(from, "udp", to, 7, 0)
	e.must(err)
	// Cut at the sender: none is to find out the path's MTU, so that DF is not set.
	raw, err := c.(*net.UDPConn).SyscallConn()
	e.must(err)
	e.must(raw.Control(func(fd uintptr) {
		if to.Is4() {
			err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_MTU_DISCOVER, syscall.IP_PMTUDISC_DONT)
		}
	}))
	e.must(err)
	text := strings.Repeat("0123456789", 500)
	if got, err := say(c, text); err != nil || !strings.HasSuffix(got, " "+text) {
		e.t.Errorf("5000 bytes came back as %d, %v", len(got), err)
	}
}

// activeFTP speaks as much FTP as the helper reads: PORT names an inside address, and the server must be told another.
func activeFTP(e *env) {
	var control net.Listener
	e.in("out", func() (err error) { control, err = net.Listen("tcp", ":21"); return err })
	defer control.Close()
	told := make(chan string, 1)
	go func() {
		c, err := control.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		r := bufio.NewReader(c)
		_, _ = r.ReadString('\n')
		line, _ := r.ReadString('\n') // an empty line fails below
		told <- strings.TrimSpace(line)
		time.Sleep(patience) // the connection stays while data come
	}()
	var data net.Listener
	e.in("c2", func() (err error) { data, err = net.Listen("tcp4", ":0"); return err })
	defer data.Close()
	p := data.Addr().(*net.TCPAddr).Port
	c, err := e.dial("c2", "tcp", outAddr, 21, 0)
	e.must(err)
	// The helper reads whole lines only: what comes after a newline that it saw.
	_, err = fmt.Fprint(c, "USER anonymous\r\n")
	e.must(err)
	time.Sleep(50 * time.Millisecond)
	_, err = fmt.Fprintf(c, "PORT 10,0,0,12,%d,%d\r\n", p/256, p%256)
	e.must(err)
	var h [4]int
	var hi, lo int
	line := <-told
	if _, err := fmt.Sscanf(line, "PORT %d,%d,%d,%d,%d,%d", &h[0], &h[1], &h[2], &h[3], &hi, &lo); err != nil {
		e.t.Fatalf("the server was told %q: %v", line, err)
	}
	named := netip.AddrFrom4([4]byte{byte(h[0]), byte(h[1]), byte(h[2]), byte(h[3])})
	if named != gatewayAddr {
		e.t.Fatalf("the server was told %s, want the gateway's address", named)
	}
	accepted := make(chan error, 1)
	go func() { _, err := data.Accept(); accepted <- err }()
	if _, err := e.dial("out", "tcp", named, hi*256+lo, 20); err != nil {
		e.t.Fatalf("data connection: %v", err)
	}
	if err := <-accepted; err != nil {
		e.t.Error(err)
	}
}

// withoutOffloads has all checksums and segments made by the senders.
func withoutOffloads(e *env, fn func()) {
	offloads := func(state string) {
		for _, name := range []string{"c1", "c2", "out"} {
			e.in(name, func() error {
				out, err := exec.Command("ethtool", "-K", "eth0", "tx", state, "tso", state, "gso", state, "gro", state).CombinedOutput()
				if err != nil {
					return fmt.Errorf("ethtool: %w: %s", err, out)
				}
				return nil
			})
		}
	}
	offloads("off")
	defer offloads("on")
	fn()
}
