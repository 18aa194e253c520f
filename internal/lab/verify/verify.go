// Package verify proves by packet capture which way traffic goes in a lab.
//
// It captures on every interface of every host and instance at once, sends marked packets between every pair of
// instances, and compares where they were really seen with where distributed routing must take them. Judging is pure
// (judge.go); nothing that is reported was not captured.
package verify

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"time"

	"golang.org/x/sync/errgroup"
)

// Host is a machine with physical interfaces.
type Host struct {
	Name, Netns string
	VTEP        netip.Addr
	// NICs are the interfaces to capture on; the underlay's first.
	NICs []string
	// Controller: no packet between instances may be seen here.
	Controller bool
}

// Instance is an end of the traffic.
type Instance struct {
	Name, Netns, Interface string
	Host                   string
	Tenant                 string
	Network                string
	NetworkID              string
	VNI                    uint32
	MAC                    string
	// Device is the interface on the host's side.
	Device string
	Addrs  []netip.Addr
	// Central: its router is centralized, on the host Controller.
	Central bool
}

func (in Instance) addr(v6 bool) netip.Addr {
	for _, a := range in.Addrs {
		if a.Is6() == v6 {
			return a
		}
	}
	return netip.Addr{}
}

// Topology is what is looked at.
type Topology struct {
	Hosts     []Host
	Instances []Instance
	// Outside is a machine on the external network; without a Netns there is none.
	Outside  Instance
	Journeys []Journey
}

// Options of a Run.
type Options struct {
	// Count is the number of measured echo requests for each pair and family.
	Count int
	// Timeout bounds the wait for one answer.
	Timeout time.Duration
}

// Report is the outcome.
type Report struct {
	OK        bool      `json:"ok"`
	Rows      []Row     `json:"rows"`
	Passages  []Passage `json:"passages"`
	Isolation Isolation `json:"isolation"`
	Pairs     []Pair    `json:"pairs"`
	// Dropped is the number of frames that the captures lost; a verdict needs it to be 0.
	Dropped uint32 `json:"capture_dropped"`

	frames []captured // for WritePcap
	points []Point
}

// Row is a line of the reference table, for one address family.
type Row struct {
	Subnet   string  `json:"subnet"` // "same" or "different"
	Host     string  `json:"host"`   // "same" or "different"
	Router   string  `json:"router"` // "distributed" or "centralized"
	Family   string  `json:"family"` // "IPv4" or "IPv6"
	Expected string  `json:"expected"`
	Measured string  `json:"measured"`
	Pairs    int     `json:"pairs"`
	Good     int     `json:"good"`
	RTT      float64 `json:"rtt_ms"` // median over pairs
	TTL      int     `json:"ttl"`    // of the request as it arrived; 0: none arrived
	VNIs     []int   `json:"vnis"`
	// ControllerSaw counts packets of these pairs seen on the controller.
	ControllerSaw int  `json:"controller_saw"`
	OK            bool `json:"ok"`
	// Example is one pair with its path.
	Example *Pair `json:"example,omitempty"`
}

// Pair is what was measured from one instance to another in one family.
type Pair struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Family string `json:"family"`
	Src    string `json:"src"`
	Dst    string `json:"dst"`
	Sent   int    `json:"sent"`
	Got    int    `json:"answered"`
	// RTT is the median, in milliseconds.
	RTT float64 `json:"rtt_ms"`
	TTL int     `json:"ttl"`
	// Request and Reply are where one echo request, and the answer to it, was seen.
	Request []Hop `json:"request"`
	Reply   []Hop `json:"reply"`
	// ControllerSaw counts all packets of the pair that the controller saw.
	ControllerSaw int `json:"controller_saw"`
	// HTTP is what greeted on port 80 ("" = nobody).
	HTTP   string   `json:"http"`
	Faults []string `json:"faults"`
}

// OK reports that nothing is wrong.
func (p *Pair) OK() bool { return len(p.Faults) == 0 }

// Isolation says whether anything crossed from one tenant to another.
type Isolation struct {
	Tenants int      `json:"tenants"`
	Probes  int      `json:"probes"`
	Crossed int      `json:"crossed"`
	Faults  []string `json:"faults"`
	OK      bool     `json:"ok"`
}

// settle is how long captures are left open after the last packet, so that stray ones are seen.
const settle = 300 * time.Millisecond

// Run does it all. The error is for a verification that could not be made; a bad verdict is in the Report.
func Run(ctx context.Context, t Topology, o Options) (*Report, error) {
	if len(t.Instances) < 2 {
		return nil, fmt.Errorf("there are %d instances; verification needs two or more: boot some with `weft lab boot`", len(t.Instances))
	}
	var run runID
	rand.Read(run[:]) //nolint:errcheck // it never fails (crypto/rand)
	points := capturePoints(t)
	sniff, err := openSniffer(points)
	if err != nil {
		return nil, err
	}
	pairs := pairsOf(t)
	journeys := journeyTasks(t.Journeys, len(pairs))
	probes := crossings(t, len(pairs)+len(journeys))
	err = send(ctx, run, slices.Concat(pairs, journeys), probes, o)
	if err == nil {
		err = sleep(ctx, settle)
	}
	frames, dropped, cerr := sniff.close()
	if err == nil {
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	rep := &Report{Dropped: dropped, frames: frames, points: points}
	rep.judge(t, tasks{pairs, journeys, probes}, sightings(run, points, frames))
	return rep, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// task is one pair in one family.
type task struct {
	id       uint32
	from, to Instance
	v6       bool
	journey  *Journey // nil: from instance to instance by their own addresses
	result   measured
}

// tasks are all of a run.
type tasks struct{ pairs, journeys, probes []*task }

// measured is what the sender saw.
type measured struct {
	sent, got int
	rtts      []time.Duration
	http      string
}

// pairsOf are all ordered pairs of a tenant, in each family that both have.
func pairsOf(t Topology) []*task {
	var out []*task
	for _, v6 := range []bool{false, true} {
		for _, a := range t.Instances {
			for _, b := range t.Instances {
				if a.Name != b.Name && a.Tenant == b.Tenant && a.addr(v6).IsValid() && b.addr(v6).IsValid() {
					out = append(out, &task{id: uint32(len(out)), from: a, to: b, v6: v6}) //nolint:gosec // a few hundred
				}
			}
		}
	}
	return out
}

// crossings are probes to every address of every other tenant's instances, except a sender's own addresses.
func crossings(t Topology, first int) []*task {
	var out []*task
	for _, v6 := range []bool{false, true} {
		for _, a := range t.Instances {
			for _, b := range t.Instances {
				if a.Tenant != b.Tenant && !a.Central && !b.Central && a.addr(v6).IsValid() && b.addr(v6).IsValid() && !slices.Contains(a.Addrs, b.addr(v6)) {
					out = append(out, &task{id: uint32(first + len(out)), from: a, to: b, v6: v6}) //nolint:gosec // a few hundred
				}
			}
		}
	}
	return out
}

// send warms all pairs up side by side, so that the first packets resolve what there is to resolve; then it measures one
// pair after the other.
func send(ctx context.Context, run runID, pairs, probes []*task, o Options) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(64)
	for _, t := range pairs {
		g.Go(func() error { return warmUp(gctx, run, t, o.Timeout) })
	}
	for _, t := range probes { // which nobody should answer
		g.Go(func() error { return warmUp(gctx, run, t, o.Timeout/4) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, p := range pairs {
		if p.result.got == 0 { // nobody answered the warm-up: more of the same takes only time
			continue
		}
		p.result = measured{}
		if err := p.measure(ctx, run, o); err != nil {
			return err
		}
	}
	return nil
}

func median[T interface{ ~int64 | ~float64 }](v []T) T {
	if len(v) == 0 {
		return 0
	}
	s := slices.Clone(v)
	sort.Slice(s, func(i, j int) bool { return s[i] < s[j] })
	return s[len(s)/2]
}
