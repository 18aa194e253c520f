package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Questions is a socket on an interface that hears what machines on its wire ask of a network's servers: UDP to port 67 over IPv4,
// to 547 over IPv6, router and neighbour solicitations, ARP; and at the MACs that Hear was told, DNS (port 53) and HTTP (TCP port 80). The
// kernel filters; nothing else reaches the process. It sees frames before any tc program does, and not those that leave.
type Questions struct {
	f     *os.File
	index int

	mu    sync.Mutex // guards heard
	heard map[[6]byte]bool
}

// TP_STATUS_CSUMNOTREADY and TP_STATUS_VLAN_VALID (linux/if_packet.h).
const (
	sumNotReady = 1 << 3
	vlanValid   = 1 << 4
)

// OpenQuestions listens on a link of the process's own namespace.
func OpenQuestions(link string) (*Questions, error) {
	q := &Questions{heard: map[[6]byte]bool{}}
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
	if err := attach(fd, questions(nil)); err != nil {
		return err
	}
	for _, o := range []int{unix.PACKET_AUXDATA, unix.PACKET_IGNORE_OUTGOING} {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, o, 1); err != nil {
			return err
		}
	}
	return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: ifi.Index})
}

// Heard is how a frame came.
type Heard struct {
	// N is its length without its VLAN tag. VLAN 0: it had none.
	N    int
	VLAN uint16
	// Unsummed: it is from this machine, and the checksum of its TCP or UDP is not computed yet.
	Unsummed bool
}

// Read waits for the next question. After Close it returns os.ErrClosed. What a driver pads is cut off by whoever parses. A frame may be
// several packets that the kernel has put together, of up to 64 KiB.
func (q *Questions) Read(buf []byte) (h Heard, err error) {
	conn, err := q.f.SyscallConn()
	if err != nil {
		return Heard{}, err
	}
	oob := make([]byte, 128)
	var rerr error
	err = conn.Read(func(fd uintptr) bool {
		var n, oobn int
		n, oobn, _, _, rerr = unix.RecvmsgBuffers(int(fd), [][]byte{buf}, oob, 0)
		if errors.Is(rerr, unix.EAGAIN) || errors.Is(rerr, unix.EINTR) {
			return false
		}
		if rerr == nil {
			h = auxiliary(oob[:oobn])
			h.N = n
		}
		return true
	})
	if err != nil { // the poller's only reason: the file was closed
		return Heard{}, fmt.Errorf("%w: %w", os.ErrClosed, err)
	}
	return h, rerr
}

// auxiliary reads struct tpacket_auxdata.
func auxiliary(oob []byte) (h Heard) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return h
	}
	for _, m := range msgs {
		if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA || len(m.Data) < 20 {
			continue
		}
		status := binary.NativeEndian.Uint32(m.Data)
		h.Unsummed = status&sumNotReady != 0
		if status&vlanValid != 0 {
			h.VLAN = binary.NativeEndian.Uint16(m.Data[16:]) & 0xfff
		}
	}
	return h
}

// Send puts a frame on the wire, tagged unless vlan is 0. It does not wait for an interface that takes nothing: the frame is lost, with an
// error.
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
		return !errors.Is(serr, unix.EINTR)
	})
	return errors.Join(err, serr)
}

// Hear makes the interface take frames for these MACs besides its own, and for groups', until Close; of those that are no groups' what is
// asked of DNS and HTTP servers is read. Calls add up.
func (q *Questions) Hear(macs ...[6]byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	conn, err := q.f.SyscallConn()
	if err != nil {
		return err
	}
	var errs []error
	err = conn.Control(func(fd uintptr) {
		single := false
		for _, mac := range macs {
			if q.heard[mac] {
				continue
			}
			if err := q.join(int(fd), mac); err != nil {
				errs = append(errs, err)
			}
			q.heard[mac], single = true, single || mac[0]&1 == 0
		}
		if single {
			errs = append(errs, attach(int(fd), questions(q.heard)))
		}
	})
	return errors.Join(append(errs, err)...)
}

func (q *Questions) join(fd int, mac [6]byte) error {
	m := unix.PacketMreq{Ifindex: int32(q.index), Type: unix.PACKET_MR_UNICAST, Alen: 6} //nolint:gosec // an interface's index
	if mac[0]&1 != 0 {
		m.Type = unix.PACKET_MR_MULTICAST
	}
	copy(m.Address[:], mac[:])
	return unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m)
}

// Close ends the socket and any Read that waits.
func (q *Questions) Close() error { return q.f.Close() }
