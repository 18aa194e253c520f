package ebpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

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
)

func (v Verdict) String() string {
	names := [...]string{"none", "drop", "local", "tunnel", "flood", "answer", "punt", "consumed"}
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

// tcRedirect is TC_ACT_REDIRECT; sent are the verdicts that end in it.
const tcRedirect = 7

var sent = map[Verdict]bool{Local: true, Tunnel: true, Answer: true}

// ErrNotRunnable is returned for frames that BPF_PROG_RUN refuses, though an interface may carry them: shorter than their
// Ethernet and IP headers, or longer than a page.
var ErrNotRunnable = errors.New("BPF_PROG_RUN takes no such frame")

// Packet is what a program is run on.
type Packet struct {
	// From is the endpoint that sends it; zero: it comes from the overlay, from VTEP with VNI.
	From model.PortID
	VTEP netip.Addr
	VNI  uint32
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
}

// NewRunner loads the programs. Close frees them.
func NewRunner() (*Runner, error) {
	coll, err := load(options{record: true, test: true})
	if err != nil {
		return nil, err
	}
	rd, err := ringbuf.NewReader(coll.Maps["punts"])
	if err != nil {
		coll.Close()
		return nil, fmt.Errorf("open the ring buffer of punts: %w", err)
	}
	return &Runner{coll: coll, t: newTables(coll.Maps), rd: rd}, nil
}

// Close frees programs and maps.
func (r *Runner) Close() {
	r.rd.Close() //nolint:errcheck // nothing is written
	r.coll.Close()
}

// Apply programs a State; every endpoint has a device. Rates that are 0 mean no limit here. It returns what could not be
// carried out.
func (r *Runner) Apply(s *hostplan.State, limits Limits) []hostplan.Problem {
	ports := map[string]port{}
	for _, e := range s.Endpoints {
		if slot, err := r.t.ids[rootEndpoint].of(e.Port.UUID); err == nil {
			ports[e.Device] = port{ifindex: fakeIfindex(slot)}
		}
	}
	c, host := compile(r.t, s, ports, limits)
	host.VxlanIfindex, host.ErrorRate = 9, 0
	host.StormRate, host.PuntRate, host.AskRate, host.EventRate = limits.StormRate, limits.PuntRate, limits.AskRate, limits.EventRate
	r.s, r.c = s, c
	return c.failures(r.t.sync(host, true))
}

func fakeIfindex(slot uint32) uint32 { return 1000 + slot }

// Forget empties the caches of flows, connections and fragments.
func (r *Runner) Forget() error { return forget(r.coll, r.t.gens) }

func forget(coll *ebpf.Collection, g *generations) error {
	for _, name := range []string{"flow", "conn", "frag"} {
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
	in := weftTestIn{Vni: p.VNI}
	prog := r.coll.Programs["from_instance"]
	if p.From.IsZero() {
		prog = r.coll.Programs["from_overlay"]
		in.Vtep = ip16(p.VTEP)
	} else {
		in.Ifindex = fakeIfindex(r.t.ids[rootEndpoint].find(p.From.UUID))
	}
	if err := r.coll.Maps["test_input"].Put(uint32(0), &in); err != nil {
		return Outcome{}, fmt.Errorf("write test_input: %w", err)
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
	return Outcome{}, fmt.Errorf("the program wrote no decision")
}

// skbContext is struct __sk_buff as BPF_PROG_RUN takes it.
type skbContext struct {
	_       [176]byte
	GSOSize uint32
	_       [12]byte
}

func (r *Runner) outcome(rec weftRecord, frame []byte) (Outcome, error) {
	o := Outcome{Verdict: Verdict(rec.Verdict), Reason: reason.Reason(rec.Reason), Cached: rec.Flags&1 != 0, Stored: rec.Flags&2 != 0,
		Punt: dataplane.PuntKind(rec.Punt)}
	switch o.Verdict {
	case Local:
		o.Port, o.Frame = r.portOf(rec.EpDst), frame
	case Answer:
		o.Port, o.Frame = r.portOf(rec.Ep), frame
	case Tunnel:
		o.Peer, o.VNI, o.Frame = r.hostOf(rec.Peer), rec.Vni, frame
	case Flood:
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
		o.Frame = punted(rc.RawSample).Frame
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
	const head = 24
	if len(b) < head {
		return dataplane.Punt{}
	}
	n := min(int(binary.NativeEndian.Uint16(b[22:])), len(b)-head)
	return dataplane.Punt{Kind: dataplane.PuntKind(binary.NativeEndian.Uint16(b[20:])), //nolint:gosec // a small enumeration
		Port: model.PortID{UUID: model.UUID(b[:16])}, Frame: slices.Clone(b[head : head+n])}
}
