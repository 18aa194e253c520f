package main

import (
	"errors"
	"fmt"
	"io"
	"os"
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
	t := newTable("subnet", "host", "", "with DVR", "measured", "VNI", "TTL", "RTT", "controller saw", "pairs", "verdict")
	for _, r := range rep.Rows {
		t.Row(r.Subnet, r.Host, r.Family, r.Expected, r.Measured, vnis(r.VNIs), fmt.Sprint(r.TTL), fmt.Sprintf("%.3f ms", r.RTT),
			nothing(r.ControllerSaw), fmt.Sprintf("%d/%d", r.Good, r.Pairs), p.verdict(r.OK, "ok", "WRONG"))
	}
	fmt.Fprintln(w, t)
	fmt.Fprintln(w, "\nOne packet of each kind, at every interface it crossed:")
	for _, r := range rep.Rows {
		printPath(w, p, r)
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
		fmt.Fprintln(w, p.good("All traffic went the way that distributed routing takes it."))
	} else {
		fmt.Fprintln(w, p.bad("Not all traffic went the way that it must."))
	}
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

func printPath(w io.Writer, p painter, r verify.Row) {
	e := r.Example
	fmt.Fprintf(w, "\n  %s subnet, %s host, %s: %s (%s) to %s (%s), TTL %d on arrival, %.3f ms\n", r.Subnet, r.Host, r.Family, e.From, e.Src, e.To, e.Dst, e.TTL, e.RTT)
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
