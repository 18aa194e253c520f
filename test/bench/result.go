package main

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// result is everything that was measured; -json prints it.
type result struct {
	Machine string      `json:"machine"`
	Began   time.Time   `json:"began"`
	Took    float64     `json:"took_seconds"`
	Pairs   int         `json:"pairs"`
	Each    float64     `json:"each_seconds"`
	Labs    []labResult `json:"labs"`
}

// labResult is what the sections found with one kind of attachment. A section adds its own field.
type labResult struct {
	VIF      string       `json:"vif"`
	LabUp    float64      `json:"lab_up_seconds"`
	Traffic  []kindResult `json:"traffic,omitempty"`
	RunTimes []runTime    `json:"run_time,omitempty"`
	Policies []policyCost `json:"security_groups,omitempty"`
	// Groups is the traffic under stateful groups of 1, 100 and 10,000 rules.
	Groups    []groupResult `json:"traffic_under_rules,omitempty"`
	FirstPing *spread       `json:"first_ping_ms,omitempty"`
	// Late is how many of the first pings took as long as it takes a kernel to ask for a neighbour once more.
	Late  int          `json:"first_ping_late,omitempty"`
	Boot  *bootResult  `json:"boot,omitempty"`
	Scale *scaleResult `json:"further_ports,omitempty"`
	// Outside is what goes in and out of the cloud.
	Outside *outsideResult `json:"outside,omitempty"`
}

// kindResult is one kind of traffic on all ways.
type kindResult struct {
	Kind string      `json:"kind"`
	Unit string      `json:"unit"`
	Aim  float64     `json:"aim_ratio"` // of what Weft's ways are to reach of the bare programs
	Ways []wayResult `json:"ways"`
}

// wayResult is one way: its values, and their ratio to those of Against in the same rounds.
type wayResult struct {
	Way     string  `json:"way"`
	Value   spread  `json:"value"`
	Against string  `json:"against,omitempty"`
	Ratio   *spread `json:"ratio,omitempty"`
}

// spread is a sample by its median and quartiles.
type spread struct {
	Median float64 `json:"median"`
	Q1     float64 `json:"q1"`
	Q3     float64 `json:"q3"`
	N      int     `json:"n"`
}

func spreadOf(values []float64) spread {
	return spread{quantile(values, 0.5), quantile(values, 0.25), quantile(values, 0.75), len(values)}
}

// quantile interpolates between the two nearest values; 0 of none.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	at := q * float64(len(s)-1)
	i := int(at)
	if i+1 >= len(s) {
		return s[len(s)-1]
	}
	return s[i] + (at-float64(i))*(s[i+1]-s[i])
}

// ratios are a divided by b, value by value.
func ratios(a, b []float64) []float64 {
	out := make([]float64, min(len(a), len(b)))
	for i := range out {
		out[i] = a[i] / b[i]
	}
	return out
}

// machine says what the figures were measured on.
func machine() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Sprintf("%d processors", runtime.NumCPU())
	}
	release, _, _ := bytes.Cut(u.Release[:], []byte{0})
	return fmt.Sprintf("kernel %s, %s, %d processors", release, runtime.GOARCH, runtime.NumCPU())
}

func printTraffic(w io.Writer, r *labResult) { printKinds(w, r.Traffic) }

// compared is what was measured of one kind, with the ratios of the ways that are measured against another.
func compared(ways []way, k kind, aim float64, got map[string][]float64) kindResult {
	x := kindResult{Kind: k.name, Unit: k.unit, Aim: aim}
	for _, w := range ways {
		line := wayResult{Way: w.name, Value: spreadOf(got[w.name]), Against: w.against}
		if base := got[w.against]; base != nil {
			s := spreadOf(ratios(got[w.name], base))
			line.Ratio = &s
		}
		x.Ways = append(x.Ways, line)
	}
	return x
}

func printKinds(w io.Writer, kinds []kindResult) {
	for _, k := range kinds {
		fmt.Fprintf(w, "\n%-34s %12s %10s   %-22s (aim: %.0f%%)\n", k.Kind+", "+k.Unit, "median", "of bare", "quartiles of the ratio", 100*k.Aim)
		for _, x := range k.Ways {
			fmt.Fprintf(w, "%-34s %12.1f", x.Way, x.Value.Median)
			if x.Ratio != nil {
				fmt.Fprintf(w, " %9.1f%%   %.1f%% to %.1f%%", 100*x.Ratio.Median, 100*x.Ratio.Q1, 100*x.Ratio.Q3)
			}
			fmt.Fprintln(w)
		}
	}
}

func printRunTimes(w io.Writer, r *labResult) {
	fmt.Fprintf(w, "\n%-34s %12s   %-16s (aim: under 300 ns)\n", "run time per established packet*", "median, ns", "quartiles")
	for _, t := range r.RunTimes {
		fmt.Fprintf(w, "%-34s %12.0f   %.0f to %.0f\n", t.Way, t.Nanoseconds.Median, t.Nanoseconds.Q1, t.Nanoseconds.Q3)
	}
	fmt.Fprintln(w, "* of the sender's and the receiver's program together, by the kernel's statistics, whose own cost is in it")
}

func printFirstPings(w io.Writer, r *labResult) {
	fmt.Fprintf(w, "\nPOST of a port to its first answered ping across hosts: median %.1f ms, quartiles %.1f to %.1f (%d ports, of which %d took %.1f s or more; aim: median under 50 ms)\n",
		r.FirstPing.Median, r.FirstPing.Q1, r.FirstPing.Q3, r.FirstPing.N, r.Late, lateMS/1000)
}

func printScale(w io.Writer, r *labResult) {
	if r.Scale == nil {
		return
	}
	fmt.Fprintf(w, "\nbefore further ports:\n")
	printKinds(w, r.Scale.Before)
	fmt.Fprintf(w, "\nwith %d further ports on the network, made in %.1f s:\n", r.Scale.Ports, r.Scale.Seconds)
	printKinds(w, r.Scale.After)
	for i, k := range r.Scale.After {
		fmt.Fprintf(w, "%s: %.1f%% of what it was before, both beside the bare programs of their own rounds\n", k.Kind, 100*k.share()/r.Scale.Before[i].share())
	}
}

// share is the median ratio of the last way that has one to the bare programs.
func (k kindResult) share() float64 {
	x := 0.0
	for _, w := range k.Ways {
		if w.Ratio != nil {
			x = w.Ratio.Median
		}
	}
	return x
}
