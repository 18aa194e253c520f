package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/weft-cloud/weft/internal/agent"
	"github.com/weft-cloud/weft/internal/config"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/forward"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/lab"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/wire"
)

// traceFlags are the packet that is asked about.
type traceFlags struct {
	from, to, src, proto string
	port, srcPort        uint16
	size                 int
	df, asJSON           bool
}

func newTraceCmd() *cobra.Command {
	var flags configFlags
	var t traceFlags
	cmd := &cobra.Command{
		Use:   "trace --from PORT --to ADDRESS [--proto tcp --port 80]",
		Short: "Say which way a packet would go, through which rules, or why it would be dropped",
		Long: `Say which way a packet would go, host by host and stage by stage, which security group
rule lets it pass, or why it would be dropped and what to do about it. No packet is sent:
what the server knows is compiled as each host compiles it. It is the first packet of
a connection that is asked about. The command runs on the server's machine; beside a
lab that is up it asks that. Its exit status is 1 if the packet would not arrive.

PORT is a port's id (or 8 or more characters of it), name, MAC or address, an instance's
id or, in a lab, its name. ADDRESS is an address, or a port in the same words.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := flags.loadOrLab(loadStore)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), time.Minute)
			defer cancel()
			q := tracer{dir: l.Server.StateDir, options: traceOptions(l), states: map[string]*hostplan.State{}, instances: labNames(ctx, l.Server.StateDir)}
			answer, err := q.trace(ctx, &t)
			if err != nil {
				return err
			}
			if err := answer.print(cmd.OutOrStdout(), t.asJSON); err != nil {
				return err
			}
			if !answer.Arrives {
				return exitCode(1)
			}
			return nil
		},
	}
	flags.bind(cmd)
	f := cmd.Flags()
	f.StringVar(&t.from, "from", "", "the port that sends")
	f.StringVar(&t.to, "to", "", "where it sends to: an address, or a port")
	f.StringVar(&t.src, "src", "", "the source address; none: the port's first one of the family")
	f.StringVar(&t.proto, "proto", "icmp", "icmp, tcp, udp, sctp, or the number of an IP protocol")
	f.Uint16Var(&t.port, "port", 0, "the destination's port")
	f.Uint16Var(&t.srcPort, "src-port", 40000, "the source's port")
	f.IntVar(&t.size, "size", 0, "size of the IP packet, in bytes; none: as small as can be")
	f.BoolVar(&t.df, "df", false, "the packet may not be fragmented (IPv4)")
	f.BoolVar(&t.asJSON, "json", false, "print JSON")
	cmd.MarkFlagRequired("from") //nolint:errcheck // the flag is there
	cmd.MarkFlagRequired("to")   //nolint:errcheck // the same
	return cmd
}

// traceOptions are the hosts' options as far as the server's configuration tells; agents have files of their own.
func traceOptions(l *config.Loaded) hostplan.Options {
	o := agentConfig(l).Options
	o.ServeDNS, o.ServeMetadata, o.Physnets = true, true, nil
	return o
}

// tracer asks one server.
type tracer struct {
	dir     string
	options hostplan.Options
	states  map[string]*hostplan.State
	// instances are names by port id, where they are known.
	instances map[string]string
}

// trace finds the ports, makes the packet and follows it.
func (q *tracer) trace(ctx context.Context, t *traceFlags) (*traced, error) {
	ask, err := t.ask()
	if err != nil {
		return nil, err
	}
	from, err := q.find(ctx, "--from", t.from)
	if err != nil {
		return nil, err
	}
	if ask.Dst, err = q.destination(ctx, t.to, ask.Src); err != nil {
		return nil, err
	}
	path, err := q.follow(ctx, from, ask)
	if err != nil {
		return nil, err
	}
	return q.tell(ctx, path)
}

// ask is the packet, but for where it goes.
func (t *traceFlags) ask() (forward.Ask, error) {
	a := forward.Ask{SrcPort: t.srcPort, DstPort: t.port, Size: t.size, DF: t.df}
	number, known := map[string]uint8{"icmp": 1, "icmpv6": 58, "tcp": 6, "udp": 17, "sctp": 132}[strings.ToLower(t.proto)]
	if n, err := strconv.ParseUint(t.proto, 10, 8); !known && err != nil {
		return a, fmt.Errorf("--proto %s: icmp, tcp, udp, sctp, or a number from 0 to 255", t.proto)
	} else if !known {
		number = uint8(n)
	}
	a.Proto = number
	if slices.Contains([]uint8{6, 17, 132}, number) && t.port == 0 {
		return a, fmt.Errorf("--proto %s needs --port", t.proto)
	}
	if t.size < 0 || t.size > 65535 {
		return a, fmt.Errorf("--size %d: at most 65535 bytes", t.size)
	}
	if t.src != "" {
		src, err := netip.ParseAddr(t.src)
		if err != nil {
			return a, fmt.Errorf("--src %s: not an address", t.src)
		}
		a.Src = src
	}
	return a, nil
}

// find is the one port that is called that.
func (q *tracer) find(ctx context.Context, flag, text string) (foundPort, error) {
	var list []foundPort
	words := []string{text}
	for id, name := range q.instances {
		if name == text {
			words = append(words, id)
		}
	}
	for _, w := range words {
		var some []foundPort
		if err := askServer(ctx, q.dir, http.MethodGet, "/ports?text="+url.QueryEscape(w), &some); err != nil {
			return foundPort{}, err
		}
		list = append(list, some...)
	}
	switch len(list) {
	case 0:
		return foundPort{}, fmt.Errorf("%s %s: no port on any host is called that; give a port's id, name, MAC or address, or an instance's id", flag, text)
	case 1:
		return list[0], nil
	}
	var each []string
	for _, p := range list {
		each = append(each, fmt.Sprintf("%s (network %s, host %s)", p.ID, p.Network, p.Host))
	}
	return foundPort{}, fmt.Errorf("%s %s: %d ports are called that: %s; give the id of one", flag, text, len(list), strings.Join(each, ", "))
}

// destination is an address as it is, or the first one of a port, of the family of src if that is given.
func (q *tracer) destination(ctx context.Context, text string, src netip.Addr) (netip.Addr, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return a.Unmap(), nil
	}
	p, err := q.find(ctx, "--to", text)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, s := range p.Addresses {
		if a, err := netip.ParseAddr(s); err == nil && (!src.IsValid() || a.Is4() == src.Is4()) {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("--to %s: port %s has no such address", text, p.ID)
}

// follow traces the packet with the hosts that it meets; which those are shows only on the way.
func (q *tracer) follow(ctx context.Context, from foundPort, ask forward.Ask) (forward.Path, error) {
	if err := q.learn(ctx, from.Host); err != nil {
		return forward.Path{}, err
	}
	for {
		w := forward.NewWorld(q.states)
		frame, err := w.Frame(from.ID, ask)
		if err != nil {
			return forward.Path{}, unsendable(err, from, ask)
		}
		path, err := w.Trace(from.ID, frame)
		if err != nil {
			return path, err
		}
		more := false
		for _, h := range path.Hops {
			if h.Missing && q.states[h.Host] == nil {
				more = true
				if err := q.learn(ctx, h.Host); err != nil {
					return path, err
				}
			}
		}
		if !more {
			return path, nil
		}
	}
}

func unsendable(err error, from foundPort, ask forward.Ask) error {
	if errors.Is(err, forward.ErrUnresolved) || errors.Is(err, forward.ErrNoGateway) || errors.Is(err, forward.ErrNoSource) {
		return fmt.Errorf("the instance would send nothing: %w (its port has %s; is %s right, and is a router on its subnet?)", err, strings.Join(from.Addresses, ", "), ask.Dst)
	}
	return err
}

// learn gets a host's State.
func (q *tracer) learn(ctx context.Context, host string) error {
	var u wire.Update
	err := callServer(ctx, q.dir, http.MethodGet, "/scope?host="+url.QueryEscape(host), nil, func(body io.Reader) error {
		b, err := io.ReadAll(body)
		if err == nil {
			err = proto.Unmarshal(b, &u)
		}
		return err
	})
	if err != nil {
		return err
	}
	q.states[host], err = agent.Compile(host, q.options, &u)
	return err
}

// traced is the answer.
type traced struct {
	Verdict string `json:"verdict"`
	// Arrives: somebody got the packet, or answered it.
	Arrives bool `json:"arrives"`
	// Reason, Why and Cure are of a packet that was dropped.
	Reason string      `json:"reason,omitempty"`
	Why    string      `json:"why,omitempty"`
	Cure   string      `json:"cure,omitempty"`
	Hops   []tracedHop `json:"hops"`
	// Notes are hosts that may do otherwise than what is said here.
	Notes []string `json:"notes"`
	text  string
}

type tracedHop struct {
	Host   string       `json:"host"`
	From   string       `json:"from"`
	Packet string       `json:"packet"`
	Stages []tracedStep `json:"stages"`
	Rule   string       `json:"rule,omitempty"`
	Says   string       `json:"rule_says,omitempty"`
	Sent   []string     `json:"sent"`
	Reason string       `json:"reason,omitempty"`
}

type tracedStep struct {
	Stage string `json:"stage"`
	Text  string `json:"text"`
}

// tell puts a path into words, with the names that the server knows.
func (q *tracer) tell(ctx context.Context, path forward.Path) (*traced, error) {
	var ids []model.UUID
	if err := path.Render(io.Discard, func(id model.UUID) string { ids = append(ids, id); return "" }); err != nil {
		return nil, err
	}
	known := map[string]string{}
	b, err := json.Marshal(ids)
	if err == nil {
		err = callServer(ctx, q.dir, http.MethodPost, "/names", bytes.NewReader(b), func(body io.Reader) error { return json.NewDecoder(body).Decode(&known) })
	}
	if err != nil {
		return nil, err
	}
	names := func(id model.UUID) string { return cmp.Or(known[id.String()], q.instances[id.String()]) }
	a := &traced{Verdict: path.Verdict(names), Hops: []tracedHop{}, Notes: []string{}}
	if r := path.Reason(); r != reason.None {
		advice := forward.Explain(r)
		a.Reason, a.Why, a.Cure = r.String(), advice.What, advice.Cure
	} else {
		a.Arrives = path.Arrives()
	}
	var text strings.Builder
	if err := path.Render(&text, names); err != nil {
		return nil, err
	}
	a.text = text.String()
	for _, h := range path.Hops {
		a.Hops = append(a.Hops, hopOf(h, names))
	}
	return a, q.note(ctx, a)
}

func hopOf(h forward.Hop, names forward.Names) tracedHop {
	t := tracedHop{Host: h.Host, From: "tunnel", Packet: forward.Summary(h.Frame), Stages: []tracedStep{}, Sent: []string{}}
	if !h.Central.IsZero() {
		t.From = "central part of router " + h.Central.String()
	} else if !h.In.Tunnel() {
		t.From = h.In.Port.String()
	}
	if !h.Rule.IsZero() {
		t.Rule, t.Says = h.Rule.String(), names(h.Rule)
	}
	if h.Reason != reason.None {
		t.Reason = h.Reason.String()
	}
	for _, n := range h.Trail {
		t.Stages = append(t.Stages, tracedStep{n.Stage, n.Text})
	}
	for _, o := range h.Outputs {
		t.Sent = append(t.Sent, o.Where()+": "+forward.Summary(o.Frame))
	}
	return t
}

// note adds the hosts of the path that do not do what the server wants, or of which that is not known.
func (q *tracer) note(ctx context.Context, a *traced) error {
	var s serverStatus
	if err := askServer(ctx, q.dir, http.MethodGet, "/status", &s); err != nil {
		return err
	}
	for _, h := range s.Agents {
		if !slices.ContainsFunc(a.Hops, func(t tracedHop) bool { return t.Host == h.Host }) {
			continue
		}
		if !h.Alive || !h.Connected || h.Held {
			a.Notes = append(a.Notes, fmt.Sprintf("host %s may do otherwise, by what it was told last: its agent is %s", h.Host, h.describe(s.Position.Revision, time.Now())))
		}
		for _, p := range h.Problems {
			a.Notes = append(a.Notes, fmt.Sprintf("host %s may do otherwise: it could not carry out %s %s: %s", h.Host, p.Kind, p.ID, p.Why))
		}
	}
	return nil
}

func (a *traced) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(w, a)
	}
	text := a.text
	for _, n := range a.Notes {
		text += "note     " + n + "\n"
	}
	_, err := io.WriteString(w, text)
	return err
}

// labNames are the names of instances by their ports' ids, if dir is the server of the lab that is up. A real cloud's
// networking server does not know them.
func labNames(ctx context.Context, dir string) map[string]string {
	r, err := lab.Load()
	if err != nil || r.ServerDir() != dir {
		return nil
	}
	names, err := r.PortNames(ctx)
	if err != nil {
		return nil // then nothing is known by name
	}
	return names
}
