package world

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store"
)

// Rule is one write: plain Go on a world that nobody else sees. An error throws away what it did. It may run more than
// once (after a lost race, or a failed commit before it) and must not block or keep tx.
type Rule func(tx *Tx) error

// Config is what a Writer needs.
type Config struct {
	Store store.Store
	Log   *slog.Logger
	// Now is the clock, Random the source of identifiers.
	Now    func() time.Time
	Random func() model.UUID
	// MaxGroup bounds the writes of one commit; 0: 256.
	MaxGroup int
	// Observe is told how long each rule took; may be nil.
	Observe func(op string, took time.Duration)
}

// Writer is the one that makes new Worlds. Snapshot and Commits may be used by any number of goroutines; Do, too.
type Writer struct {
	cfg       Config
	requests  chan *request
	published atomic.Pointer[Commit]
	healthy   atomic.Pointer[storeState]
	done      chan struct{} // closed when Run has returned

	callers atomic.Int32 // calls of Do under way
	// turn is full while somebody computes and commits: Run for as long as it has anything to do, or one caller (alone.go). Run has it
	// before it begins and after it has returned.
	turn chan struct{}
	// left is what a caller could not bring to its end; the turn goes to Run with it.
	left chan *remainder
}

// Commit is one published step: the World after it and what led there, one Batch per write. Commits form a chain; a
// reader that follows it holds on to nothing else.
type Commit struct {
	World   *World
	Batches []Batch
	// Reset: the World was loaded anew (start, or another lineage); Batches is empty and everything may have changed.
	Reset bool
	next  atomic.Pointer[Commit]
	ready chan struct{}
}

// Batch is what one write changed.
type Batch struct {
	Revision uint64
	Changes  []Change
}

// Next waits for the commit after c.
func (c *Commit) Next(ctx context.Context) (*Commit, error) {
	select {
	case <-c.ready:
		return c.next.Load(), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type request struct {
	op   string
	rule Rule
	ctx  context.Context
	// state: 0 waiting, 1 taken by the writer, 2 withdrawn by its caller.
	state  atomic.Int32
	answer chan answer
}

type answer struct {
	world *World
	err   error
}

const (
	stateWaiting = iota
	stateTaken
	stateWithdrawn
)

// Open loads the world from the store. Run must then be started for Do to be answered.
func Open(ctx context.Context, cfg Config) (*Writer, error) {
	if cfg.MaxGroup == 0 {
		cfg.MaxGroup = 256
	}
	w := &Writer{cfg: cfg, requests: make(chan *request, 1024), done: make(chan struct{}),
		turn: make(chan struct{}, 1), left: make(chan *remainder, 1)}
	w.turn <- struct{}{}
	w.healthy.Store(&storeState{})
	world, err := load(ctx, cfg.Store)
	if err != nil {
		return nil, err
	}
	w.published.Store(&Commit{World: world, Reset: true, ready: make(chan struct{})})
	return w, nil
}

// Snapshot is the newest published World.
func (w *Writer) Snapshot() *World { return w.published.Load().World }

// Head is the newest commit, to follow from.
func (w *Writer) Head() *Commit { return w.published.Load() }

// Do runs rule as a write and returns the World in which it is durable. op names it for metrics. An error of kind
// unavailable means that it was certainly not done. Cancelling ctx withdraws a write that has not begun; one that has
// is waited for, since its outcome would not be known otherwise.
func (w *Writer) Do(ctx context.Context, op string, rule Rule) (*World, error) {
	if err := ctx.Err(); err != nil { // else it would be chance whether it begins
		return nil, err
	}
	only := w.callers.Add(1) == 1
	defer w.callers.Add(-1)
	r := &request{op: op, rule: rule, ctx: ctx, answer: make(chan answer, 1)}
	if !only || !w.alone(r) {
		select {
		case w.requests <- r:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-w.done:
			return nil, errStopped()
		}
	}
	select {
	case a := <-r.answer:
		return a.world, a.err
	case <-ctx.Done():
		if r.state.CompareAndSwap(stateWaiting, stateWithdrawn) {
			return nil, ctx.Err()
		}
	case <-w.done:
	}
	select {
	case a := <-r.answer:
		return a.world, a.err
	case <-w.done:
		select {
		case a := <-r.answer:
			return a.world, a.err
		default:
			return nil, errStopped()
		}
	}
}

func errStopped() error {
	return &model.Error{Kind: model.KindUnavailable, Type: "ServiceUnavailable", Message: "The server is stopping; nothing was done. Try again.", RetryAfter: 1}
}

// group is the writes that one commit makes durable, and the refusals that read them.
type group struct {
	members []*pending
	batches []store.Batch
	changes []Batch
	world   *World // after all members
	bytes   int
}

type pending struct {
	*request
	world *World
	err   error
}

// maxGroupBytes bounds a commit; the store's own bound is several times that.
const maxGroupBytes = 4 << 20

// Run serves writes until ctx is done, then ends the commit under way and returns. One whose outcome the store cannot tell is left.
func (w *Writer) Run(ctx context.Context) error {
	defer close(w.done)
	for {
		<-w.turn
		var first *request
		var from *remainder
		select {
		case first = <-w.requests:
		case from = <-w.left:
		case <-ctx.Done():
		}
		if from == nil {
			select {
			case w.turn <- struct{}{}:
			case from = <-w.left:
			}
		}
		if first == nil && from == nil {
			return nil
		}
		w.serve(ctx, first, from)
	}
}

// serve computes and commits for as long as there is anything to do, beginning with what a caller has left behind and a first
// request, either of which may be nil. It has the turn.
func (w *Writer) serve(ctx context.Context, first *request, from *remainder) {
	next := &group{world: w.Snapshot()}
	var busy *group
	results, lost := make(chan error, 1), make(chan struct{}, 1)
	if from != nil {
		busy, next = from.group, &group{world: from.group.world}
		go w.resolve(ctx, busy, from.err, outcome{results, lost})
	}
	if first != nil {
		w.take(next, first)
		w.drain(next)
	}
	refusing := false // the outcome of busy is unknown and the store cannot be asked: nothing can be done meanwhile
	for busy != nil || len(next.members) > 0 {
		if busy == nil {
			if len(next.batches) == 0 { // refusals only, and all they read is durable
				next.reply()
				next = &group{world: w.Snapshot()}
				w.drain(next)
				continue
			}
			busy, next = next, &group{world: next.world}
			go w.commit(ctx, busy, outcome{results, lost})
		}
		requests := w.requests
		if len(next.members) >= w.cfg.MaxGroup || next.bytes >= maxGroupBytes {
			requests = nil
		}
		select {
		case r := <-requests:
			if refusing {
				r.refuse()
				continue
			}
			w.take(next, r)
			w.drain(next)
		case <-lost:
			refusing = true
			for _, p := range next.members {
				p.answer <- answer{nil, errNotDone()}
			}
			next = &group{world: busy.world}
		case err := <-results:
			next = w.settle(ctx, busy, next, err)
			busy, refusing = nil, false
			select { // said before the result
			case <-lost:
			default:
			}
			w.drain(next)
		}
	}
}

// drain takes what already waits, so that it shares the commit.
func (w *Writer) drain(g *group) {
	for len(g.members) < w.cfg.MaxGroup && g.bytes < maxGroupBytes {
		select {
		case r := <-w.requests:
			w.take(g, r)
		default:
			return
		}
	}
}

// refuse answers a write that has not begun.
func (r *request) refuse() {
	if r.state.CompareAndSwap(stateWaiting, stateTaken) {
		r.answer <- answer{nil, errNotDone()}
	}
}

func errNotDone() error {
	return &model.Error{Kind: model.KindUnavailable, Type: "ServiceUnavailable", RetryAfter: 1,
		Message: "The database cannot be written at present; nothing was done. Try again."}
}

func (w *Writer) take(g *group, r *request) {
	if !r.state.CompareAndSwap(stateWaiting, stateTaken) {
		return
	}
	w.compute(g, &pending{request: r})
}

// compute runs a rule on the group's world and adds its outcome to the group.
func (w *Writer) compute(g *group, p *pending) {
	began := w.cfg.Now()
	tx := begin(g.world, g.world.pos.Revision+1, model.Time(began.Unix()))
	tx.random = w.cfg.Random
	p.world = g.world
	b, size, err := w.guard(tx, p, began)
	p.err = err
	g.members = append(g.members, p)
	if w.cfg.Observe != nil {
		w.cfg.Observe(p.op, w.cfg.Now().Sub(began))
	}
	if err != nil || (len(tx.changes) == 0 && len(tx.intents) == 0) {
		return
	}
	b.Prev = g.world.batch
	made, changes := tx.end()
	made.batch = b.ID
	g.world, p.world = made, made
	g.batches = append(g.batches, b)
	g.changes = append(g.changes, Batch{Revision: tx.revision, Changes: changes})
	g.bytes += size
}

// guard runs the rule and puts what it did in the store's form; a panic in that is this request's failure alone.
func (w *Writer) guard(tx *Tx, p *pending, at time.Time) (b store.Batch, size int, err error) {
	defer func() {
		if x := recover(); x != nil {
			w.cfg.Log.Error("rule panicked", "op", p.op, "panic", fmt.Sprint(x), "stack", string(debug.Stack()))
			err = fmt.Errorf("rule %s panicked: %v", p.op, x)
		}
	}()
	if err := p.rule(tx); err != nil || (len(tx.changes) == 0 && len(tx.intents) == 0) {
		return b, 0, err
	}
	return tx.batch(at)
}

// batch is the transaction as the store wants it.
func (tx *Tx) batch(at time.Time) (store.Batch, int, error) {
	b := store.Batch{ID: tx.random(), Revision: tx.revision, At: at}
	size := 0
	for _, c := range tx.changes {
		if c.Old == nil && c.New == nil {
			continue
		}
		body, err := encode(c.New)
		if err != nil {
			return b, 0, fmt.Errorf("encode %s %s: %w", c.Kind, c.Key, err)
		}
		size += len(body) + len(c.Key) + len(c.Kind)
		b.Mutations = append(b.Mutations, store.Mutation{Kind: string(c.Kind), Key: c.Key, Schema: 1, Body: body})
	}
	for _, i := range tx.intents {
		size += len(i.Body)
		b.Intents = append(b.Intents, store.Intent{ID: tx.random(), Kind: i.Kind, Body: i.Body})
	}
	if size > store.MaxBatch {
		return b, 0, model.Errf(model.KindInvalid, "RequestTooLarge", "The request changes %d bytes at once, more than the %d that one transaction may hold: split it.", size, store.MaxBatch)
	}
	return b, size, nil
}

// outcome is where a commit tells what has become of it.
type outcome struct {
	results chan<- error
	lost    chan<- struct{} // the store cannot even be asked, which may last
}

// errGivenUp ends a commit whose outcome is not known while the server stops: the store is asked when the next one starts.
var errGivenUp = errors.New("the server has stopped before it was known whether the commit happened")

// commit makes a group durable; it runs beside Run, one at a time. An unknown outcome is asked after until it is known, or ctx is done.
func (w *Writer) commit(ctx context.Context, g *group, to outcome) {
	w.resolve(ctx, g, w.append(g), to)
}

// append asks the store to make a group durable.
func (w *Writer) append(g *group) error {
	base := model.Position{Lineage: g.world.pos.Lineage, Revision: g.batches[0].Revision - 1}
	return w.cfg.Store.Append(context.Background(), base, g.batches)
}

// resolve is the rest of commit, when append has returned err.
func (w *Writer) resolve(stop context.Context, g *group, err error, to outcome) {
	ctx, last := context.Background(), g.batches[len(g.batches)-1]
	for wait := 10 * time.Millisecond; errors.Is(err, store.ErrUnknown); wait = min(2*wait, time.Second) {
		w.healthy.Store(&storeState{err: err, commit: true, at: w.cfg.Now()})
		w.cfg.Log.Warn("outcome of a commit is unknown, asking the store", "revision", last.Revision, "error", err)
		there, askErr := w.cfg.Store.Committed(ctx, last.Revision, last.ID)
		switch {
		case askErr == nil && there:
			err = nil
		case askErr == nil:
			err = errors.New("commit was lost")
		default:
			select {
			case to.lost <- struct{}{}:
			default: // said before
			}
			select {
			case <-time.After(wait):
			case <-stop.Done():
				to.results <- errGivenUp
				return
			}
		}
	}
	to.results <- err
}

// settle publishes a durable group and answers it, or takes a failed one back. It returns the group to go on with.
func (w *Writer) settle(ctx context.Context, g, next *group, err error) *group {
	if err == nil {
		w.succeed(g)
		return next
	}
	again := next.members
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrLineage) {
		if err = w.catchUp(ctx, err); err == nil {
			again = append(g.members, next.members...)
			g.members = nil
		}
	}
	if errors.Is(err, errGivenUp) {
		w.cfg.Log.Error("stopped with a commit whose outcome is unknown; what the store holds is what the next start finds", "writes", len(g.batches))
		for _, p := range g.members {
			p.answer <- answer{nil, err} // not that it was not done
		}
		for _, p := range next.members {
			p.answer <- answer{nil, errStopped()}
		}
		return &group{world: w.Snapshot()}
	}
	if err != nil {
		w.healthy.Store(&storeState{err: err, commit: true, at: w.cfg.Now()})
		w.cfg.Log.Error("commit failed, its writes were not done", "writes", len(g.batches), "error", err)
	}
	for _, p := range g.members {
		p.answer <- answer{nil, errNotDone()}
	}
	fresh := &group{world: w.Snapshot()}
	for _, p := range again {
		w.compute(fresh, p)
	}
	return fresh
}

// succeed publishes and answers what is durable.
func (w *Writer) succeed(g *group) {
	if w.StoreError() != nil {
		w.healthy.Store(&storeState{})
	}
	w.publish(&Commit{World: g.world, Batches: g.changes})
	g.reply()
}

func (g *group) reply() {
	for _, p := range g.members {
		p.answer <- answer{p.world, p.err}
	}
}

func (w *Writer) publish(c *Commit) {
	c.ready = make(chan struct{})
	old := w.published.Load()
	w.published.Store(c)
	old.next.Store(c)
	close(old.ready)
}
