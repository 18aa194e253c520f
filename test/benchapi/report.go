package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// report is everything that was measured.
type report struct {
	Samples []sample      `json:"samples"`
	Sizes   []sizeReport  `json:"sizes"`
	Turns   []turns       `json:"turns"`
	Machine machineReport `json:"machine"`
}

// sizeReport is what a world of that many ports costs the server. Memory is in bytes.
type sizeReport struct {
	Ports     int     `json:"ports"`
	Start     float64 `json:"start_seconds"` // from starting the process to its first answer
	Resident  float64 `json:"resident"`      // after a start
	AfterWork float64 `json:"resident_after_work"`
}

// neutron is what neutron-server 21 (Zed) with MariaDB did on a machine of 2 cores, noauth, keep-alive: the best that was
// measured of each, by 1 client and by 8. Rates count rows, times are medians in milliseconds.
var neutron = map[string]struct{ one, many, p50 float64 }{
	"create port":           {4.4, 3.9, 218},
	"bulk create of 100":    {3.7, 3.7, 27300},
	"show port":             {58, 117, 16},
	"update port":           {6.7, 6.7, 146},
	"delete port":           {3.6, 8.9, 265},
	"page of 50":            {0, 0, 78},
	"list of all":           {0, 0, 1994}, // of 5,000
	"create network":        {6.0, 6.0, 169},
	"create subnet":         {6.1, 6.1, 167},
	"create router":         {16.9, 16.9, 58},
	"add router interface":  {1.0, 1.0, 960},
	"set gateway":           {0.9, 0.9, 1115},
	"create floating IP":    {1.9, 1.9, 509},
	"associate floating IP": {1.6, 1.6, 645},
}

const neutronList = 5000

// times is how many times faster than Neutron a sample is; 0: there is no figure to compare it with.
func (s *sample) times() float64 {
	n, ok := neutron[s.Op]
	switch {
	case !ok:
		return 0
	case s.Op == "list of all":
		return n.p50 / neutronList * float64(s.Rows) / s.P50
	case n.one == 0:
		return n.p50 / s.P50
	case s.Clients == 1:
		return s.PerSecond / n.one
	}
	return s.PerSecond / n.many
}

func (r *report) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "ports\tclients\t\tper second\tp50 ms\tp99 ms\tserver CPU us/row\ttimes Neutron's\t")
	for i := range r.Samples {
		s := &r.Samples[i]
		times := ""
		if t := s.times(); t > 0 {
			times = fmt.Sprintf("%.0f", t)
		}
		fmt.Fprintf(w, "%d\t%d\t%s\t%.0f\t%.2f\t%.2f\t%.1f\t%s\t\n", s.Ports, s.Clients, s.Op, s.PerSecond, s.P50, s.P99, s.CPU, times)
	}
	w.Flush()
	fmt.Fprintln(out, "\nRates count rows. Neutron's: its best of 1 client, and of 8 beside our many.")
	fmt.Fprintf(out, "\nmachine: %d bytes, what the log keeps of one created port, appended and synced: %.0f/s, p50 %.2f ms\n",
		r.Machine.PortBytes, r.Machine.AppendsPerSec, r.Machine.AppendP50)
	fmt.Fprintf(out, "machine: a round trip to an endpoint that does nothing: p50 %.2f ms; %.0f/s by %d clients\n",
		r.Machine.LoopbackP50, r.Machine.LoopbackPerSec, r.Machine.LoopbackClients)
	fmt.Fprintln(out)
	for _, t := range r.Turns {
		fmt.Fprintf(out, "%d ports: in turns, a port created in %.2f ms and its bytes appended and synced in %.2f ms (p50 of %d)\n",
			t.Ports, t.CreateP50, t.AppendP50, t.N)
	}
	for _, s := range r.Sizes {
		fmt.Fprintf(out, "%d ports: started in %.2f s; %.0f MB resident then, %.0f MB after the work above\n", s.Ports, s.Start, s.Resident/1e6, s.AfterWork/1e6)
	}
	fmt.Fprintln(out)
	for _, a := range r.aims() {
		verdict := "reached"
		switch {
		case !a.known:
			verdict = "not measured with these sizes"
		case !a.reached:
			verdict = "MISSED"
		}
		fmt.Fprintf(out, "%-78s %s: %s\n", a.text, a.got, verdict)
	}
}
