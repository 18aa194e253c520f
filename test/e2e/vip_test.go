package e2e

import (
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const vip4, vip6 = "172.16.42.100", "fd00:172:16:42::64"

// take is what a VRRP daemon does when its instance becomes master: it gives the interface the address and tells the network,
// from the virtual router's MAC, or (mac "") its interface's.
func take(t *testing.T, guest, mac string) {
	t.Helper()
	in := func(args ...string) { must(t, append([]string{"lab", "exec", guest, "--"}, args...)...) }
	in("ip", "addr", "replace", vip4+"/32", "dev", "eth0")
	in("ip", "-6", "addr", "replace", vip6+"/128", "dev", "eth0", "nodad")
	err := inNetns("weft-vm-"+guest, func() error { return announce(mac) })
	if err != nil {
		t.Fatal(err)
	}
}

func leave(t *testing.T, guest string) {
	t.Helper()
	for _, a := range []string{vip4 + "/32", vip6 + "/128"} {
		_, _ = weft("lab", "exec", guest, "--", "ip", "addr", "del", a, "dev", "eth0") // it may not have it
	}
}

// announce sends an ARP announcement and an unsolicited neighbour advertisement out of eth0 of the calling thread's namespace.
func announce(mac string) error {
	eth0, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	m := eth0.HardwareAddr
	if mac != "" {
		if m, err = net.ParseMAC(mac); err != nil {
			return err
		}
	}
	a4, a6 := netip.MustParseAddr(vip4).AsSlice(), netip.MustParseAddr(vip6).AsSlice()
	x := func(b []byte) string { return hex.EncodeToString(b) }
	arp := "ffffffffffff" + x(m) + "08060001080006040001" + x(m) + x(a4) + "000000000000" + x(a4)
	icmp := "8800" + "0000" + "20000000" + x(a6) + "0201" + x(m)
	all := "ff020000000000000000000000000001"
	sum := checksum(x(a6) + all + "00000020" + "0000003a" + icmp)
	na := "333300000001" + x(m) + "86dd" + "60000000" + "0020" + "3aff" + x(a6) + all + "8800" + sum + icmp[8:]
	s, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	for _, text := range []string{arp, na} {
		b, err := hex.DecodeString(text)
		if err != nil {
			return err
		}
		if err := unix.Sendto(s, b, 0, &unix.SockaddrLinklayer{Ifindex: eth0.Index}); err != nil {
			return err
		}
	}
	return nil
}

// checksum is the Internet checksum (RFC 1071), of and in hexadecimal.
func checksum(text string) string {
	b, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return fmt.Sprintf("%04x", uint16(^sum))
}

// greeter is the instance that answers at the address, by what its greeting says.
func greeter(from, addr string) (string, error) {
	var text string
	err := inNetns("weft-vm-"+from, func() error {
		c, err := net.DialTimeout("tcp", net.JoinHostPort(addr, "80"), 2*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
			return err
		}
		fmt.Fprintf(c, "GET / HTTP/1.0\r\n\r\n")
		b, err := io.ReadAll(c)
		text = string(b)
		return err
	})
	_, rest, _ := strings.Cut(text, "Hello from ")
	name, _, _ := strings.Cut(rest, " ")
	return name, err
}

// held wants everybody to reach the holder at the address at once, in both families: from the same host and others, in the same
// subnet and through the router.
func held(t *testing.T, holder string, from ...string) {
	t.Helper()
	for _, guest := range from {
		for _, addr := range []string{vip4, vip6} {
			began := time.Now()
			got, err := greeter(guest, addr)
			if got != holder || err != nil {
				t.Errorf("from %s, %s is %q, want %s (%v, after %v)", guest, addr, got, holder, err, time.Since(began))
			}
		}
	}
}

// settled waits until somebody answers an instance that has just come up at the address; who does is for held to say.
func settled(t *testing.T, from string) {
	t.Helper()
	for _, addr := range []string{vip4, vip6} {
		for end := time.Now().Add(15 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			if _, err := greeter(from, addr); err == nil {
				break
			} else if time.Now().After(end) {
				t.Fatalf("nobody ever answers %s at %s: %v", from, addr, err)
			}
		}
	}
}

// resumed waits until the restarted agents have heard all that the server has to say.
func resumed(t *testing.T, hosts ...string) {
	t.Helper()
	for _, h := range hosts {
		for end := time.Now().Add(20 * time.Second); strings.Count(must(t, "lab", "logs", "agent-"+h), "in sync with the server") < 2; time.Sleep(100 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the agent of %s is not in sync", h)
			}
		}
	}
	time.Sleep(500 * time.Millisecond) // it is programmed
}

// losing sends a hundred echo requests a second until it is stopped, and counts those that were lost.
func losing(t *testing.T, from, to string) (stop func() int) {
	t.Helper()
	cmd := exec.Command(binary(), "lab", "exec", from, "--", "ping", "-q", "-i", "0.01", to)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() int {
		t.Helper()
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Error(err)
		}
		cmd.Wait() //nolint:errcheck // what it prints says more
		m := pingLoss.FindStringSubmatch(out.String())
		if m == nil {
			t.Fatalf("ping said %s", out.String())
		}
		sent, _ := strconv.Atoi(m[1]) //nolint:errcheck // digits
		got, _ := strconv.Atoi(m[2])  //nolint:errcheck // digits
		t.Logf("%d of %d echo requests were lost in a failover", sent-got, sent)
		return sent - got
	}
}

// pairVIP allows the instances' ports to have the addresses, under a MAC of its own or (mac "") the ports'.
func pairVIP(t *testing.T, c *client, mac string, guests ...string) {
	t.Helper()
	for _, g := range guests {
		args := []string{"port", "set"}
		for _, a := range []string{vip4, vip6} {
			pair := "ip-address=" + a
			if mac != "" {
				pair += ",mac-address=" + mac
			}
			args = append(args, "--allowed-address", pair)
		}
		id, _ := c.list("port", "list", "--server", g)[0]["ID"].(string)
		c.do(append(args, id)...)
	}
}

// The address of a VRRP group follows its announcements at once: between hosts, with server and agents dead, and for a host that
// comes later and never heard one.
func TestVIPFollowsItsAnnouncements(t *testing.T) {
	eachVIF(t, func(t *testing.T, args ...string) {
		up(t, append(args, "--computes", "3")...)
		pairVIP(t, newClient(t, "demo"), "", "red1", "red2")
		everybody := []string{"red3", "blue1", "blue2"}
		take(t, "red1", "")
		time.Sleep(time.Second) // the pairs are on their way
		take(t, "red1", "")
		held(t, "red1", everybody...)
		stop := losing(t, "blue2", vip4)
		take(t, "red2", "")
		leave(t, "red1")
		held(t, "red2", everybody...)
		if lost := stop(); lost > 5 {
			t.Errorf("the failover cost %d of the echo requests that are sent every 10 ms", lost)
		}
		take(t, "red1", "")
		leave(t, "red2")
		held(t, "red1", everybody...)
		kill(t, "server", "agent-compute1", "agent-compute2")
		take(t, "red2", "")
		leave(t, "red1")
		held(t, "red2", everybody...)
		for _, name := range []string{"server", "compute1", "compute2"} {
			must(t, "lab", "restart", name)
		}
		well(t)
		resumed(t, "compute1", "compute2")
		held(t, "red2", everybody...)
		// Whichever the lowest port is, the late host must know the holder, not guess it.
		for _, holder := range []string{"red2", "red1"} {
			take(t, holder, "")
			leave(t, map[string]string{"red1": "red2", "red2": "red1"}[holder])
			time.Sleep(time.Second) // the server is told
			must(t, "lab", "boot", "late", "--host", "compute3", "--network", "red")
			settled(t, "late")
			held(t, holder, "late")
			must(t, "lab", "delete", "late")
		}
	})
}
