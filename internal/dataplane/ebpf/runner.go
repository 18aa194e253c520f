package ebpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// Verdict is what became of a packet (docs/pipeline.md, section 2). The numbers are those of bpf/lib/maps.h.
type Verdict uint8

// The verdicts.
const (
	Drop Verdict = iota + 1
	Local
	Tunnel
	Flood
	Answer
	PuntedVerdict
	Consumed
	OutsideVerdict
	Pass
)

func (v Verdict) String() string {
	names := [...]string{"none", "drop", "local", "tunnel", "flood", "answer", "punt", "consumed", "outside", "pass"}
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprint(uint8(v))
}

// Target is one copy of a flooded frame: an endpoint here, or a peer.
type Target struct {
	Port model.PortID
	Peer string // host name
}

// Outcome is a decision about one packet, in the State's words.
type Outcome struct {
	Verdict Verdict
	Reason  reason.Reason
	// Port is the endpoint the frame goes to (Local, Answer); Peer and VNI are where it is tunnelled to (Tunnel).
	Port model.PortID
	Peer string
	VNI  uint32
	// NIC and VLAN are where it leaves the host (OutsideVerdict, and Flood if a copy goes there); the NIC by its physical network.
	NIC  string
	VLAN uint16
	// Told: user space was told of a neighbour outside, too; Asked: of a question that has no answer yet.
	Told, Asked bool
	// External and NextHop are those of a punt that has to do with the outside.
	External model.NetworkID
	NextHop  netip.Addr
	// Frame is the packet as it leaves: rewritten, or the answer. Meaningful for Local, Tunnel and Answer.
	Frame []byte
	// Flood are the copies, endpoints by port id, then peers by name; Punt the kind of a punt.
	Flood []Target
	Punt  dataplane.PuntKind
	// Cached: an earlier decision was used; Stored: this one was remembered.
	Cached, Stored bool
	// Rule is the security group rule that allowed it, if any did.
	Rule model.UUID
}

// tcRedirect is TC_ACT_REDIRECT, tcUnspec TC_ACT_UNSPEC; sent are the verdicts that end in the former.
const (
	tcRedirect = 7
	tcUnspec   = -1
)

var sent = map[Verdict]bool{Local: true, Tunnel: true, Answer: true, OutsideVerdict: true}

// ErrNotRunnable is returned for frames that BPF_PROG_RUN refuses, though an interface may carry them: shorter than their
// Ethernet and IP headers, or longer than a page.
var ErrNotRunnable = errors.New("BPF_PROG_RUN takes no such frame")

// Packet is what a program is run on.
type Packet struct {
	// From is the endpoint that sends it; zero: it comes from the overlay, from VTEP with VNI.
	From model.PortID
	VTEP netip.Addr
	VNI  uint32
	// Physnet, if not empty: it comes from the NIC behind that, with the tag VLAN.
	Physnet string
	VLAN    uint16
	// Frame begins with the Ethernet header. GSOSize is the payload of one segment; 0: no GSO.
	Frame   []byte
	GSOSize uint32
}

// Runner runs the data plane's programs on single packets by BPF_PROG_RUN, in maps of its own: the very programs that carry
// traffic, compiled from the same State, without an interface. It needs root, and is not safe for concurrent use.
type Runner struct {
	coll *ebpf.Collection
	t    *tables
	s    *hostplan.State
	c    *compiler
	rd   *ringbuf.Reader
	// nics are the interface indexes that physical networks were given.
	nics map[string]uint32
	// away is Desired.Away of the next Apply, unsettled Result.Unsettled of the last.
	away      time.Duration
	unsettled bool
	// limits are those of the last Apply, and clean says that all of it was done.
	limits Limits
	clean  bool
}

// NewRunner loads the programs. Close frees them.
func NewRunner() (*Runner, error) { return newRunner(options{record: true, test: true}) }

func newRunner(o options) (*Runner, error) {
	coll, err := load(o)
	if err != nil {
		return nil, err
	}
	rd, err := ringbuf.NewReader(coll.Maps["punts"])
	if err != nil {
		coll.Close()
		return nil, fmt.Errorf("open the ring buffer of punts: %w", err)
	}
	return &Runner{coll: coll, t: newTables(coll), rd: rd, nics: map[string]uint32{}}, nil
}

// Close frees programs and maps.
func (r *Runner) Close() {
	r.rd.Close() //nolint:errcheck // nothing is written
	r.coll.Close()
}

// Apply programs a State; every endpoint has a device. Rates that are 0 mean no limit here. It returns what could not be
// carried out.
func (r *Runner) Apply(s *hostplan.State, limits Limits) []hostplan.Problem {
	if r.clean && r.limits == limits && s.OnlySets(r.s) && r.t.syncSets(s, true) {
		r.s, r.c.s = s, s
		return nil
	}
	c, host := compile(r.t, s, r.hardware(s), limits)
	host.VxlanIfindex, host.ErrorRate = 9, 0
	host.StormRate, host.PuntRate, host.AskRate, host.EventRate = limits.StormRate, limits.PuntRate, limits.AskRate, limits.EventRate
	r.s, r.c = s, c
	failed := r.t.sync(host, true)
	var err error
	if r.unsettled, err = c.syncLearned(dataplane.Desired{InSync: true, Away: r.away}); err != nil {
		failed[root{}] = err
	}
	problems := c.failures(failed)
	r.limits, r.clean = limits, len(problems) == 0 && !r.unsettled
	return problems
}

// hardware gives every endpoint and physical network an interface.
func (r *Runner) hardware(s *hostplan.State) hardware {
	hw := hardware{ports: map[string]port{}, physical: map[string][]nic{}}
	device := func(id model.PortID, name string) {
		if slot, err := r.t.ids[rootEndpoint].of(id.UUID); err == nil {
			hw.ports[name] = port{ifindex: fakeIfindex(slot)}
		}
	}
	for _, e := range s.Endpoints {
		device(e.Port, e.Device)
	}
	for _, x := range s.Centrals {
		if x.Gateway != nil {
			device(x.Gateway.Port, x.OuterDevice)
		}
	}
	for _, n := range s.Networks {
		r.nic(hw, n.Physnet)
	}
	for _, x := range s.Externals {
		r.nic(hw, x.Physnet)
	}
	return hw
}

// NICMAC is the MAC that the Runner's NICs have themselves.
var NICMAC = model.MAC{2, 0, 0, 0, 0xee, 1}

// nic gives a physical network an interface.
func (r *Runner) nic(hw hardware, physnet string) {
	if physnet == "" {
		return
	}
	if r.nics[physnet] == 0 {
		r.nics[physnet] = 500 + uint32(len(r.nics)) //nolint:gosec // a few
	}
	hw.physical[physnet] = []nic{{ifindex: r.nics[physnet], mac: NICMAC}}
}

// Learn says who has an address on an external network.
func (r *Runner) Learn(external model.NetworkID, addr netip.Addr, mac model.MAC) error {
	slot := r.t.ids[rootNetwork].find(external.UUID)
	changed, err := learn(r.coll, slot, addr, mac)
	if err == nil && changed {
		err = r.t.networks.void(r.t.gens, slot)
	}
	return err
}

func fakeIfindex(slot uint32) uint32 { return 1000 + slot }

// Forget empties the caches of flows, connections and fragments.
func (r *Runner) Forget() error { return forget(r.coll, r.t.gens) }

func forget(coll *ebpf.Collection, g *generations) error {
	for _, name := range []string{"flow", "conn", "frag", "outer", "learned", "heard"} {
		m := coll.Maps[name]
		k, v := make([]byte, m.KeySize()), make([]byte, m.ValueSize())
		var keys [][]byte
		it := m.Iterate()
		for it.Next(&k, &v) {
			keys = append(keys, slices.Clone(k))
		}
		for _, k := range keys {
			_ = m.Delete(k) // evicted meanwhile is as good
		}
	}
	g.unpublished++ // what the processors met lately belongs to a former epoch now
	return g.publish()
}

// Run puts one packet to the programs.
func (r *Runner) Run(p Packet) (Outcome, error) {
	prog, err := r.enter(p)
	if err != nil {
		return Outcome{}, err
	}

	recs := make([]weftRecord, ebpf.MustPossibleCPU())
	if err := r.coll.Maps["decision"].Put(uint32(0), recs); err != nil {
		return Outcome{}, fmt.Errorf("clear the decision record: %w", err)
	}
	opts := ebpf.RunOptions{Data: p.Frame, DataOut: make([]byte, len(p.Frame)+2048)}
	if p.GSOSize != 0 {
		opts.Context = &skbContext{GSOSize: p.GSOSize}
	}
	ret, err := prog.Run(&opts)
	if errors.Is(err, unix.EINVAL) {
		return Outcome{}, fmt.Errorf("%w: %d bytes", ErrNotRunnable, len(p.Frame))
	} else if err != nil {
		return Outcome{}, fmt.Errorf("run the program: %w", err)
	}
	if err := r.coll.Maps["decision"].Lookup(uint32(0), &recs); err != nil {
		return Outcome{}, fmt.Errorf("read the decision record: %w", err)
	}
	for _, rec := range recs {
		if rec.Verdict != 0 {
			if redirected := ret == tcRedirect; redirected != sent[Verdict(rec.Verdict)] {
				return Outcome{}, fmt.Errorf("the program recorded verdict %v and returned %d", Verdict(rec.Verdict), ret)
			}
			return r.outcome(rec, opts.DataOut)
		}
	}
	if p.Physnet != "" && int32(ret) == tcUnspec { //nolint:gosec // a negative number
		return Outcome{Verdict: Pass}, nil // let go before anything was looked at
	}
	return Outcome{}, fmt.Errorf("the program wrote no decision")
}

// enter says where the packet comes from, and returns the program that it meets first.
func (r *Runner) enter(p Packet) (*ebpf.Program, error) {
	in := weftTestIn{Vni: p.VNI}
	prog := r.coll.Programs["from_instance"]
	if p.Physnet != "" {
		prog = r.coll.Programs["from_physical"]
		in.Ifindex, in.Vlan = r.nics[p.Physnet], uint32(p.VLAN)
	} else if p.From.IsZero() {
		prog = r.coll.Programs["from_overlay"]
		in.Vtep = ip16(p.VTEP)
	} else {
		in.Ifindex = fakeIfindex(r.t.ids[rootEndpoint].find(p.From.UUID))
	}
	if err := r.coll.Maps["test_input"].Put(uint32(0), &in); err != nil {
		return nil, fmt.Errorf("write test_input: %w", err)
	}
	return prog, nil
}

// Measure runs the programs n times on a packet that is delivered as it is or tunnelled, and returns the mean time of one
// run. What the first run makes, a connection or a flow, the others find.
func (r *Runner) Measure(p Packet, n int) (time.Duration, error) {
	prog, err := r.enter(p)
	if err != nil {
		return 0, err
	}
	_, took, err := prog.Benchmark(p.Frame, n, nil)
	if err != nil {
		return 0, fmt.Errorf("run the program: %w", err)
	}
	return took, nil
}

// skbContext is struct __sk_buff as BPF_PROG_RUN takes it.
type skbContext struct {
	_       [176]byte
	GSOSize uint32
	_       [12]byte
}

func (r *Runner) outcome(rec weftRecord, frame []byte) (Outcome, error) {
	o := Outcome{Verdict: Verdict(rec.Verdict), Reason: reason.Reason(rec.Reason), Cached: rec.Flags&1 != 0, Stored: rec.Flags&2 != 0,
		Punt: dataplane.PuntKind(rec.Punt), Told: rec.Flags&32 != 0, Asked: rec.Flags&64 != 0}
	if o.Told || o.Asked {
		rc, err := r.rd.Read()
		if err != nil {
			return o, fmt.Errorf("read what user space was told: %w", err)
		}
		told := punted(rc.RawSample)
		o.External, o.NextHop = told.External, told.NextHop
	}
	switch o.Verdict {
	case Local:
		o.Port, o.Frame = r.portOf(rec.EpDst), frame
	case Answer:
		o.Port, o.Frame = r.portOf(rec.Ep), frame
	case Tunnel:
		o.Peer, o.VNI, o.Frame = r.hostOf(rec.Peer), rec.Vni, frame
	case OutsideVerdict:
		o.NIC, o.VLAN, o.Frame = r.physnetOf(rec.Ifindex), uint16(rec.Vni), frame //nolint:gosec // 12 bits
		for k, v := range r.t.physicalNets.have {
			if k.Ifindex == rec.Ifindex && k.Vlan == rec.Vni {
				o.External = model.NetworkID{UUID: r.t.networks.have[v.Net].Uuid}
			}
		}
	case Flood:
		if rec.Flags&16 != 0 {
			n := r.t.networks.have[rec.Net]
			o.NIC, o.VLAN = r.physnetOf(n.PhysIfindex), uint16(n.PhysVlan) //nolint:gosec // 12 bits
			o.External = model.NetworkID{UUID: n.Uuid}
		}
		for i := range rec.Targets {
			var v weftFloodVal
			if err := r.coll.Maps["clones"].Lookup(i, &v); err != nil {
				return o, fmt.Errorf("read the flood targets: %w", err)
			}
			if v.Ep != 0 {
				o.Flood = append(o.Flood, Target{Port: r.portOf(v.Ep)})
			} else {
				o.Flood = append(o.Flood, Target{Peer: r.hostOf(v.Peer)})
			}
		}
	case PuntedVerdict:
		rc, err := r.rd.Read()
		if err != nil {
			return o, fmt.Errorf("read the punted packet: %w", err)
		}
		u := punted(rc.RawSample)
		o.Frame, o.External, o.NextHop = u.Frame, u.External, u.NextHop
	default:
	}
	if rec.Rule != 0 {
		o.Rule = r.t.ruleOf(rec.Rule)
	}
	return o, nil
}

func (r *Runner) portOf(slot uint32) model.PortID {
	return model.PortID{UUID: r.t.endpoints.have[slot].Uuid}
}

func (r *Runner) physnetOf(ifindex uint32) string {
	for name, i := range r.nics {
		if i == ifindex {
			return name
		}
	}
	return ""
}

func (r *Runner) hostOf(slot uint32) string {
	a := addrOf(r.t.peers.have[slot].Vtep)
	for _, p := range r.s.Peers {
		if p.VTEP == a {
			return p.Host
		}
	}
	return ""
}

// punted decodes a record of the ring buffer of punts.
func punted(b []byte) dataplane.Punt {
	const head, outside, flag = 24, 32, 0x8000
	if len(b) < head {
		return dataplane.Punt{}
	}
	kind := binary.NativeEndian.Uint16(b[20:])
	p := dataplane.Punt{Kind: dataplane.PuntKind(kind &^ flag), Port: model.PortID{UUID: model.UUID(b[:16])}} //nolint:gosec // a small enumeration
	at := head
	if kind&flag != 0 {
		if at += outside; len(b) < at {
			return dataplane.Punt{}
		}
		p.External = model.NetworkID{UUID: model.UUID(b[head : head+16])}
		if hop := netip.AddrFrom16([16]byte(b[head+16 : at])).Unmap(); !hop.IsUnspecified() {
			p.NextHop = hop
		}
	}
	n := min(int(binary.NativeEndian.Uint16(b[22:])), len(b)-at)
	p.Frame = slices.Clone(b[at : at+n])
	return p
}
