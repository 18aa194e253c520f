package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane/ebpf"
	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/hostplan"
)

// policyCost is what a packet between two instances of one host, both with stateful groups, costs the programs.
type policyCost struct {
	Of     string `json:"of"` // "rules" or "members" of a remote group
	Count  int    `json:"count"`
	Family string `json:"family"`
	// Established is a packet of a known flow, Decided one of a known connection that is judged anew each time (it has IP
	// options, or an extension header, which no flow has).
	Established spread `json:"established_ns"`
	Decided     spread `json:"decided_ns"`
}

// policyCounts are the numbers of rules and of members.
var policyCounts = []int{1, 100, 10_000}

// policyCosts measures by BPF_PROG_RUN with the very programs of the data plane, in maps of its own. Rounds are interleaved.
func policyCosts(ctx context.Context, _ *benchLab, o options, r *labResult) error {
	type series struct {
		cost                 policyCost
		runner               *ebpf.Runner
		established, decided []float64
	}
	var all []*series
	defer func() {
		for _, s := range all {
			s.runner.Close()
		}
	}()
	for _, of := range []string{"rules", "members"} {
		for _, v6 := range []bool{false, true} {
			for _, n := range policyCounts {
				run, err := ebpf.NewRunner()
				if err != nil {
					return err
				}
				s := &series{cost: policyCost{Of: of, Count: n, Family: map[bool]string{false: "IPv4", true: "IPv6"}[v6]}, runner: run}
				all = append(all, s)
				if p := run.Apply(guardedCloud(of, n, v6).States()["compute1"], ebpf.Limits{}); len(p) > 0 {
					return fmt.Errorf("%d %s: %s", n, of, p[0].Why)
				}
			}
		}
	}
	for range o.pairs {
		for _, s := range all {
			if err := ctx.Err(); err != nil {
				return err
			}
			for options, to := range map[bool]*[]float64{false: &s.established, true: &s.decided} {
				took, err := measurePacket(s.runner, s.cost, options)
				if err != nil {
					return fmt.Errorf("%d %s: %w", s.cost.Count, s.cost.Of, err)
				}
				*to = append(*to, took)
			}
		}
	}
	for _, s := range all {
		s.cost.Established, s.cost.Decided = spreadOf(s.established), spreadOf(s.decided)
		r.Policies = append(r.Policies, s.cost)
	}
	return nil
}

// guardedCloud is the demo cloud in which red3 lets UDP port 2000 in by the last of n rules, or from a remote group of n
// members of which red1 is one.
func guardedCloud(of string, n int, v6 bool) *dptest.Cloud {
	c := dptest.Demo()
	rules := []hostplan.Rule{dptest.Any(true, v6)}
	if of == "rules" {
		for i := range n - 1 {
			rules = append(rules, dptest.Allow(false, v6, 17, int32(3000+i), int32(3000+i)))
		}
		rules = append(rules, dptest.Allow(false, v6, 17, 2000, 2000))
	} else {
		in := dptest.Allow(false, v6, 17, 2000, 2000)
		in.RemoteSet = dptest.SetID("members")
		rules = append(rules, in)
		a := c.Port("red1").Addresses[family(v6)]
		members := []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}
		for i := range n - 1 {
			m := netip.AddrFrom4([4]byte{10, 99, byte(i >> 8), byte(i)})
			if v6 {
				m = netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x99, 14: byte(i >> 8), 15: byte(i)})
			}
			members = append(members, netip.PrefixFrom(m, m.BitLen()))
		}
		c.Sets = []dptest.Set{{Name: "members", Prefixes: members}}
	}
	c.Port("red1").Policy = dptest.Stateful(dptest.Any(true, v6))
	c.Port("red3").Policy = dptest.Stateful(rules...)
	return c
}

func family(v6 bool) int { return map[bool]int{false: 0, true: 1}[v6] }

// repeats is how often a packet is run for one value.
const repeats = 20_000

// measurePacket is the mean of many runs of one packet, in ns.
func measurePacket(r *ebpf.Runner, c policyCost, options bool) (float64, error) {
	d := dptest.Demo()
	f := family(c.Family == "IPv6")
	x := dptest.IP{Src: d.Port("red1").Addresses[f], Dst: d.Port("red3").Addresses[f]}.UDP(1000, 2000, make([]byte, 64))
	switch {
	case options && f == 1:
		x = x.Extend(60, []byte{1, 4, 0, 0, 0, 0}) // destination options: padding
	case options:
		x.Options = []byte{1, 1, 1, 1} // no operation
	}
	p := ebpf.Packet{From: dptest.PortID("red1"), Frame: x.Frame(dptest.PortMAC("red3"), dptest.PortMAC("red1"))}
	o, err := r.Run(p)
	if err != nil || o.Verdict != ebpf.Local {
		return 0, fmt.Errorf("the packet does not arrive: %v, %v, %w", o.Verdict, o.Reason, err)
	}
	took, err := r.Measure(p, repeats)
	return float64(took.Nanoseconds()), err
}

func printPolicyCosts(w io.Writer, r *labResult) {
	fmt.Fprintf(w, "\n%-34s %12s %12s   (aim: the same for each count)\n", "stateful groups at both ends*", "known, ns", "decided, ns")
	for _, c := range r.Policies {
		fmt.Fprintf(w, "%-34s %12.0f %12.0f\n", fmt.Sprintf("%s, %d %s", c.Family, c.Count, c.Of), c.Established.Median, c.Decided.Median)
	}
	fmt.Fprintln(w, "* medians by BPF_PROG_RUN: known, a packet of a known flow; decided, one that is judged by the rules again")
}
