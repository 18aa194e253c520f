package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/pprof"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/feed"
	"github.com/weft-cloud/weft/internal/server/promise"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

// serverSocket is the name of the operator's socket in state_dir. Whoever may open it may release hosts.
const serverSocket = "server.sock"

// serverStatus is what the server says of itself.
type serverStatus struct {
	Server   string         `json:"server"`
	Position model.Position `json:"position"`
	// StoreError is why the last write to the store failed; empty: it did not.
	StoreError string        `json:"store_error"`
	Agents     []agentHealth `json:"agents"`
	// Problems are those that no agent can tell.
	Problems []rules.Problem `json:"problems"`
	// NotEnforced is what objects ask for that no data plane carries out.
	NotEnforced []promise.Use `json:"not_enforced"`
}

type agentHealth struct {
	Host      string    `json:"host"`
	Alive     bool      `json:"alive"`
	Connected bool      `json:"connected"`
	Held      bool      `json:"held"`
	LastSeen  time.Time `json:"last_seen"`
	// ClockOffset is the agent's clock minus the server's, in nanoseconds.
	ClockOffset time.Duration  `json:"clock_offset_ns"`
	Applied     uint64         `json:"applied_revision"`
	Ports       uint32         `json:"ports"`
	Problems    []feed.Problem `json:"problems"`
}

// listenServerStatus opens the socket. One that a dead server left is replaced.
func listenServerStatus(dir string) (net.Listener, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("[weft] state_dir: %w", err)
	}
	path := filepath.Join(dir, serverSocket)
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("another server is running with state_dir %s; stop it, or give this one a state_dir of its own", dir)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove the operator's socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for the operator: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protect the operator's socket: %w", err), l.Close())
	}
	return l, nil
}

// serveStatus answers the operator's commands until ctx is done.
func (p *serverParts) serveStatus(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(p.status(r.Context())) // whoever asked may have gone
	})
	mux.HandleFunc("POST /release", func(w http.ResponseWriter, r *http.Request) {
		hosts := p.feed.Release(r.Context(), r.URL.Query().Get("host"))
		slices.Sort(hosts)
		if len(hosts) > 0 {
			p.log.Warn("held hosts were released by the operator", "hosts", hosts)
		}
		_ = json.NewEncoder(w).Encode(hosts) // as above
	})
	p.serveTrace(mux)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { s.Close() })()
	return ignore(s.Serve(l), http.ErrServerClosed)
}

func (p *serverParts) status(ctx context.Context) serverStatus {
	w := p.writer.Snapshot()
	s := serverStatus{Server: p.cfg.Host, Position: w.Position(), Problems: append([]rules.Problem{}, p.rules.Problems(w)...)}
	s.NotEnforced = promise.InUse(w)
	if err := p.writer.StoreError(); err != nil {
		s.StoreError = err.Error()
	}
	s.Agents = p.agents(ctx, w, s.Problems)
	return s
}

// agents is how the agents of all hosts are, sorted by host; the problems of the cloud are known and told of no host.
func (p *serverParts) agents(ctx context.Context, w *world.World, cloud []rules.Problem) []agentHealth {
	out := []agentHealth{}
	held, connected := map[string]bool{}, map[string]bool{}
	for _, c := range p.feed.Connections(ctx) {
		connected[c.Host], held[c.Host] = true, c.Held
	}
	for h := range w.Hosts.All() {
		at, alive := p.live.Alive(h.Name)
		b := p.live.Last(h.Name)
		out = append(out, agentHealth{Host: h.Name, Alive: alive, Connected: connected[h.Name], Held: held[h.Name], LastSeen: at,
			ClockOffset: b.ClockOffset, Applied: b.AppliedRevision, Ports: b.Endpoints, Problems: p.problemsOf(w, h.Name, cloud)})
	}
	slices.SortFunc(out, func(a, b agentHealth) int { return strings.Compare(a.Host, b.Host) })
	return out
}

// problemsOf are a host's: what its agent told last, and what the objects tell of it beside what they tell of the cloud.
func (p *serverParts) problemsOf(w *world.World, host string, cloud []rules.Problem) []feed.Problem {
	out := append([]feed.Problem{}, p.live.Last(host).Problems...)
	for _, v := range p.rules.HostProblems(w, host) {
		if !slices.Contains(cloud, v) {
			out = append(out, feed.Problem(v))
		}
	}
	return out
}

// problems are all that the server knows, each in a line.
func (s *serverStatus) problems() []string {
	var out []string
	if s.StoreError != "" {
		out = append(out, "server: the store cannot be written: "+s.StoreError)
	}
	for _, v := range s.Problems {
		out = append(out, fmt.Sprintf("server: %s %s: %s", v.Kind, v.ID, v.Why))
	}
	for _, a := range s.Agents {
		for _, v := range a.Problems {
			out = append(out, fmt.Sprintf("%s: %s %s: %s", a.Host, v.Kind, v.ID, v.Why))
		}
	}
	return out
}

// askServer sends one request to the server of a state directory and reads its answer, JSON, into out.
func askServer(ctx context.Context, dir, method, path string, out any) error {
	return callServer(ctx, dir, method, path, nil, func(body io.Reader) error { return json.NewDecoder(body).Decode(out) })
}

// callServer sends one request to the server of a state directory and hands the body of its answer to read.
func callServer(ctx context.Context, dir, method, path string, send io.Reader, read func(io.Reader) error) error {
	socket := filepath.Join(dir, serverSocket)
	t := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	defer t.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://server"+path, send)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: t}).Do(req)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("no server answers at %s; is it running, and is this its state_dir?", socket)
	} else if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask the server: it answers %s; is it of another version?", resp.Status)
	}
	return read(resp.Body)
}

func newServerStatusCmd() *cobra.Command {
	var flags configFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how the server on this machine is: position, store, agents",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := flags.load(loadStore)
			if err != nil {
				return err
			}
			var s serverStatus
			if err := askServer(cmd.Context(), l.Server.StateDir, http.MethodGet, "/status", &s); err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(s)
			}
			return printServerStatus(cmd.OutOrStdout(), &s, time.Now())
		},
	}
	flags.bind(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print everything, as JSON")
	return cmd
}

func printServerStatus(out io.Writer, s *serverStatus, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "server\t%s\nposition\t%s\n", s.Server, s.Position)
	if s.StoreError == "" {
		fmt.Fprint(w, "store\tthe last write succeeded\n")
	} else {
		fmt.Fprintf(w, "store\tCANNOT BE WRITTEN: %s\n", s.StoreError)
	}
	for _, v := range s.Problems {
		fmt.Fprintf(w, "problem\t%s %s: %s\n", v.Kind, v.ID, v.Why)
	}
	for _, a := range s.Agents {
		fmt.Fprintf(w, "agent\t%s %s\n", a.Host, a.describe(s.Position.Revision, now))
		for _, p := range a.Problems {
			fmt.Fprintf(w, "problem\t%s %s %s: %s\n", a.Host, p.Kind, p.ID, p.Why)
		}
	}
	for _, u := range s.NotEnforced {
		fmt.Fprintf(w, "not enforced\t%s, objects: %d; %s\n", u.Name, u.Objects, u.Why)
	}
	return w.Flush()
}

func (a *agentHealth) describe(newest uint64, now time.Time) string {
	state := "alive"
	switch {
	case a.LastSeen.IsZero():
		return "NEVER HEARD OF since this server knows"
	case !a.Alive:
		state = "DEAD"
	case !a.Connected:
		state = "alive but NOT CONNECTED"
	}
	text := fmt.Sprintf("%s, heard of %v ago, clock %+v, %d ports, applied %d of %d", state, now.Sub(a.LastSeen).Round(100*time.Millisecond),
		a.ClockOffset.Round(time.Millisecond), a.Ports, a.Applied, newest)
	if a.Held {
		text += "; HELD: it deletes nothing until weft server release"
	}
	return text
}

func newServerReleaseCmd() *cobra.Command {
	var flags configFlags
	cmd := &cobra.Command{
		Use:   "release [HOST]",
		Short: "Let held hosts delete what the server no longer has; without HOST all of them",
		Long: `Let held hosts delete what the server no longer has. A host is held when it comes with
another lineage (the store was restored) or when too many of its ports would go at
once: it keeps them until somebody has looked. Release it once the API shows what
should be there.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := flags.load(loadStore)
			if err != nil {
				return err
			}
			path := "/release"
			if len(args) == 1 {
				path += "?host=" + url.QueryEscape(args[0])
			}
			var hosts []string
			if err := askServer(cmd.Context(), l.Server.StateDir, http.MethodPost, path, &hosts); err != nil {
				return err
			}
			if len(hosts) == 0 {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), "no such host is connected and held; nothing was done")
			} else {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), "released: "+strings.Join(hosts, ", "))
			}
			return err
		},
	}
	flags.bind(cmd)
	return cmd
}
