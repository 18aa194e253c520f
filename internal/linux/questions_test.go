package linux

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// question is a frame of one of the kinds that the socket tells apart; tag 0: without a VLAN.
func question(last byte, tag uint16, ethertype uint16, body []byte) []byte {
	f := []byte{2, 0, 0, 0, 0, 0xee, 2, 0, 0, 0, 0, last}
	if tag != 0 {
		f = binary.BigEndian.AppendUint16(append(f, 0x81, 0x00), tag)
	}
	f = append(binary.BigEndian.AppendUint16(f, ethertype), body...)
	return append(f, make([]byte, max(0, 60-len(f)))...)
}

// udp4 is the start of an IPv4 packet with so many words of options.
func udp4(protocol byte, fragment uint16, words int, port uint16) []byte {
	p := make([]byte, 20+4*words)
	p[0], p[9] = 0x45+byte(words), protocol
	binary.BigEndian.PutUint16(p[6:], fragment)
	return append(p, 0, 68, byte(port>>8), byte(port), 0, 8, 0, 0)
}

func udp6(next byte, port uint16) []byte {
	p := make([]byte, 40)
	p[0], p[6] = 0x60, next
	return append(p, 2, 0x22, byte(port>>8), byte(port), 0, 8, 0, 0)
}

func icmp6(kind byte) []byte {
	p := make([]byte, 40)
	p[0], p[6] = 0x60, unix.IPPROTO_ICMPV6
	return append(p, kind, 0, 0, 0, 0, 0, 0, 0)
}

// TestQuestions: of what is on a wire only questions come out of the socket, with their VLAN, in order; what it sends
// arrives, tagged; what leaves by the interface is not heard.
func TestQuestions(t *testing.T) {
	if os.Geteuid() != 0 || os.Getenv("WEFT_TEST_PRIVILEGED") == "0" {
		t.Skip("needs root: makes network namespaces")
	}
	err := InPrivateNetns(func() error {
		if err := AddVeth(Veth{Name: "here", MTU: 1500, Peer: End{Name: "wire"}}); err != nil {
			return err
		}
		for _, l := range []string{"here", "wire"} {
			if err := SetUp("", l); err != nil {
				return err
			}
		}
		q, err := OpenQuestions("here")
		if err != nil {
			return err
		}
		defer q.Close()
		peer, err := OpenQuestions("wire") // hears what leaves, if it is a question
		if err != nil {
			return err
		}
		defer peer.Close()
		sender, err := OpenQuestions("here") // another: the kernel spares a socket what it sent itself
		if err != nil {
			return err
		}
		defer sender.Close()
		if err := q.Hear(mine, [6]byte{0x33, 0x33, 0, 0, 0, 2}); err != nil {
			return err
		}
		askAll(t, q, peer)
		leave(t, q, sender, peer)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// mine is a MAC that is heard besides the interface's.
var mine = [6]byte{0xfa, 0x16, 0x3e, 1, 2, 3}

// at addresses a frame to a MAC.
func at(mac [6]byte, frame []byte) []byte { return append(mac[:], frame[6:]...) }

// askAll sends each kind of frame to q, and one back.
func askAll(t *testing.T, q, peer *Questions) {
	t.Helper()
	const stranger = 0x88b5 // an EtherType for experiments
	for i, f := range []struct {
		name  string
		vlan  uint16
		frame []byte
		heard bool
	}{
		{"DHCPv4", 0, question(1, 0, unix.ETH_P_IP, udp4(unix.IPPROTO_UDP, 0, 0, 67)), true},
		{"DHCPv4 behind IP options, tagged", 7, question(2, 7, unix.ETH_P_IP, udp4(unix.IPPROTO_UDP, 0x4000, 3, 67)), true},
		{"DHCPv4 with a priority", 7, question(3, 0xe007, unix.ETH_P_IP, udp4(unix.IPPROTO_UDP, 0, 0, 67)), true},
		{"DHCPv6", 0, question(4, 0, unix.ETH_P_IPV6, udp6(unix.IPPROTO_UDP, 547)), true},
		{"DHCPv6, tagged", 4094, question(5, 4094, unix.ETH_P_IPV6, udp6(unix.IPPROTO_UDP, 547)), true},
		{"ARP", 0, question(6, 0, unix.ETH_P_ARP, make([]byte, 28)), true},
		{"an answer of a DHCP server", 0, question(7, 0, unix.ETH_P_IP, udp4(unix.IPPROTO_UDP, 0, 0, 68)), false},
		{"TCP", 0, question(8, 0, unix.ETH_P_IP, udp4(unix.IPPROTO_TCP, 0, 0, 67)), false},
		{"a first fragment", 0, question(9, 0, unix.ETH_P_IP, udp4(unix.IPPROTO_UDP, 0x2000, 0, 67)), false},
		{"a later fragment", 0, question(10, 0, unix.ETH_P_IP, udp4(unix.IPPROTO_UDP, 4, 0, 67)), false},
		{"DHCPv6's answers", 0, question(11, 0, unix.ETH_P_IPV6, udp6(unix.IPPROTO_UDP, 546)), false},
		{"TCP over IPv6", 0, question(12, 0, unix.ETH_P_IPV6, udp6(unix.IPPROTO_TCP, 547)), false},
		{"a router solicitation", 0, question(13, 0, unix.ETH_P_IPV6, icmp6(133)), true},
		{"a router solicitation, tagged", 4094, question(14, 4094, unix.ETH_P_IPV6, icmp6(133)), true},
		{"a router advertisement", 0, question(15, 0, unix.ETH_P_IPV6, icmp6(134)), false},
		{"another protocol", 0, question(16, 0, stranger, nil), false},
		{"a neighbour solicitation", 0, question(17, 0, unix.ETH_P_IPV6, icmp6(135)), true},
		{"DNS over UDP", 7, at(mine, question(18, 7, unix.ETH_P_IP, udp4(unix.IPPROTO_UDP, 0, 1, 53))), true},
		{"DNS over TCP", 0, at(mine, question(19, 0, unix.ETH_P_IP, udp4(unix.IPPROTO_TCP, 0, 0, 53))), true},
		{"HTTP", 0, at(mine, question(20, 0, unix.ETH_P_IP, udp4(unix.IPPROTO_TCP, 0, 0, 80))), true},
		{"DNS over UDP and IPv6", 0, at(mine, question(21, 0, unix.ETH_P_IPV6, udp6(unix.IPPROTO_UDP, 53))), true},
		{"DNS over TCP and IPv6", 0, at(mine, question(22, 0, unix.ETH_P_IPV6, udp6(unix.IPPROTO_TCP, 53))), true},
		{"HTTP over IPv6, tagged", 9, at(mine, question(23, 9, unix.ETH_P_IPV6, udp6(unix.IPPROTO_TCP, 80))), true},
		{"another's DNS", 0, question(24, 0, unix.ETH_P_IP, udp4(unix.IPPROTO_UDP, 0, 0, 53)), false},
		{"another's HTTP", 0, question(25, 0, unix.ETH_P_IPV6, udp6(unix.IPPROTO_TCP, 80)), false},
		{"HTTP over UDP", 0, at(mine, question(26, 0, unix.ETH_P_IP, udp4(unix.IPPROTO_UDP, 0, 0, 80))), false},
		{"HTTP over UDP and IPv6", 0, at(mine, question(27, 0, unix.ETH_P_IPV6, udp6(unix.IPPROTO_UDP, 80))), false},
		{"SSH", 0, at(mine, question(28, 0, unix.ETH_P_IP, udp4(unix.IPPROTO_TCP, 0, 0, 22))), false},
		{"a fragment of DNS", 0, at(mine, question(29, 0, unix.ETH_P_IP, udp4(unix.IPPROTO_UDP, 0x2000, 0, 53))), false},
	} {
		// The peer sends untagged frames as they are; the test has put the tags in itself.
		if err := peer.Send(f.frame, 0); err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
		if err := peer.Send(question(0xff, 0, unix.ETH_P_ARP, make([]byte, 28)), 0); err != nil { // the end of this case
			t.Error(err)
		}
		buf := make([]byte, 2048)
		h, err := readSoon(q, buf)
		if err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		n, vlan := h.N, h.VLAN
		if heard := buf[11] != 0xff; heard != f.heard || heard && (vlan != f.vlan || buf[11] != byte(i+1) || n > len(f.frame)) {
			t.Errorf("%s: heard %v, VLAN %d, frame % x", f.name, heard, vlan, buf[:min(n, 16)])
		} else if !heard {
			continue
		}
		if buf[11] != 0xff {
			if _, err := readSoon(q, buf); err != nil || buf[11] != 0xff {
				t.Fatalf("%s: after it %v, % x", f.name, err, buf[:16])
			}
		}
	}
}

// leave sends by the interface: it arrives in its VLAN, and is not heard here.
func leave(t *testing.T, q, sender, peer *Questions) {
	t.Helper()
	for _, vlan := range []uint16{0, 42} {
		if err := sender.Send(question(0x77, 0, unix.ETH_P_ARP, make([]byte, 28)), vlan); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 2048)
		if h, err := readSoon(peer, buf); err != nil || h.VLAN != vlan || buf[11] != 0x77 {
			t.Errorf("sent in VLAN %d, arrived in %d: %v, % x", vlan, h.VLAN, err, buf[:16])
		}
	}
	// The next that q hears is the peer's.
	if err := peer.Send(question(0x78, 0, unix.ETH_P_ARP, make([]byte, 28)), 0); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	if _, err := readSoon(q, buf); err != nil || buf[11] != 0x78 {
		t.Errorf("heard what left: %v, % x", err, buf[:16])
	}
	q.Close()
	if _, err := q.Read(buf); !errors.Is(err, os.ErrClosed) && !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// readSoon is a Read that ends after five seconds.
func readSoon(q *Questions, buf []byte) (Heard, error) {
	if err := q.f.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return Heard{}, err
	}
	return q.Read(buf)
}
