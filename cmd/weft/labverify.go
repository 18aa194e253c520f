package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weft-cloud/weft/internal/lab"
	"github.com/weft-cloud/weft/internal/lab/verify"
)

func newLabVerifyCmd() *cobra.Command {
	var asJSON bool
	var pcap string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove by packet capture which way each kind of traffic goes; the exit code is the verdict",
		Args:  cobra.NoArgs,
		RunE: withLab(func(cmd *cobra.Command, _ []string, r *lab.Record) error {
			keep, err := createPcap(pcap) // before all the work
			if err != nil {
				return err
			}
			rep, err := r.Verify(cmd.Context())
			if err == nil {
				err = keep(rep)
			}
			if err != nil {
				return errors.Join(err, keep(nil))
			}
			w := cmd.OutOrStdout()
			if asJSON {
				err = printJSON(w, rep)
			} else {
				printReport(w, rep)
			}
			if err == nil && !rep.OK {
				err = exitCode(1)
			}
			return err
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, with every pair and every interface its packets crossed")
	cmd.Flags().StringVar(&pcap, "pcap", "", "keep the capture in this file (pcapng, for tcpdump and Wireshark)")
	return cmd
}

// createPcap opens the file, if one is wanted, and returns what writes a report's capture there; of no report, nothing stays.
func createPcap(path string) (keep func(*verify.Report) error, err error) {
	if path == "" {
		return func(*verify.Report) error { return nil }, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("--pcap: %w", err)
	}
	return func(rep *verify.Report) error {
		if rep == nil {
			f.Close()
			return os.Remove(path)
		}
		if err := rep.WritePcap(f); err != nil {
			return fmt.Errorf("--pcap %s: %w", path, err)
		}
		return f.Close()
	}, nil
}

func printReport(w io.Writer, rep *verify.Report) {
	p := painter{terminal(w)}
	printReference(w, rep)
	t := newTable("router", "subnet", "host", "", "expected", "measured", "VNI", "TTL", "RTT", "network node saw", "pairs", "verdict")
	for _, r := range rep.Rows {
		t.Row(r.Router, r.Subnet, r.Host, r.Family, r.Expected, r.Measured, vnis(r.VNIs), fmt.Sprint(r.TTL), fmt.Sprintf("%.3f ms", r.RTT),
			nothing(r.ControllerSaw), fmt.Sprintf("%d/%d", r.Good, r.Pairs), p.verdict(r.OK, "ok", "WRONG"))
	}
	fmt.Fprintln(w, t)
	if len(rep.Passages) > 0 {
		printPassages(w, p, rep.Passages)
	}
	fmt.Fprintln(w, "\nOne packet of each kind, at every interface it crossed:")
	for _, r := range rep.Rows {
		printPath(w, p, fmt.Sprintf("%s router, %s subnet, %s host, %s", r.Router, r.Subnet, r.Host, r.Family), r.Example)
	}
	for _, j := range rep.Passages {
		printPath(w, p, j.Name+", "+j.Family, &j.Pair)
	}
	iso := rep.Isolation
	fmt.Fprintf(w, "\nTenants: %d with overlapping addresses, %d probes from one at the others' addresses, %d packets crossed: %s\n",
		iso.Tenants, iso.Probes, iso.Crossed, p.verdict(iso.OK, "ok", "WRONG"))
	for _, f := range iso.Faults {
		fmt.Fprintln(w, p.bad("  ! "+f))
	}
	if rep.Dropped > 0 {
		fmt.Fprintln(w, p.bad(fmt.Sprintf("The captures lost %d frames, so this proves nothing: run it again.", rep.Dropped)))
	}
	if rep.OK {
		fmt.Fprintln(w, p.good("All traffic went the way that it must."))
	} else {
		fmt.Fprintln(w, p.bad("Not all traffic went the way that it must."))
	}
}

// printReference is the table by which distributed routing is known, with what was measured in its columns.
func printReference(w io.Writer, rep *verify.Report) {
	type kind struct{ subnet, host string }
	columns := map[string]map[kind]string{"distributed": {}, "centralized": {}}
	var order []kind
	for _, r := range rep.Rows {
		k := kind{r.Subnet, r.Host}
		if !slices.Contains(order, k) {
			order = append(order, k)
		}
		if old := columns[r.Router][k]; old != "" && old != r.Measured {
			r.Measured = old + "; " + r.Measured
		}
		columns[r.Router][k] = r.Measured
	}
	t := newTable("subnet", "host", "without DVR", "with DVR")
	for _, k := range order {
		t.Row(k.subnet, k.host, columns["centralized"][k], columns["distributed"][k])
	}
	fmt.Fprintln(w, "Measured, in the words of the reference table:")
	fmt.Fprintln(w, t)
	fmt.Fprintln(w)
}

// printPassages is the table of what goes in and out.
func printPassages(w io.Writer, p painter, list []verify.Passage) {
	t := newTable("north-south", "", "from", "to", "sent to", "arrives from", "interfaces crossed, measured", "TTL", "RTT", "verdict")
	for _, j := range list {
		t.Row(j.Name, j.Family, j.From, j.To, j.Dst, j.SeenAs, j.Measured, fmt.Sprint(j.TTL), fmt.Sprintf("%.3f ms", j.RTT), p.verdict(j.OK, "ok", "WRONG"))
	}
	fmt.Fprintln(w, t)
}

func vnis(list []int) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Trim(fmt.Sprint(list), "[]")
}

func nothing(n int) string {
	if n == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%d packets", n)
}

func printPath(w io.Writer, p painter, what string, e *verify.Pair) {
	fmt.Fprintf(w, "\n  %s: %s (%s) to %s (%s), TTL %d on arrival, %.3f ms\n", what, e.From, e.Src, e.To, e.Dst, e.TTL, e.RTT)
	for _, h := range e.Request {
		dir := "in "
		if h.Out {
			dir = "out"
		}
		line := fmt.Sprintf("    %-10s %-15s %s  ", h.Where, h.Interface, dir)
		if h.Outer != nil {
			line += fmt.Sprintf("%s > %s UDP %d%s VXLAN vni %d: ", h.Outer.Src, h.Outer.Dst, h.Outer.Port, df(h.Outer.DF), h.Outer.VNI)
		}
		fmt.Fprintf(w, "%s%s > %s  %s > %s ttl %d\n", line, h.SrcMAC, h.DstMAC, h.Src, h.Dst, h.TTL)
	}
	for _, f := range e.Faults {
		fmt.Fprintln(w, p.bad("    ! "+f))
	}
}

func df(set bool) string {
	if set {
		return " DF"
	}
	return ""
}
