package dptest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/forward"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// Wire is a plane on real hosts with real interfaces: the hosts of Demo(), an instance behind each of its ports, a NIC of each host, and
// what NorthSouth adds to that.
type Wire interface {
	// Apply programs all hosts.
	Apply(states map[string]*hostplan.State) error
	// Learn says to all hosts which MAC has an address on an external network.
	Learn(external model.NetworkID, addr netip.Addr, mac model.MAC) error
	// Forget empties the tables of connections and fragments and lifts all rate limits.
	Forget() error
	// Send lets the instance of the port, or whoever is on the NIC's wire, send a frame, and gathers what comes of it on all hosts until enough says that
	// nothing more is wanted, or a time is up, and a moment longer. A frame with a Segment is given to the interface to be cut.
	// ErrSkip: no interface takes the frame.
	Send(s Send, enough func(Arrived) bool) (Arrived, error)
}

// Arrived is what came of a frame.
type Arrived struct {
	// To are the frames that instances got, the sender's own included, and, by NIC(host), those that left by a NIC.
	To    map[string][][]byte
	Punts []dataplane.PuntKind
	// Drops counts what all hosts dropped in the meantime.
	Drops map[reason.Reason]uint64
}

// RunWire puts a share of the table of hard packets to a plane between real interfaces, of the kind of that number. A drop's reason is
// told by the plane's counters.
func RunWire(t *testing.T, w Wire, s Share, kind int) {
	plain := false // the hosts are as in Demo()
	for _, c := range Cases() {
		if !s.takes(c.Name, kind) {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			cloud := Demo()
			if c.Change != nil {
				c.Change(cloud)
			}
			if c.Change != nil || !plain {
				apply(t, w, cloud)
			}
			plain = c.Change == nil && !slices.ContainsFunc(c.Sends, func(s Send) bool { return s.Before != nil })
			if err := w.Forget(); err != nil {
				t.Fatal(err)
			}
			if len(cloud.Externals) > 0 {
				for _, a := range []netip.Addr{OutsideRouter, OutsideRouter6} {
					if err := w.Learn(ExternalID(cloud.Externals[0].Name), a, OutsideRouterMAC); err != nil {
						t.Fatal(err)
					}
				}
			}
			for _, m := range cloud.Met {
				if err := w.Learn(NetworkID(m.Network), m.Address, m.MAC); err != nil {
					t.Fatal(err)
				}
			}
			for i, s := range c.Sends {
				if s.Before != nil {
					s.Before(cloud)
					apply(t, w, cloud)
				}
				s.onWire(t, i, w)
			}
		})
	}
}

func apply(t *testing.T, w Wire, c *Cloud) {
	t.Helper()
	if err := w.Apply(c.States()); err != nil {
		t.Fatalf("apply: %v", err)
	}
}

func (s Send) onWire(t *testing.T, i int, w Wire) {
	want := s.arrived()
	got, err := w.Send(s, func(a Arrived) bool { return a.whole(s).text(s.Want.Reason) == want.text(s.Want.Reason) })
	got = got.whole(s)
	// No interface takes a frame without an Ethernet header, and not all take what is to be cut; no other case may be skipped.
	if errors.Is(err, ErrSkip) && (s.Segment > 0 || len(s.Frame) < 14) {
		t.Skip(err)
	} else if err != nil {
		t.Fatalf("frame %d: %v", i, err)
	}
	if diff := cmp.Diff(want.text(s.Want.Reason), got.text(s.Want.Reason)); diff != "" {
		t.Errorf("frame %d: %s\n%s(-want +got)\n%s\ndrops: %v", i, forward.Summary(s.Frame), dump(s.Frame), diff, got.Drops)
	}
}

// arrived is what the Want is on real interfaces, where a reply is a frame like any other.
func (s Send) arrived() Arrived {
	w, from := s.Want, s.From
	if s.NIC != "" {
		from = NIC(s.NIC)
		w.Reply = tagged(w.Reply, s.VLAN)
	}
	if s.Segment > 0 && w.Reply != nil {
		w.Reply = quotePartial(w.Reply, len(s.Frame))
	}
	a := Arrived{To: map[string][][]byte{}, Drops: map[reason.Reason]uint64{}}
	for port, f := range w.To {
		a.To[port] = append(a.To[port], f)
	}
	if w.Reply != nil {
		a.To[from] = append(a.To[from], w.Reply)
	}
	if w.Out != nil {
		c := Demo()
		NorthSouth(c)
		nic := NIC(s.NIC)
		if s.NIC == "" {
			nic = NIC(c.hostOf(s.From))
		}
		a.To[nic] = append(a.To[nic], tagged(w.Out, w.VLAN))
	}
	if w.Told {
		a.Punts = append(a.Punts, dataplane.PuntNeighbor)
	}
	if w.Asked {
		a.Punts = append(a.Punts, dataplane.PuntAsk)
	}
	if w.Punt != 0 {
		a.Punts = append(a.Punts, w.Punt)
	} else if w.Reason != reason.None {
		a.Drops[w.Reason] = 1
	}
	return a
}

// NIC is the name in Arrived.To of what left by a host's NIC.
func NIC(host string) string { return "NIC of " + host }

// tagged is the frame with an 802.1Q tag; vlan 0: as it is.
func tagged(frame []byte, vlan uint16) []byte {
	if vlan == 0 || frame == nil {
		return frame
	}
	return slices.Concat(frame[:12], []byte{0x81, 0, byte(vlan >> 8), byte(vlan)}, frame[12:])
}

// quotePartial is the ICMP error about a TCP frame of that size which was given to the interface to be cut: its checksum, and
// so the quoted one, is that of the pseudo header only.
func quotePartial(reply []byte, size int) []byte {
	b := bytesFrom(reply)
	icmp, head, addrs, n := 34, 20, 12, 4
	if binary.BigEndian.Uint16(b[12:]) == 0x86dd {
		icmp, head, addrs, n = 54, 40, 8, 16
	}
	quote := b[icmp+8:]
	src, dst := addrFrom(quote[addrs:addrs+n]), addrFrom(quote[addrs+n:addrs+2*n])
	binary.BigEndian.PutUint16(quote[head+16:], ^upperChecksum(src, dst, 6, make([]byte, size-14-head)))
	b[icmp+2], b[icmp+3] = 0, 0
	if head == 20 {
		binary.BigEndian.PutUint16(b[icmp+2:], checksum(0, b[icmp:]))
	} else {
		binary.BigEndian.PutUint16(b[icmp+2:], upperChecksum(addrFrom(b[22:38]), addrFrom(b[38:54]), 58, b[icmp:]))
	}
	return b
}

// whole puts the pieces of a frame that was cut together again.
func (a Arrived) whole(s Send) Arrived {
	if s.Segment == 0 {
		return a
	}
	to := map[string][][]byte{}
	for port, frames := range a.To {
		to[port] = join(frames, s.Segment)
	}
	a.To = to
	return a
}

// join makes one frame of TCP segments that follow each other and are no larger than segment: the first one's headers, the
// last one's flags. What does not fit together is left as it is.
func join(frames [][]byte, segment int) [][]byte {
	seq := func(f []byte) uint32 { return binary.BigEndian.Uint32(f[tcpAt(f)+4:]) }
	for _, f := range frames {
		if tcpAt(f) == 0 || !right(f) || len(f)-tcpAt(f)-20 > segment {
			return frames
		}
	}
	frames = slices.SortedFunc(slices.Values(frames), func(a, b []byte) int { return int(int32(seq(a) - seq(b))) })
	var data []byte
	for _, f := range frames {
		if seq(f) != seq(frames[0])+uint32(len(data)) {
			return frames
		}
		data = append(data, f[tcpAt(f)+20:]...)
	}
	if len(frames) == 0 {
		return nil
	}
	first, last := frames[0], frames[len(frames)-1]
	x, _ := turned(first)
	x.Src, x.Dst = x.Dst, x.Src
	x.TTL, x.DF = first[22], true
	if x.Src.Is6() {
		x.TTL = first[21]
	}
	at := tcpAt(first)
	port := func(i int) uint16 { return binary.BigEndian.Uint16(first[at+i:]) }
	return [][]byte{x.TCP(port(0), port(2), last[at+13], data).Frame(model.MAC(first[:6]), model.MAC(first[6:12]))}
}

// tcpAt is where the TCP header of a packet without options starts, 0 if there is none.
func tcpAt(f []byte) int {
	switch {
	case len(f) >= 54 && binary.BigEndian.Uint16(f[12:]) == 0x0800 && f[14] == 0x45 && f[23] == 6:
		return 34
	case len(f) >= 74 && binary.BigEndian.Uint16(f[12:]) == 0x86dd && f[20] == 6:
		return 54
	}
	return 0
}

// right reports whether the TCP checksum is.
func right(f []byte) bool {
	src, dst := f[26:30], f[30:34]
	if tcpAt(f) == 54 {
		src, dst = f[22:38], f[38:54]
	}
	return upperChecksum(addrFrom(src), addrFrom(dst), 6, f[tcpAt(f):]) == 0
}

// text is what arrived in words, and whether anything was dropped for the reason why. Copies of a flood that are refused are
// counted as drops, too, so that other reasons say nothing.
func (a Arrived) text(why reason.Reason) string {
	var b strings.Builder
	if why != reason.None {
		fmt.Fprintf(&b, "dropped because %s: %v\n", forward.Explain(why).What, a.Drops[why] > 0)
	}
	for _, k := range a.Punts {
		fmt.Fprintf(&b, "punt kind %d\n", k)
	}
	for _, port := range slices.Sorted(maps.Keys(a.To)) {
		frames := slices.SortedFunc(slices.Values(a.To[port]), bytes.Compare)
		for _, f := range frames {
			fmt.Fprintf(&b, "to port %s: %s\n%s", port, forward.Summary(f), dump(f))
		}
	}
	return b.String()
}
