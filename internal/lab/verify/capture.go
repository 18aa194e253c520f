package verify

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/weft-cloud/weft/internal/linux"
)

// Point is an interface that is captured on.
type Point struct {
	Where, Netns, Interface string
	kind                    pointKind
}

type pointKind uint8

const (
	hostNIC   pointKind = iota + 1 // a host's physical interface
	hostPort                       // the host's side of an instance's interface
	guestPort                      // the instance's side
)

func capturePoints(t Topology) []Point {
	var out []Point
	netns := map[string]string{}
	for _, h := range t.Hosts {
		netns[h.Name] = h.Netns
		for _, nic := range h.NICs {
			out = append(out, Point{h.Name, h.Netns, nic, hostNIC})
		}
	}
	for _, in := range t.Instances {
		if in.Device != "" {
			out = append(out, Point{in.Host, netns[in.Host], in.Device, hostPort})
		}
		out = append(out, Point{in.Name, in.Netns, in.Interface, guestPort})
	}
	if t.Outside.Netns != "" {
		out = append(out, Point{t.Outside.Name, t.Outside.Netns, t.Outside.Interface, guestPort})
	}
	return out
}

// captured is a frame and where it was seen, by index of the point.
type captured struct {
	linux.Frame
	point int
}

// sniffer captures on many interfaces at once.
type sniffer struct {
	caps []*linux.Capture
	wg   sync.WaitGroup

	mu     sync.Mutex // guards what follows
	frames []captured
	err    error
}

// snapLength keeps whole packets but for large segments.
const snapLength = 2048

// openSniffer returns once every capture runs.
func openSniffer(points []Point) (*sniffer, error) {
	s := &sniffer{}
	for i, p := range points {
		c, err := linux.OpenCapture(p.Netns, p.Interface, snapLength)
		if err != nil {
			s.close() //nolint:errcheck // the first error is the one that matters
			return nil, fmt.Errorf("%s: %w", p.Where, err)
		}
		s.caps = append(s.caps, c)
		s.wg.Add(1)
		go s.read(i, c)
	}
	return s, nil
}

func (s *sniffer) read(point int, c *linux.Capture) {
	defer s.wg.Done()
	for {
		f, err := c.Read()
		s.mu.Lock()
		if err == nil {
			s.frames = append(s.frames, captured{f, point})
		} else if !errors.Is(err, os.ErrClosed) && s.err == nil {
			s.err = fmt.Errorf("capture: %w", err)
		}
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// close ends the captures and returns the frames by time, and how many were lost.
func (s *sniffer) close() ([]captured, uint32, error) {
	var dropped uint32
	var err error
	for _, c := range s.caps {
		d, derr := c.Dropped()
		dropped += d
		err = errors.Join(err, derr, c.Close())
	}
	s.wg.Wait()
	slices.SortStableFunc(s.frames, func(a, b captured) int { return a.Time.Compare(b.Time) })
	return s.frames, dropped, errors.Join(s.err, err)
}

// WritePcap writes all that was captured as pcapng, an interface for each point ("compute1 enp0s8").
func (r *Report) WritePcap(w io.Writer) error {
	if len(r.points) == 0 {
		return errors.New("write capture: nothing was captured")
	}
	describe := func(p Point) pcapgo.NgInterface {
		return pcapgo.NgInterface{Name: p.Where + " " + p.Interface, LinkType: layers.LinkTypeEthernet, SnapLength: snapLength, TimestampResolution: 9}
	}
	ng, err := pcapgo.NewNgWriterInterface(w, describe(r.points[0]), pcapgo.DefaultNgWriterOptions)
	if err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	for _, p := range r.points[1:] {
		if _, err := ng.AddInterface(describe(p)); err != nil {
			return fmt.Errorf("write capture: %w", err)
		}
	}
	for _, f := range r.frames {
		ci := gopacket.CaptureInfo{Timestamp: f.Time, CaptureLength: len(f.Data), Length: f.Length, InterfaceIndex: f.point}
		if err := ng.WritePacket(ci, f.Data); err != nil {
			return fmt.Errorf("write capture: %w", err)
		}
	}
	if err := ng.Flush(); err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	return nil
}
