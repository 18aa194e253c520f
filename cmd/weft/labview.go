package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"charm.land/lipgloss/v2/table"
	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/weft-cloud/weft/internal/lab"
)

// terminal reports whether w is one that shows colour.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd()) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// painter colours text on a terminal and leaves it alone elsewhere.
type painter struct{ on bool }

func (p painter) style(color string, text string) string {
	if !p.on {
		return text
	}
	return lipgloss.NewStyle().Foreground(lipgloss.Color(color)).Render(text)
}

func (p painter) good(text string) string { return p.style("2", text) }
func (p painter) bad(text string) string  { return p.style("1", text) }
func (p painter) dim(text string) string  { return p.style("8", text) }

func (p painter) verdict(ok bool, yes, no string) string {
	if ok {
		return p.good(yes)
	}
	return p.bad(no)
}

// newProgress prints a line for each step.
func newProgress(w io.Writer) lab.Progress {
	p := painter{terminal(w)}
	return func(name string) func(error) {
		if p.on {
			fmt.Fprintf(w, "  …  %s", name)
		}
		began := time.Now()
		return func(err error) {
			if p.on {
				fmt.Fprint(w, "\r")
			}
			fmt.Fprintf(w, "  %s %-45s %s\n", p.verdict(err == nil, "ok", "no"), name, p.dim(fmt.Sprintf("%5.2f s", time.Since(began).Seconds())))
		}
	}
}

func printWelcome(w io.Writer, r *lab.Record) {
	fmt.Fprintf(w, "\nThe lab is up: %d hosts, the APIs on 127.0.0.1, state in %s.\n", len(r.Hosts()), r.Options.StateDir)
	next := [][2]string{}
	if r.Options.Demo {
		pings := "red2 on compute2 pings red1 on compute1"
		if r.Options.Computes == 1 {
			pings = "red2 pings red1, both on compute1"
		}
		next = append(next, [2]string{"weft lab verify", "prove by packet capture which way each kind of traffic goes"},
			[2]string{"weft lab exec red2 -- ping 172.16.42.7", pings})
	}
	next = append(next, [2]string{"weft lab status", "hosts, agents, instances, addresses"},
		[2]string{`eval "$(weft lab env)"; openstack network list`, "use the OpenStack client"},
		[2]string{"weft lab down", "remove everything"})
	fmt.Fprintln(w, "What to do next:")
	for _, n := range next {
		fmt.Fprintf(w, "  %-48s %s\n", n[0], n[1])
	}
}

// newTable is an empty table in the command line's style.
func newTable(headers ...string) *table.Table {
	return table.New().Border(lipgloss.NormalBorder()).Headers(headers...).
		StyleFunc(func(int, int) lipgloss.Style { return lipgloss.NewStyle().Padding(0, 1) })
}

func newLabStatusCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show hosts, agents, instances, addresses and what is wrong; the exit code is 0 if nothing is",
		Args:  cobra.NoArgs,
		RunE: withLab(func(cmd *cobra.Command, _ []string, r *lab.Record) error {
			st := r.Status(cmd.Context())
			addServerProblems(cmd.Context(), r, &st)
			w := cmd.OutOrStdout()
			if asJSON {
				if err := printJSON(w, st); err != nil {
					return err
				}
			} else {
				printStatus(w, st)
			}
			if !st.Healthy {
				return exitCode(1)
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// addServerProblems adds what only the server knows. One that does not answer is told of already.
func addServerProblems(ctx context.Context, r *lab.Record, st *lab.Status) {
	var s serverStatus
	if err := askServer(ctx, r.ServerDir(), http.MethodGet, "/status", &s); err != nil {
		return
	}
	for _, p := range s.problems() {
		if !slices.Contains(st.Problems, p) {
			st.Problems, st.Healthy = append(st.Problems, p), false
		}
	}
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func printStatus(w io.Writer, st lab.Status) {
	p := painter{terminal(w)}
	hosts := newTable("host", "underlay", "agent mode", "agent", "instances")
	for _, h := range st.Hosts {
		hosts.Row(h.Name, h.Underlay, h.Mode, p.verdict(h.Agent == "alive", h.Agent, h.Agent), fmt.Sprint(h.Instances))
	}
	fmt.Fprintln(w, hosts)
	if len(st.Instances) > 0 {
		t := newTable("instance", "host", "network", "VNI", "addresses", "MAC", "interface", "status")
		for _, i := range st.Instances {
			t.Row(i.Name, i.Host, i.Network, fmt.Sprint(i.VNI), strings.Join(i.Addresses, "\n"), i.MAC, i.Device, p.verdict(i.Healthy, i.Status, i.Status))
		}
		fmt.Fprintln(w, t)
	}
	for _, s := range st.Problems {
		fmt.Fprintln(w, p.bad("!"), s)
	}
	if st.Healthy {
		fmt.Fprintln(w, p.good("All is well."))
	}
}
