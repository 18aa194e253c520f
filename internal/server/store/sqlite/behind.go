package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/journal"
)

// behind is what the journal holds and the file does not. It is added to by whoever owns the log, taken from by whoever has the
// turn, and read by anybody.
type behind struct {
	mu     sync.Mutex
	groups []*group // each follows the one before it
	err    error    // why they could not be brought into the file when that was last tried
}

func (b *behind) add(g *group) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.groups = append(b.groups, g)
}

// list is what there is now; the slice is the caller's.
func (b *behind) list() []*group {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.groups)
}

// done takes away the n oldest, or notes why they are still there.
func (b *behind) done(n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err = err; err == nil {
		b.groups = b.groups[n:]
	}
}

// stuck reports whether the file could not be written when that was last tried.
func (b *behind) stuck() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err != nil
}

// maxApply is how many bytes of records one transaction brings into the file, so that its log stays small and others get their turn.
const maxApply = 1 << 20

// apply brings into the file what the journal held when it was called; the caller has the turn. After an error the rest is in the journal.
func (s *Store) apply(ctx context.Context) error {
	for groups := s.behind.list(); len(groups) > 0; {
		n, bytes := 0, 0
		for n < len(groups) && (n == 0 || bytes+groups[n].size() <= maxApply) {
			bytes += groups[n].size()
			n++
		}
		err := s.applyGroups(ctx, groups[:n])
		if errors.Is(err, errCommit) { // it may have happened; the second time settles that first
			err = s.applyGroups(ctx, groups[:n])
		}
		if err != nil {
			err = fmt.Errorf("bring %d changes of the journal into the file: %w", len(groups), err)
		}
		s.behind.done(n, err)
		if err != nil {
			return err
		}
		if s.journal != nil {
			s.journal.Free(n)
		}
		groups = groups[n:]
	}
	return nil
}

func (s *Store) applyGroups(ctx context.Context, groups []*group) error {
	if err := s.settle(ctx); err != nil {
		return err
	}
	return s.runTx(ctx, func(ctx context.Context, w *writer) error {
		m, err := w.readMeta(ctx)
		if err != nil {
			return err
		}
		left, err := continuing(m, groups)
		if err != nil || len(left) == 0 {
			return err
		}
		if err := s.advance(ctx, w, left[0].base, left[len(left)-1].end()); err != nil {
			return err
		}
		for _, g := range left {
			if err := s.putRows(ctx, w, g); err != nil {
				return err
			}
		}
		return nil
	})
}

// continuing are those of groups, in any order, that follow the file's newest position one after the other. Others are older, or
// were never answered for; if one is neither, the file is not the one that the journal was written for, and that is an error.
func continuing(m meta, groups []*group) (out []*group, err error) {
	follows := make(map[store.Head]*group, len(groups))
	newest := uint64(0)
	for _, g := range groups {
		if g.epoch == m.journal && g.base.Lineage == m.Lineage {
			follows[g.base] = g
			newest = max(newest, g.end().Revision)
		}
	}
	head := m.Head
	for g := follows[head]; g != nil; g = follows[head] {
		out, head = append(out, g), g.end()
	}
	if newest > head.Revision {
		return nil, &gapError{at: head.Revision, newest: newest}
	}
	return out, nil
}

// gapError says that the journal holds changes, but not those that follow the file's.
type gapError struct{ at, newest uint64 }

func (e *gapError) Error() string {
	return fmt.Sprintf("its journal holds changes up to revision %d, but not what follows revision %d: the file is an older copy, or the journal is damaged; "+
		"restore a backup (weft store restore), or move the journal away to go on from revision %d without them", e.newest, e.at, e.at)
}

// readJournal is what the journal beside the file holds, in no order. A record that is none of a group counts as damaged, as one with a
// wrong checksum does.
func (s *Store) readJournal() ([]*group, error) {
	records, err := journal.Read(s.path + journalSuffix)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	var out []*group
	for _, r := range records {
		if g, err := decodeGroup(r); err == nil {
			out = append(out, g)
		}
	}
	return out, nil
}

// journalSuffix is what the journal's name has behind the file's.
const journalSuffix = ".journal"

// recoverJournal brings into the file what a server that was killed has left in the journal, and makes the journal ready for new records if
// it has its size already.
func (s *Store) recoverJournal(ctx context.Context) error {
	groups, err := s.readJournal()
	if err != nil {
		return err
	}
	m, err := s.w.readMeta(ctx)
	if err != nil {
		return err
	}
	if s.behind.groups, err = continuing(m, groups); err != nil {
		return err
	}
	if err := s.apply(ctx); err != nil {
		return err
	}
	if err := s.refresh(ctx); err != nil {
		return err
	}
	info, err := os.Stat(s.path + journalSuffix)
	if s.wanted = s.journalSize > 0; s.wanted && err == nil && info.Size() == s.journalSize {
		s.makeJournal(ctx)
	}
	s.delay, s.followed = followDelay, make(chan struct{})
	go s.follow()
	return nil
}

// makeJournal opens the journal, or makes it, which takes longer than a write should.
func (s *Store) makeJournal(ctx context.Context) {
	j, err := journal.Open(s.path+journalSuffix, s.journalSize)
	if err != nil {
		s.noJournal(err)
		return
	}
	release, err := s.takeAll(ctx)
	if err != nil { // closed
		_ = j.Close()
		return
	}
	s.journal, s.wanted = j, false
	release()
}

// follow brings the journal's records into the file, several at once, shortly after they were written, and makes the journal when somebody
// has missed it.
func (s *Store) follow() {
	defer close(s.followed)
	for {
		select {
		case <-s.news:
		case <-s.missed:
			s.makeJournal(context.Background())
			continue
		case <-s.quit:
			return
		}
		for wait := s.delay; ; wait = min(10*wait, time.Second) {
			select {
			case <-time.After(wait):
			case <-s.quit:
				return
			}
			if done, err := s.followOnce(context.Background()); done || err != nil {
				break
			}
		}
	}
}

// followOnce does what there is to do. An error: the store is closed.
func (s *Store) followOnce(ctx context.Context) (done bool, err error) {
	release, err := s.takeTurn(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	return s.apply(ctx) == nil, nil
}

// followDelay is how long a record waits for others, to share a transaction with them. Tests change it.
var followDelay = 50 * time.Millisecond
