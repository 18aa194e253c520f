package drops

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
)

// SocketName is the socket's name in the agent's directory.
const SocketName = "drops.sock"

// keep is how many events are remembered.
const keep = 256

// Request is what a client sends first, as one line of JSON. The answer is one Report; with Follow, then an Event a line
// until either side ends it.
type Request struct {
	Follow bool `json:"follow"`
}

// Deps of New. State is the host's newest State, or nil.
type Deps struct {
	Host  string
	Plane dataplane.Teller
	State func() *hostplan.State
	Now   func() time.Time
	Log   *slog.Logger
}

// Book collects events and answers questions. Run must be called once.
type Book struct {
	Deps

	mu        sync.Mutex // guards what follows
	last      []dataplane.DropEvent
	followers map[chan Event]struct{}
}

// New returns an empty book.
func New(d Deps) *Book { return &Book{Deps: d, followers: map[chan Event]struct{}{}} }

// Run collects and serves on dir's socket until ctx ends. It owns the plane's events.
func (b *Book) Run(ctx context.Context, dir string) error {
	l, err := listen(dir)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { b.collect(ctx) })
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept on %s: %w", SocketName, err)
		}
		running.Go(func() {
			defer conn.Close()
			if err := b.serve(ctx, conn); err != nil && ctx.Err() == nil {
				b.Log.Debug("drops not delivered", "error", err)
			}
		})
	}
}

func listen(dir string) (net.Listener, error) {
	path := filepath.Join(dir, SocketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove %s: %w", SocketName, err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", SocketName, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protect %s: %w", SocketName, err), l.Close())
	}
	return l, nil
}

func (b *Book) collect(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-b.Plane.Events():
			if !ok {
				return
			}
			b.note(e)
		}
	}
}

func (b *Book) note(e dataplane.DropEvent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.last) == keep {
		b.last = slices.Delete(b.last, 0, 1)
	}
	b.last = append(b.last, e)
	if len(b.followers) == 0 {
		return
	}
	told := b.words().event(e)
	for f := range b.followers {
		select {
		case f <- told:
		default: // it reads too slowly; the counters have it
		}
	}
}

func (b *Book) words() words { return words{host: b.Host, state: b.State()} }

func (b *Book) serve(ctx context.Context, conn net.Conn) error {
	if err := conn.SetDeadline(b.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	var req Request
	if err := json.Unmarshal(line, &req); err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	var events chan Event
	if req.Follow { // before the report, so that nothing falls between
		events = make(chan Event, 64)
		b.mu.Lock()
		b.followers[events] = struct{}{}
		b.mu.Unlock()
		defer func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			delete(b.followers, events)
		}()
	}
	out := json.NewEncoder(conn)
	r, err := b.Report()
	if err != nil {
		r.Missing = append(r.Missing, err.Error())
	}
	if err := out.Encode(r); err != nil || !req.Follow {
		return err
	}
	return b.follow(ctx, conn, events)
}

// follow writes events until the client hangs up.
func (b *Book) follow(ctx context.Context, conn net.Conn, events <-chan Event) error {
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	var gone sync.WaitGroup
	defer gone.Wait()
	defer cancel()
	gone.Go(func() {
		defer cancel()
		_, _ = conn.Read(make([]byte, 1)) // only its end matters
	})
	out := json.NewEncoder(conn)
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-events:
			if err := conn.SetWriteDeadline(b.Now().Add(5 * time.Second)); err != nil {
				return err
			}
			if err := out.Encode(e); err != nil {
				return err
			}
		}
	}
}

// Report is all that is known now. With an error it has what could be read.
func (b *Book) Report() (Report, error) {
	w := b.words()
	r := Report{Host: b.Host, Time: b.Now(), Counts: []Count{}, Rules: []Rule{}, Kernel: []Kernel{}, Events: []Event{}, Missing: []string{}}
	b.mu.Lock()
	for _, e := range b.last {
		r.Events = append(r.Events, w.event(e))
	}
	b.mu.Unlock()
	counts, err := b.Plane.Drops()
	for _, c := range counts {
		r.Counts = append(r.Counts, w.count(c))
	}
	slices.SortStableFunc(r.Counts, func(a, b Count) int { return cmp.Compare(b.Packets, a.Packets) })
	rules, err2 := b.Plane.Rules()
	r.Rules = append(r.Rules, w.rules(rules)...)
	lost, missing, err3 := b.Plane.Lost()
	for _, l := range lost {
		r.Kernel = append(r.Kernel, Kernel{Where: w.device(l.Device), Source: l.Source, Why: l.Why, Packets: l.Packets})
	}
	r.Missing = append(r.Missing, missing...)
	return r, errors.Join(err, err2, err3)
}

func sorted(w []Where) []Where {
	slices.SortFunc(w, func(a, b Where) int { return cmp.Compare(a.Port, b.Port) })
	if w == nil {
		return []Where{}
	}
	return w
}

// Read asks the agent whose state is in dir. With each, it then calls it with every event, until ctx ends or the agent does.
func Read(ctx context.Context, dir string, report func(Report), each func(Event)) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", filepath.Join(dir, SocketName))
	if err != nil {
		return fmt.Errorf("ask agent: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := json.NewEncoder(conn).Encode(Request{Follow: each != nil}); err != nil {
		return fmt.Errorf("ask agent: %w", err)
	}
	in := json.NewDecoder(conn)
	var r Report
	if err := in.Decode(&r); err != nil {
		return fmt.Errorf("read the agent's answer: %w", err)
	}
	report(r)
	for each != nil {
		var e Event
		if err := in.Decode(&e); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("the agent ended: %w", err)
		}
		each(e)
	}
	return nil
}
