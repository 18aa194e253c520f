package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Questions is a socket on an interface that hears what clients on its wire ask of DHCP servers: UDP to port 67 over IPv4,
// to 547 over IPv6, and ARP. The kernel filters; nothing else reaches the process. It sees frames before any tc program
// does, and not those that leave.
type Questions struct {
	f     *os.File
	index int
}

// vlanValid is TP_STATUS_VLAN_VALID (linux/if_packet.h).
const vlanValid = 1 << 4

// OpenQuestions listens on a link of the process's own namespace.
func OpenQuestions(link string) (*Questions, error) {
	q := &Questions{}
	err := q.open(link)
	if err != nil {
		if q.f != nil {
			err = errors.Join(err, q.f.Close())
		}
		return nil, fmt.Errorf("listen for DHCP on %s: %w", link, err)
	}
	return q, nil
}

func (q *Questions) open(link string) error {
	ifi, err := net.InterfaceByName(link)
	if err != nil {
		return err
	}
	q.index = ifi.Index
	// Protocol 0 receives nothing until bind, so that nothing gets past the filter.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	q.f = os.NewFile(uintptr(fd), "questions:"+link)
	filter, err := bpf.Assemble(questions)
	if err != nil {
		return err
	}
	prog := make([]unix.SockFilter, len(filter))
	for i, r := range filter {
		prog[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}); err != nil { //nolint:gosec // a few instructions
		return err
	}
	for _, o := range []int{unix.PACKET_AUXDATA, unix.PACKET_IGNORE_OUTGOING} {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, o, 1); err != nil {
			return err
		}
	}
	return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: ifi.Index})
}

// questions is the filter. The kernel has taken a VLAN tag out of the frame before it runs.
var questions = []bpf.Instruction{ //nolint:gochecknoglobals // a constant program
	0:  bpf.LoadAbsolute{Off: 12, Size: 2},
	1:  bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_ARP, SkipTrue: 17},
	2:  bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IPV6, SkipTrue: 8},
	3:  bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_IP, SkipTrue: 14},
	4:  bpf.LoadAbsolute{Off: 23, Size: 1},
	5:  bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_UDP, SkipTrue: 12},
	6:  bpf.LoadAbsolute{Off: 20, Size: 2},
	7:  bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x3fff, SkipTrue: 10}, // a fragment
	8:  bpf.LoadMemShift{Off: 14},
	9:  bpf.LoadIndirect{Off: 16, Size: 2},
	10: bpf.JumpIf{Cond: bpf.JumpEqual, Val: 67, SkipTrue: 8, SkipFalse: 7},
	11: bpf.LoadAbsolute{Off: 20, Size: 1},
	12: bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_ICMPV6, SkipTrue: 3},
	13: bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_UDP, SkipTrue: 4},
	14: bpf.LoadAbsolute{Off: 56, Size: 2},
	15: bpf.JumpIf{Cond: bpf.JumpEqual, Val: 547, SkipTrue: 3, SkipFalse: 2},
	16: bpf.LoadAbsolute{Off: 54, Size: 1},
	17: bpf.JumpIf{Cond: bpf.JumpEqual, Val: 133, SkipTrue: 1}, // a router solicitation
	18: bpf.RetConstant{Val: 0},
	19: bpf.RetConstant{Val: 1 << 16},
}

// Read waits for the next question: the frame without its VLAN tag, and the VLAN, 0 for none. After Close it returns
// os.ErrClosed. What a driver pads is cut off by whoever parses.
func (q *Questions) Read(buf []byte) (n int, vlan uint16, err error) {
	conn, err := q.f.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	oob := make([]byte, 128)
	var rerr error
	err = conn.Read(func(fd uintptr) bool {
		var oobn int
		n, oobn, _, _, rerr = unix.RecvmsgBuffers(int(fd), [][]byte{buf}, oob, 0)
		if errors.Is(rerr, unix.EAGAIN) || errors.Is(rerr, unix.EINTR) {
			return false
		}
		if rerr == nil {
			vlan = auxVLAN(oob[:oobn])
		}
		return true
	})
	if err != nil { // the poller's only reason: the file was closed
		return 0, 0, fmt.Errorf("%w: %w", os.ErrClosed, err)
	}
	return n, vlan, rerr
}

// auxVLAN reads struct tpacket_auxdata.
func auxVLAN(oob []byte) uint16 {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0
	}
	for _, m := range msgs {
		if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA || len(m.Data) < 20 {
			continue
		}
		if binary.NativeEndian.Uint32(m.Data)&vlanValid != 0 {
			return binary.NativeEndian.Uint16(m.Data[16:]) & 0xfff
		}
	}
	return 0
}

// Send puts a frame on the wire, tagged unless vlan is 0.
func (q *Questions) Send(frame []byte, vlan uint16) error {
	if vlan != 0 && len(frame) >= 12 {
		tag := []byte{0x81, 0x00, byte(vlan >> 8 & 0x0f), byte(vlan)} //nolint:gosec // 12 bits
		frame = append(append(append(make([]byte, 0, len(frame)+4), frame[:12]...), tag...), frame[12:]...)
	}
	conn, err := q.f.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = conn.Write(func(fd uintptr) bool {
		serr = unix.Sendto(int(fd), frame, 0, &unix.SockaddrLinklayer{Ifindex: q.index})
		return !errors.Is(serr, unix.EAGAIN) && !errors.Is(serr, unix.EINTR)
	})
	return errors.Join(err, serr)
}

// Hear makes the interface take frames for a MAC besides its own, or for a group's, until Close.
func (q *Questions) Hear(mac [6]byte) error {
	m := unix.PacketMreq{Ifindex: int32(q.index), Type: unix.PACKET_MR_UNICAST, Alen: 6} //nolint:gosec // an interface's index
	if mac[0]&1 != 0 {
		m.Type = unix.PACKET_MR_MULTICAST
	}
	copy(m.Address[:], mac[:])
	conn, err := q.f.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = conn.Control(func(fd uintptr) {
		serr = unix.SetsockoptPacketMreq(int(fd), unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m)
	})
	return errors.Join(err, serr)
}

// Close ends the socket and any Read that waits.
func (q *Questions) Close() error { return q.f.Close() }
