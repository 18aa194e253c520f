package dptest

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/forward"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// Plane is one host's data plane under test.
type Plane interface {
	// Apply programs the State, as if every endpoint had its device. Connections, fragments and what was learned survive it.
	Apply(s *hostplan.State) error
	// Forget empties the tables of connections, fragments and what was learned, and lifts all rate limits.
	Forget() error
	// Learn says which MAC has an address on an external network.
	Learn(external model.NetworkID, addr netip.Addr, mac model.MAC) error
	// Send puts one frame in and says what came out of it. ErrSkip: the frame cannot be put in.
	Send(in forward.Input, frame []byte) (Outcome, error)
}

// Outcome is what became of one frame. Outputs may be in any order; of a tunnel output Peer may be left empty.
type Outcome struct {
	Outputs []forward.Output
	Reason  reason.Reason
	// Rule is the security group rule that let it through, the sender's before the receiver's; only of what is delivered or
	// tunnelled.
	Rule model.UUID
	// Cached: the plane used a decision that it had made before. Not compared; planes that cannot tell leave it out.
	Cached bool
}

// Aging is what a Plane may be able to do besides, so that no test has to wait: time passes.
type Aging interface {
	// Settle lets more than a second pass: remembered decisions look at their connections again.
	Settle() error
	// Expire lets all time-outs of connections and fragments pass.
	Expire() error
}

// Oracle is internal/forward as a Plane.
type Oracle struct {
	host    *forward.Host
	conns   *forward.Conns
	learned *forward.Learned
	// Last is the Result behind the last Outcome.
	Last forward.Result
}

// Apply implements Plane.
func (o *Oracle) Apply(s *hostplan.State) error {
	o.host = forward.NewHost(s)
	o.conns, o.learned = o.conns.Keep(o.host), o.learned.Keep(o.host)
	return nil
}

// Forget implements Plane.
func (o *Oracle) Forget() error {
	o.conns, o.learned = nil, nil
	return nil
}

// Settle implements Aging.
func (o *Oracle) Settle() error {
	o.conns = o.conns.Settle()
	return nil
}

// Expire implements Aging.
func (o *Oracle) Expire() error {
	o.conns = o.conns.Expire()
	return nil
}

// Learn implements Plane.
func (o *Oracle) Learn(external model.NetworkID, addr netip.Addr, mac model.MAC) error {
	o.conns = o.conns.Learn(external, addr, mac)
	return nil
}

// Send implements Plane.
func (o *Oracle) Send(in forward.Input, frame []byte) (Outcome, error) {
	in.Conns, in.Learned = o.conns, o.learned
	o.Last = forward.Step(o.host, in, frame)
	o.conns, o.learned = o.Last.Conns, o.Last.Learned
	return Outcome{Outputs: o.Last.Outputs, Reason: o.Last.Reason, Rule: o.Last.Rule}.sent(), nil
}

// sent forgets the rule of what went nowhere.
func (o Outcome) sent() Outcome {
	if !slices.ContainsFunc(o.Outputs, func(x forward.Output) bool {
		return x.Kind == forward.Deliver || x.Kind == forward.Tunnel || x.Kind == forward.Outside
	}) {
		o.Rule = model.UUID{}
	}
	return o
}

func compareOutputs(a, b forward.Output) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), a.Port.Compare(b.Port.UUID), a.VTEP.Compare(b.VTEP), cmp.Compare(a.VNI, b.VNI),
		cmp.Compare(a.Punt, b.Punt), cmp.Compare(a.Physnet, b.Physnet), cmp.Compare(a.VLAN, b.VLAN), a.External.Compare(b.External.UUID),
		a.NextHop.Compare(b.NextHop), bytes.Compare(a.Frame, b.Frame))
}

// equal compares two Outcomes, whatever the order of their outputs.
func (o Outcome) equal(p Outcome) bool {
	if o.Reason != p.Reason || o.Rule != p.Rule || len(o.Outputs) != len(p.Outputs) {
		return false
	}
	if len(o.Outputs) > 1 {
		o.Outputs = slices.SortedFunc(slices.Values(o.Outputs), compareOutputs)
		p.Outputs = slices.SortedFunc(slices.Values(p.Outputs), compareOutputs)
	}
	return slices.EqualFunc(o.Outputs, p.Outputs, func(a, b forward.Output) bool { return compareOutputs(a, b) == 0 })
}

// text is an Outcome in words, outputs sorted, each frame with its bytes, so that two can be compared as text.
func (o Outcome) text(names forward.Names) string {
	outs := slices.SortedFunc(slices.Values(o.Outputs), compareOutputs)
	var b strings.Builder
	fmt.Fprintf(&b, "reason %d: %s\nrule %s\n", o.Reason, forward.Explain(o.Reason).What, o.Rule)
	for _, x := range outs {
		switch x.Kind {
		case forward.Deliver:
			fmt.Fprintf(&b, "to port %s", name(names, x.Port))
		case forward.Reply:
			fmt.Fprintf(&b, "back to port %s", name(names, x.Port))
		case forward.Tunnel:
			fmt.Fprintf(&b, "to %s, VNI %d", x.VTEP, x.VNI)
		case forward.Punt:
			fmt.Fprintf(&b, "punt kind %d from port %s, external %s, next hop %s", x.Punt, name(names, x.Port), x.External, x.NextHop)
		case forward.Outside:
			fmt.Fprintf(&b, "out on %s, VLAN %d, external %s", x.Physnet, x.VLAN, x.External)
		case forward.ToHost:
			b.WriteString("to the host")
		}
		fmt.Fprintf(&b, ": %s\n%s", forward.Summary(x.Frame), dump(x.Frame))
	}
	return b.String()
}

func name(names forward.Names, id model.PortID) string {
	if names != nil {
		if n := names(id.UUID); n != "" {
			return n
		}
	}
	return id.String()
}

// dump is a frame in hexadecimal, 16 bytes a line.
func dump(b []byte) string {
	var s strings.Builder
	for i := 0; i < len(b); i += 16 {
		fmt.Fprintf(&s, "    %04x  % x\n", i, b[i:min(i+16, len(b))])
	}
	return s.String()
}

// text is a Want in words, to be compared as text.
func (w Want) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "reason %d: %s\n", w.Reason, forward.Explain(w.Reason).What)
	if w.Punt != 0 {
		fmt.Fprintf(&b, "punt kind %d\n", w.Punt)
	}
	if w.Reply != nil {
		fmt.Fprintf(&b, "back to the sender: %s\n%s", forward.Summary(w.Reply), dump(w.Reply))
	}
	if w.Out != nil {
		fmt.Fprintf(&b, "out of the NIC, VLAN %d: %s\n%s", w.VLAN, forward.Summary(w.Out), dump(w.Out))
	}
	fmt.Fprintf(&b, "to the host %v, told %v, asked %v\n", w.ToHost, w.Told, w.Asked)
	for _, port := range slices.Sorted(maps.Keys(w.To)) {
		fmt.Fprintf(&b, "to port %s: %s\n%s", port, forward.Summary(w.To[port]), dump(w.To[port]))
	}
	return b.String()
}
