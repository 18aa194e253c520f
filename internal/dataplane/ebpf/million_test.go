package ebpf

import (
	"encoding/binary"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/dptest"
)

// flooding is flows from one port against a table, beside replied connections of another port.
type flooding struct {
	table, share  uint32
	others, flood int
}

// A million flows from one port against a table of 100,000: the 10,000 replied connections of another port lose no packet in
// either direction, before, within and after, and the flooder is refused with a reason. Then a table that the flooder may
// fill alone.
func TestMillionFlows(t *testing.T) {
	t.Parallel() // as TestDifferential
	for name, f := range map[string]flooding{
		"a million":    {table: 100_000, others: 10_000, flood: 1_000_000},
		"a full table": {table: 5000, share: 10_000, others: 1000, flood: 20_000},
	} {
		for fam, v6 := range families() {
			t.Run(name+" "+fam, func(t *testing.T) { f.run(t, v6) })
		}
	}
}

func (x flooding) run(t *testing.T, v6 bool) {
	r := runnerOf(t, options{record: true, test: true, conns: x.table})
	w := &flooded{t: t, r: r, cloud: dptest.Demo(), family: map[bool]int{false: 0, true: 1}[v6]}
	for i := range w.cloud.Ports {
		// Answers pass by connections alone: nothing is allowed in but by what went out.
		w.cloud.Ports[i].Policy = dptest.Stateful(dptest.Any(true, false), dptest.Any(true, true))
	}
	r.Apply(w.cloud.States()["compute1"], Limits{ConnShare: x.share})
	for i := range x.others {
		w.both(i)
	}
	f, ports := w.frame("red1", "red2", 1), 34 // UDP
	if v6 {
		ports = 54
	}
	in := weftTestIn{Ifindex: fakeIfindex(r.t.ids[rootEndpoint].find(dptest.PortID("red1").UUID))}
	refused := 0
	for i := range x.flood {
		if step := x.flood / x.others; i%step == 0 { // each connection once within the flood
			w.both(i / step)
			if err := r.coll.Maps["test_input"].Put(uint32(0), &in); err != nil {
				t.Fatal(err)
			}
		}
		binary.BigEndian.PutUint32(f[ports:], uint32(i)+1<<20)
		ret, err := r.coll.Programs["from_instance"].Run(&ebpf.RunOptions{Data: f})
		if err != nil {
			t.Fatal(err)
		}
		if ret != tcRedirect {
			refused++
		}
	}
	// By the counter, not by one more flow: on a slow machine the first flows may be old enough to give way to it.
	var told uint64
	counts := make([]weftCounter, ebpf.MustPossibleCPU())
	key := weftDropKey{Ep: r.t.ids[rootEndpoint].find(dptest.PortID("red1").UUID), Reason: uint32(reason.ConnTableFull)}
	if err := r.coll.Maps["drops"].Lookup(&key, &counts); err != nil {
		t.Errorf("the flooder was not told why: %v", err)
	}
	for _, c := range counts {
		told += c.Packets
	}
	if refused == 0 || told != uint64(refused) { //nolint:gosec // not negative
		t.Errorf("%d flows were refused, %d because the flooder's share was used up", refused, told)
	}
	for i := range x.others {
		w.both(i)
	}
	t.Logf("%d flows against a table of %d, %d refused; %d replied connections lost nothing", x.flood, x.table, refused, x.others)
}

// flooded is a host with instances.
type flooded struct {
	t      *testing.T
	r      *Runner
	cloud  *dptest.Cloud
	family int
}

// frame is a packet of connection i, TCP or UDP, from the one that asks or from red2, which answers.
func (w *flooded) frame(from, to string, i int) []byte {
	ip := dptest.IP{Src: w.cloud.Port(from).Addresses[w.family], Dst: w.cloud.Port(to).Addresses[w.family]}
	src, dst := uint16(10_000+i), uint16(53) //nolint:gosec // small
	if from == "red2" {
		src, dst = dst, src
	}
	if i%2 == 0 {
		return ip.TCP(src, dst, dptest.ACK, make([]byte, 10)).Frame(dptest.PortMAC(to), dptest.PortMAC(from))
	}
	return ip.UDP(src, dst, make([]byte, 10)).Frame(dptest.PortMAC(to), dptest.PortMAC(from))
}

// both sends a packet each way; both arrive.
func (w *flooded) both(i int) {
	w.t.Helper()
	w.passes(Packet{From: dptest.PortID("red3"), Frame: w.frame("red3", "red2", i)}, Tunnel)
	w.passes(Packet{VTEP: w.cloud.Hosts[1].VTEP, VNI: 10, Frame: w.frame("red2", "red3", i)}, Local)
}

func (w *flooded) passes(p Packet, want Verdict) {
	w.t.Helper()
	if o, err := w.r.Run(p); err != nil || o.Verdict != want {
		w.t.Fatalf("%v, %v, %v; want %v", o.Verdict, o.Reason, err, want)
	}
}
