package ebpf

import (
	"bytes"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/agent/fragment"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

// A datagram that may be cut, and is too large for the network that it is routed to, arrives whole: the plane punts it, the
// agent cuts it, the plane takes the pieces back.
func TestRoutedDatagramsAreCut(t *testing.T) {
	c := newCloud(t, Config{}, func(d *dptest.Cloud) {
		for i := range d.Networks {
			if d.Networks[i].Name == "blue" {
				d.Networks[i].MTU = 1200
			}
		}
	})
	host := c.cloud.Port("red1").Host
	plane := c.planes[host]
	cutter := fragment.New(fragment.Deps{
		Resend: func(id model.PortID, f []byte) error {
			return linux.InNetns(c.ns(host), func() error { return plane.Resend(id, f) })
		},
		Failed: func(err error) { t.Error(err) },
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for p := range plane.Punts() {
			if p.Kind == dataplane.PuntFragment {
				cutter.Handle(p, c.states[host])
			}
		}
	}()
	t.Cleanup(func() {
		c.must(plane.Close())
		c.planes[host] = nil
		<-done
	})
	for _, to := range []string{"blue1", "blue2"} {
		t.Run(to, func(t *testing.T) {
			want := bytes.Repeat([]byte("0123456789"), 140) // 1400 bytes and headers are within red's 1450
			var l net.PacketConn
			c.must(linux.InNetns(c.ns(to), func() (err error) {
				l, err = net.ListenPacket("udp4", portText(c.addr(to, false), 7001))
				return err
			}))
			defer l.Close()
			c.must(linux.InNetns(c.ns("red1"), func() error { return sendWithoutDF(portText(c.addr(to, false), 7001), want) }))
			c.must(l.SetReadDeadline(time.Now().Add(wait)))
			got := make([]byte, 2000)
			n, _, err := l.ReadFrom(got)
			if err != nil || !bytes.Equal(got[:n], want) {
				t.Errorf("%d bytes arrived, %v; want the %d that were sent", n, err, len(want))
			}
		})
	}
}

func sendWithoutDF(to string, b []byte) error {
	conn, err := net.Dial("udp4", to)
	if err != nil {
		return err
	}
	defer conn.Close()
	raw, err := conn.(*net.UDPConn).SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	if err := raw.Control(func(fd uintptr) {
		serr = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
	}); err != nil {
		return err
	}
	if serr != nil {
		return serr
	}
	_, err = conn.Write(b)
	return err
}
