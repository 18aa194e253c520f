package e2e

import (
	bits "encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inNetns calls fn on a thread in the named namespace; sockets made there stay there. The thread goes back: `lab down`
// ends whatever is in the lab's namespaces.
func inNetns(name string, fn func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			result <- err
			return
		}
		defer home.Close()
		there, err := os.Open("/run/netns/" + name)
		if err == nil {
			err = unix.Setns(int(there.Fd()), unix.CLONE_NEWNET)
			there.Close()
		}
		if err == nil {
			err = fn()
		}
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

// netnsOf is the namespace of an instance, or of the outside.
func netnsOf(name string) string {
	if name == "internet" {
		return "weft-internet"
	}
	return "weft-vm-" + name
}

func dialFrom(guest, addr string) (*net.TCPConn, error) {
	var conn net.Conn
	err := inNetns(netnsOf(guest), func() (err error) {
		conn, err = net.DialTimeout("tcp", addr, 5*time.Second)
		return err
	})
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// echo returns what it is sent, on that port of the instance, until the test ends.
func echo(t *testing.T, guest string, port int) {
	t.Helper()
	var l net.Listener
	if err := inNetns(netnsOf(guest), func() (err error) {
		l, err = net.Listen("tcp", fmt.Sprintf(":%d", port))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c) //nolint:errcheck // the other end sees what is wrong
			}()
		}
	}()
}

// stream is a TCP connection that carries numbers to an echo and back, a hundred a second.
type stream struct {
	conn  *net.TCPConn
	way   string
	stop  atomic.Bool
	sent  uint64
	wrote chan error
	read  chan error
}

func startStream(t *testing.T, from, to string) *stream {
	t.Helper()
	conn, err := dialFrom(from, to)
	if err != nil {
		t.Fatal(err)
	}
	s := &stream{conn: conn, way: fmt.Sprintf("from %s (%s) to %s", from, conn.LocalAddr(), to), wrote: make(chan error, 1), read: make(chan error, 1)}
	t.Cleanup(func() { conn.Close() })
	go func() { s.wrote <- s.write() }()
	go func() { s.read <- s.check() }()
	return s
}

func (s *stream) write() error {
	var b [8]byte
	for ; !s.stop.Load(); s.sent++ {
		bits.BigEndian.PutUint64(b[:], s.sent)
		if _, err := s.conn.Write(b[:]); err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return s.conn.CloseWrite()
}

func (s *stream) check() error {
	var b [8]byte
	for want := uint64(0); ; want++ {
		if _, err := io.ReadFull(s.conn, b[:]); errors.Is(err, io.EOF) {
			if want != s.sent {
				err = fmt.Errorf("the stream ended after %d of %d numbers", want, s.sent)
			} else {
				err = nil
			}
			return err
		} else if err != nil {
			return err
		}
		if got := bits.BigEndian.Uint64(b[:]); got != want {
			return fmt.Errorf("number %d came where %d was due", got, want)
		}
	}
}

// end ends the stream and says what went wrong; one lost segment is wrong enough.
func (s *stream) end(t *testing.T) {
	t.Helper()
	s.stop.Store(true)
	for _, c := range []chan error{s.wrote, s.read} {
		select {
		case err := <-c:
			if err != nil {
				t.Errorf("TCP stream %s: %v", s.way, err)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("TCP stream %s does not end", s.way)
			return
		}
	}
	raw, err := s.conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			t.Error(err)
		} else if lost := info.Total_retrans - info.Dsack_dups; lost > 0 {
			// What the other end had already was late, not lost (RFC 2883): two cores do much here at once.
			t.Errorf("TCP stream %s: %d segments of %d numbers were lost: %d were sent again, of which %d had come", s.way, lost, s.sent, info.Total_retrans, info.Dsack_dups)
		}
	}); err != nil {
		t.Error(err)
	}
}
