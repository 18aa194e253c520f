package world_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/memory"
	"github.com/weft-cloud/weft/internal/server/world"
)

func randomUUID() model.UUID {
	var b [16]byte
	rand.Read(b[:])
	return model.NewUUIDv4(b)
}

func newStore(t *testing.T) store.Store {
	t.Helper()
	s, err := memory.New(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t *testing.T, s store.Store) *world.Writer {
	t.Helper()
	w, err := world.Open(t.Context(), world.Config{Store: s, Log: slog.New(slog.DiscardHandler), Now: time.Now, Random: randomUUID})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

func putNetwork(name, project string) world.Rule {
	return func(tx *world.Tx) error {
		for range tx.Networks.ByName(name) {
			return model.Errf(model.KindConflict, "Taken", "name %s is taken", name)
		}
		tx.Networks.Put(&model.Network{ID: model.NetworkID{UUID: tx.NewUUID()}, Name: name, ProjectID: project})
		return nil
	}
}

func TestWritesAreDurableAndUniqueUnderConcurrency(t *testing.T) {
	s := newStore(t)
	w := open(t, s)
	var wg sync.WaitGroup
	var mu sync.Mutex
	ok, refused := 0, 0
	for i := range 400 {
		wg.Go(func() {
			_, err := w.Do(t.Context(), "create", putNetwork(fmt.Sprint("n", i%100), "p"))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				ok++
			case model.KindOf(err) == model.KindConflict:
				refused++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if ok != 100 || refused != 300 {
		t.Fatalf("ok %d, refused %d; want 100 and 300", ok, refused)
	}
	if n := w.Snapshot().Usage.Of(model.KindNetwork, "p"); n != 100 {
		t.Fatalf("usage %d", n)
	}
	again := open(t, s).Snapshot()
	if again.Position() != w.Snapshot().Position() || again.Networks.Len() != 100 || again.Usage.Of(model.KindNetwork, "p") != 100 {
		t.Fatalf("reloaded: %v, %d networks", again.Position(), again.Networks.Len())
	}
	for n := range again.Networks.All() {
		if m := w.Snapshot().Networks.Get(n.ID); m == nil || m.Revision != n.Revision || m.Revision == 0 {
			t.Fatalf("network %s: revision %d, reloaded %v", n.ID, n.Revision, m)
		}
	}
}

func TestPanicIsOneRequestsFailure(t *testing.T) {
	w := open(t, newStore(t))
	_, err := w.Do(t.Context(), "bad", func(tx *world.Tx) error {
		tx.Networks.Put(&model.Network{Name: "half"})
		panic("boom")
	})
	if err == nil || w.Snapshot().Networks.Len() != 0 {
		t.Fatalf("err %v, networks %d", err, w.Snapshot().Networks.Len())
	}
	if _, err := w.Do(t.Context(), "good", putNetwork("a", "p")); err != nil {
		t.Fatal(err)
	}
}

// faulty fails appends on demand.
type faulty struct {
	store.Store
	mu     sync.Mutex
	before error // returned instead of appending
	after  error // returned although appended
}

func (f *faulty) Append(ctx context.Context, base model.Position, b []store.Batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.before != nil {
		return f.before
	}
	if err := f.Store.Append(ctx, base, b); err != nil {
		return err
	}
	return f.after
}

func TestFailedCommit(t *testing.T) {
	for _, tt := range []struct {
		name          string
		before, after error
		kind          model.ErrorKind
		there         bool
	}{
		{"certainly not done", errors.New("disk full"), nil, model.KindUnavailable, false},
		{"unknown and lost", store.ErrUnknown, nil, model.KindUnavailable, false},
		{"unknown but there", nil, store.ErrUnknown, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &faulty{Store: newStore(t), before: tt.before, after: tt.after}
			w := open(t, f)
			_, err := w.Do(t.Context(), "create", putNetwork("a", "p"))
			if tt.there != (err == nil) || model.KindOf(err) != tt.kind {
				t.Fatalf("err %v", err)
			}
			if got := w.Snapshot().Networks.Len() == 1; got != tt.there {
				t.Fatalf("there %v, want %v", got, tt.there)
			}
			f.mu.Lock()
			f.before, f.after = nil, nil
			f.mu.Unlock()
			if _, err := w.Do(t.Context(), "create", putNetwork("b", "p")); err != nil {
				t.Fatal(err)
			}
			if w.StoreError() != nil {
				t.Fatal(w.StoreError())
			}
		})
	}
}

// gone is a store that goes away in the moment of a commit, and can be asked nothing until it is back.
type gone struct {
	store.Store
	away chan struct{} // closed when it is back
}

func (g *gone) Append(ctx context.Context, base model.Position, b []store.Batch) error {
	if err := g.Store.Append(ctx, base, b); err != nil {
		return err
	}
	select {
	case <-g.away:
		return nil
	default:
		return store.ErrUnknown
	}
}

func (g *gone) Committed(ctx context.Context, revision uint64, id model.UUID) (bool, error) {
	select {
	case <-g.away:
		return g.Store.Committed(ctx, revision, id)
	default:
		return false, errors.New("nobody answers")
	}
}

// TestStoreAway: the one write whose outcome nobody knows waits; all others are told at once that they were not done.
func TestStoreAway(t *testing.T) {
	g := &gone{Store: newStore(t), away: make(chan struct{})}
	w := open(t, g)
	first := make(chan error, 1)
	go func() {
		_, err := w.Do(t.Context(), "create", putNetwork("first", "p"))
		first <- err
	}()
	for w.StoreError() == nil {
		time.Sleep(time.Millisecond)
	}
	var others sync.WaitGroup
	for i := range 20 {
		others.Go(func() {
			if _, err := w.Do(t.Context(), "create", putNetwork(fmt.Sprint("other", i), "p")); model.KindOf(err) != model.KindUnavailable {
				t.Errorf("another write: %v", err)
			}
		})
	}
	others.Wait()
	select {
	case err := <-first:
		t.Fatalf("the first write was answered: %v", err)
	default:
	}
	close(g.away)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if _, err := w.Do(t.Context(), "create", putNetwork("after", "p")); err != nil || w.Snapshot().Networks.Len() != 2 {
		t.Fatalf("%v, %d networks", err, w.Snapshot().Networks.Len())
	}
}

// TestStopWithUnknownOutcome: a server that is told to stop does not wait for a store that may never come back, and does not say of the
// write whose outcome nobody knows that it was not done.
func TestStopWithUnknownOutcome(t *testing.T) {
	w, err := world.Open(t.Context(), world.Config{Store: &gone{Store: newStore(t), away: make(chan struct{})}, Log: slog.New(slog.DiscardHandler), Now: time.Now, Random: randomUUID})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended, first := make(chan error, 1), make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	go func() {
		_, err := w.Do(t.Context(), "create", putNetwork("first", "p"))
		first <- err
	}()
	for w.StoreError() == nil {
		time.Sleep(time.Millisecond)
	}
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it does not stop")
	}
	if err := <-first; err == nil || model.KindOf(err) == model.KindUnavailable {
		t.Errorf("the write of which nothing is known: %v", err)
	}
}

// TestStoreTried: what another write to the store came to counts where the writer has nothing newer to say.
func TestStoreTried(t *testing.T) {
	now := time.Unix(1000, 0)
	w, err := world.Open(t.Context(), world.Config{Store: newStore(t), Now: func() time.Time { return now }, Random: randomUUID})
	if err != nil {
		t.Fatal(err)
	}
	if w.StoreTried(errors.New("away")); w.StoreError() == nil {
		t.Error("the store was away and nothing is said")
	}
	if w.StoreTried(nil); w.StoreError() != nil {
		t.Error("the store is back and is said to be away")
	}
}

func TestLostRaceCatchesUp(t *testing.T) {
	s := newStore(t)
	a, b := open(t, s), open(t, s)
	if _, err := a.Do(t.Context(), "create", putNetwork("x", "p")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Do(t.Context(), "create", putNetwork("x", "p")); model.KindOf(err) != model.KindConflict {
		// b computes on an old world, loses the race only if it writes; a second name makes it write.
		t.Logf("first: %v", err)
	}
	if _, err := b.Do(t.Context(), "create", putNetwork("y", "p")); err != nil {
		t.Fatal(err)
	}
	if n := b.Snapshot().Networks.Len(); n != 2 {
		t.Fatalf("b sees %d networks, want 2", n)
	}
	head := a.Head()
	if _, err := a.Do(t.Context(), "create", putNetwork("z", "p")); err != nil {
		t.Fatal(err)
	}
	var names []string
	for c := head; c.World != a.Snapshot(); {
		var err error
		if c, err = c.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, batch := range c.Batches {
			for _, ch := range batch.Changes {
				names = append(names, ch.New.(*model.Network).Name)
			}
		}
	}
	if fmt.Sprint(names) != "[y z]" {
		t.Fatalf("a's commits: %v", names)
	}
}

// TestStorePutBackByOtherMeans: the database goes back to an older state behind the server's back, and another history
// has reached the same revision. The server must not go on as if it were its own.
func TestStorePutBackByOtherMeans(t *testing.T) {
	other := newStore(t)
	s := &swapped{Store: newStore(t)}
	w := open(t, s)
	if _, err := w.Do(t.Context(), "create", putNetwork("mine", "p")); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, other).Do(t.Context(), "create", putNetwork("theirs", "p")); err != nil {
		t.Fatal(err)
	}
	had := w.Snapshot().Position().Lineage
	s.swap(other, had)
	if _, err := w.Do(t.Context(), "create", putNetwork("new", "p")); err != nil {
		t.Fatal(err)
	}
	var names []string
	for n := range w.Snapshot().Networks.All() {
		names = append(names, n.Name)
	}
	slices.Sort(names)
	if fmt.Sprint(names) != "[new theirs]" {
		t.Fatalf("the server has %v, want what the store has, and the new network", names)
	}
	if w.Snapshot().Position().Lineage == had {
		t.Error("another history goes on under the name of the one before, so that agents take their positions for its own")
	}
}

// TestStoreHasLess: the store lacks the last commit, as after a failover to a replica that had not got it. What it has is what there is,
// under a lineage of its own, also where nobody has written since.
func TestStoreHasLess(t *testing.T) {
	s := &swapped{Store: newStore(t)}
	w := open(t, s)
	had := w.Snapshot().Position().Lineage
	if _, err := w.Do(t.Context(), "create", putNetwork("lost", "p")); err != nil {
		t.Fatal(err)
	}
	s.swap(newStore(t), had)
	for _, name := range []string{"new", "newer"} {
		if _, err := w.Do(t.Context(), "create", putNetwork(name, "p")); err != nil {
			t.Fatal(err)
		}
	}
	if now := w.Snapshot(); now.Networks.Len() != 2 || now.Position().Lineage == had || now.Position().Revision != 2 {
		t.Errorf("%d networks at %s, want the two new ones in another lineage than %s", now.Networks.Len(), now.Position(), had)
	}
}

// TestLockedByNobodyWhoWrites: a lock in the database that somebody holds is no lost race. The write is refused, the store is said to
// be away, and nothing is loaded anew, which would cost every agent a snapshot.
func TestLockedByNobodyWhoWrites(t *testing.T) {
	s := &locked{Store: newStore(t)}
	w := open(t, s)
	if _, err := w.Do(t.Context(), "create", putNetwork("a", "p")); err != nil {
		t.Fatal(err)
	}
	head := w.Head()
	s.on.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := w.Do(ctx, "create", putNetwork("b", "p")); model.KindOf(err) != model.KindUnavailable {
		t.Errorf("a write behind a lock: %v", err)
	}
	if w.StoreError() == nil {
		t.Error("nothing says that the store cannot be written")
	}
	if w.Head() != head {
		t.Error("the world was published anew though nothing has changed")
	}
	s.on.Store(false)
	if _, err := w.Do(t.Context(), "create", putNetwork("b", "p")); err != nil || w.StoreError() != nil {
		t.Errorf("after the lock: %v, store %v", err, w.StoreError())
	}
}

// locked refuses each append as a database does whose lock was waited for in vain.
type locked struct {
	store.Store
	on atomic.Bool
}

func (l *locked) Append(ctx context.Context, base model.Position, b []store.Batch) error {
	if l.on.Load() {
		time.Sleep(time.Millisecond)
		return fmt.Errorf("lock wait timeout exceeded: %w", store.ErrConflict)
	}
	return l.Store.Append(ctx, base, b)
}

// swapped becomes another store that claims to be of the same lineage.
type swapped struct {
	store.Store
	mu      sync.Mutex
	lineage model.UUID // as it is shown; zero: as it is
	real    model.UUID
}

func (s *swapped) swap(to store.Store, lineage model.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, _ := to.Head(context.Background())
	s.Store, s.lineage, s.real = to, lineage, h.Lineage
}

func (s *swapped) get() (store.Store, func(model.Position) model.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	to, real := s.lineage, s.real
	return s.Store, func(p model.Position) model.Position {
		if !to.IsZero() && p.Lineage == to {
			p.Lineage = real
		}
		return p
	}
}

func (s *swapped) Head(ctx context.Context) (store.Head, error) {
	in, _ := s.get()
	h, err := in.Head(ctx)
	if s.mu.Lock(); !s.lineage.IsZero() {
		h.Lineage = s.lineage
	}
	s.mu.Unlock()
	return h, err
}

func (s *swapped) NewLineage(ctx context.Context, base model.Position) (model.Position, error) {
	in, name := s.get()
	pos, err := in.NewLineage(ctx, name(base))
	s.mu.Lock()
	s.lineage = model.UUID{} // shown as it is from now on
	s.mu.Unlock()
	return pos, err
}

func (s *swapped) Append(ctx context.Context, base model.Position, b []store.Batch) error {
	in, name := s.get()
	return in.Append(ctx, name(base), b)
}

func (s *swapped) Tail(ctx context.Context, after model.Position, limit int) ([]store.Batch, error) {
	in, name := s.get()
	return in.Tail(ctx, name(after), limit)
}

func (s *swapped) Load(ctx context.Context, visit func(store.Entry) error) (store.Snapshot, error) {
	in, _ := s.get()
	snap, err := in.Load(ctx, visit)
	if s.mu.Lock(); !s.lineage.IsZero() {
		snap.Lineage = s.lineage
	}
	s.mu.Unlock()
	return snap, err
}

// gated holds each append until it is let go.
type gated struct {
	store.Store
	entered, leave chan struct{}
}

func (g *gated) Append(ctx context.Context, base model.Position, b []store.Batch) error {
	g.entered <- struct{}{}
	<-g.leave
	return g.Store.Append(ctx, base, b)
}

// A lone write is committed on its caller's goroutine. Those that come meanwhile wait and share the next commit, and a
// writer that is stopped ends no sooner than both.
func TestLoneWriteIsWaitedFor(t *testing.T) {
	g := &gated{newStore(t), make(chan struct{}), make(chan struct{})}
	w, err := world.Open(t.Context(), world.Config{Store: g, Log: slog.New(slog.DiscardHandler), Now: time.Now, Random: randomUUID})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	answers := make(chan error, 4)
	do := func(name string) {
		_, err := w.Do(context.Background(), "create", putNetwork(name, "p"))
		answers <- err
	}
	go do("early")
	select {
	case <-g.entered:
		t.Fatal("it was written before Run")
	case <-time.After(20 * time.Millisecond):
	}
	go func() { ended <- w.Run(ctx) }()
	<-g.entered
	g.leave <- struct{}{}
	if err := <-answers; err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond) // until Run has nothing to do
	go do("first")
	<-g.entered
	go do("second")
	go do("third")
	time.Sleep(20 * time.Millisecond) // until they wait
	g.leave <- struct{}{}
	<-g.entered
	g.leave <- struct{}{}
	for range 3 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	time.Sleep(20 * time.Millisecond) // as above
	go do("last")
	<-g.entered
	stop()
	select {
	case err := <-ended:
		t.Fatalf("the writer has ended in a commit: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	g.leave <- struct{}{}
	if err := <-answers; err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil || w.Snapshot().Networks.Len() != 5 || w.Snapshot().Position().Revision != 5 {
		t.Fatalf("%v, %d networks at %s", err, w.Snapshot().Networks.Len(), w.Snapshot().Position())
	}
}

// Writes by one caller and by several, with a store that fails now and then, leave what was answered and nothing else.
func TestLoneAndSharedWritesAgree(t *testing.T) {
	f := &faulty{Store: newStore(t)}
	w := open(t, f)
	var mu sync.Mutex
	done := map[string]bool{}
	for round := range 60 {
		f.mu.Lock()
		f.before, f.after = nil, nil
		switch round % 6 {
		case 2:
			f.before = errors.New("disk full")
		case 4:
			f.after = store.ErrUnknown
		}
		f.mu.Unlock()
		var wg sync.WaitGroup
		for i := range 1 + round%3*3 {
			name := fmt.Sprint(round, "-", i)
			wg.Go(func() {
				_, err := w.Do(t.Context(), "create", putNetwork(name, "p"))
				if err != nil && model.KindOf(err) != model.KindUnavailable {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				done[name] = err == nil
			})
		}
		wg.Wait()
	}
	again := open(t, f.Store).Snapshot()
	for name, want := range done {
		if there := len(slices.Collect(again.Networks.ByName(name))) == 1; there != want {
			t.Errorf("%s: answered %v, there %v", name, want, there)
		}
	}
	if again.Position() != w.Snapshot().Position() {
		t.Errorf("reloaded at %s, not %s", again.Position(), w.Snapshot().Position())
	}
}
