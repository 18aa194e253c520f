package linux

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Frame is one captured frame.
type Frame struct {
	Time time.Time
	// Data begins with the Ethernet header, and is cut at the Capture's snap length; Length is the full length.
	Data   []byte
	Length int
	// Outgoing: the frame left by the interface; otherwise it came in.
	Outgoing bool
}

// Capture sees every frame that crosses an interface, in both directions, as tcpdump does. It does not switch the
// interface to promiscuous mode.
type Capture struct {
	f    *os.File
	snap int
}

// OpenCapture starts capturing at once; frames wait in the socket until Read. snap is the most bytes kept of a frame.
func OpenCapture(ns, link string, snap int) (*Capture, error) {
	c := &Capture{snap: snap}
	err := InNetns(ns, func() error {
		ifi, err := net.InterfaceByName(link)
		if err != nil {
			return err
		}
		// Protocol 0 receives nothing until bind, so that no frame of another interface slips in between.
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		c.f = os.NewFile(uintptr(fd), "capture:"+link)
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
			return err
		}
		// Room for a burst; the kernel clips the figure to what is permitted without privilege.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: ifi.Index})
	})
	if err != nil {
		if c.f != nil {
			c.f.Close()
		}
		return nil, fmt.Errorf("capture on %s in %s: %w", link, ns, err)
	}
	return c, nil
}

// Read waits for the next frame; after Close it returns os.ErrClosed.
func (c *Capture) Read() (Frame, error) {
	conn, err := c.f.SyscallConn()
	if err != nil {
		return Frame{}, err
	}
	var fr Frame
	var rerr error
	buf, oob := make([]byte, c.snap), make([]byte, 128)
	err = conn.Read(func(fd uintptr) bool {
		n, oobn, _, from, err := unix.RecvmsgBuffers(int(fd), [][]byte{buf}, oob, unix.MSG_TRUNC)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			return false
		}
		if err != nil {
			rerr = err
			return true
		}
		fr = Frame{Data: buf[:min(n, len(buf))], Length: n, Time: stamp(oob[:oobn])}
		if ll, ok := from.(*unix.SockaddrLinklayer); ok {
			fr.Outgoing = ll.Pkttype == unix.PACKET_OUTGOING
		}
		return true
	})
	if err != nil { // the poller's only reason: the file was closed
		return Frame{}, fmt.Errorf("%w: %w", os.ErrClosed, err)
	}
	return fr, rerr
}

// Dropped is the number of frames that the kernel could not keep since the last call.
func (c *Capture) Dropped() (uint32, error) {
	conn, err := c.f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var st *unix.TpacketStats
	cerr := conn.Control(func(fd uintptr) {
		st, err = unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS)
	})
	if err = errors.Join(cerr, err); err != nil {
		return 0, fmt.Errorf("capture statistics: %w", err)
	}
	return st.Drops, nil
}

// Close ends the capture and any Read that waits.
func (c *Capture) Close() error { return c.f.Close() }

func stamp(oob []byte) time.Time {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return time.Time{}
	}
	for _, m := range msgs {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
			return time.Unix(int64(hostUint64(m.Data)), int64(hostUint64(m.Data[8:]))) //nolint:gosec // the kernel's clock
		}
	}
	return time.Time{}
}
