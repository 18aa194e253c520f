// Package sqlite keeps the store in one SQLite file: the default, for one server. An Append is one record in a journal beside
// the file (package journal), synced before the call returns; a goroutine brings the records into the file shortly after,
// several in one transaction (journal_mode=WAL, synchronous=FULL). What is read is the file with what the journal has beyond
// it, and whatever else changes the file brings the journal's records there first. What is too large for the journal, or comes
// while the file cannot be written, goes to the file itself.
//
// Beside the file NAME lie NAME.journal, NAME-wal and NAME-shm, SQLite's own, and NAME.lock, which a running server holds by
// flock so that no second one opens the file. After Close all is in NAME. Copying the files of a running store with cp gives a
// broken copy: use store.Backup.
//
// The package must not know what entries mean and must not retry writes. It uses modernc.org/sqlite, which is SQLite
// translated to Go, so the binary stays static.
package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/journal"
	sqlite "modernc.org/sqlite" // and registers the driver of that name
	lib "modernc.org/sqlite/lib"
)

// Options say which store to open.
type Options struct {
	Path     string // required; the directory must exist, the file is made if it does not
	ReadOnly bool   // no lock is taken, and all that writes is ErrReadOnly: for a backup of a running server
	Journal  int64  // bytes of the journal, a multiple of journal.Block; 0: 4 MiB; negative: none
	// NoJournal is told why there is no journal, or none any more; writes then take longer. nil: nobody is.
	NoJournal func(error)
	Random    io.Reader // source of lineages; nil: crypto/rand
	Fault     Fault     // tests only: makes steps of a transaction fail
}

// Store implements store.Store.
type Store struct {
	path     string
	random   io.Reader
	fault    Fault
	readOnly bool
	lock     *os.File // held by flock; nil if readOnly
	read     *sql.DB  // any number of readers, query_only
	write    *sql.DB  // exactly one connection, used by whoever holds turn
	closed   atomic.Bool

	turn  chan struct{} // capacity 1: whoever has put a value in owns w and doubt, and changes place
	w     *writer
	place *place // nil if readOnly
	// doubt is set when a COMMIT has failed and it is not known whether the transaction can still come through.
	doubt bool

	log     chan struct{} // capacity 1, taken after turn: whoever has put a value in owns what follows, up to behind
	head    store.Head    // the newest position that was answered for
	epoch   uint64        // meta's journal
	stale   bool          // head and epoch are to be read from the file
	torn    error         // a write to the journal has failed with it, and its record may still be found
	record  []byte        // a buffer
	journal *journal.File // nil: none. Changed by who owns turn, too, and so read by who owns either
	wanted  bool          // there should be one

	behind      behind
	journalSize int64
	delay       time.Duration // followDelay
	noJournal   func(error)
	news        chan struct{} // capacity 1: something is behind
	missed      chan struct{} // capacity 1: the journal is to be made; sent to once
	quit        chan struct{} // closed by Close
	followed    chan struct{} // closed when follow has ended; nil: it was not begun
}

// journalSize has room for what comes while the file follows: about 1,000 writes.
const journalSize = 4 << 20

var _ store.Store = (*Store)(nil)

// Open opens or makes the store. store.ErrLocked: another process has it, and the error says which.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Path == "" {
		return nil, errors.New("open store: no path; set one")
	}
	path, err := filepath.Abs(o.Path)
	if err == nil { // two names of one file must find one lock
		path, err = realPath(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", o.Path, err)
	}
	s := &Store{path: path, random: o.Random, fault: o.Fault, readOnly: o.ReadOnly, noJournal: o.NoJournal, journalSize: o.Journal,
		turn: make(chan struct{}, 1), log: make(chan struct{}, 1),
		news: make(chan struct{}, 1), missed: make(chan struct{}, 1), quit: make(chan struct{})}
	if s.random == nil {
		s.random = rand.Reader
	}
	if s.noJournal == nil {
		s.noJournal = func(error) {}
	}
	if s.journalSize == 0 {
		s.journalSize = journalSize
	}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", path, cure(err)), s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	var err error
	if s.readOnly {
		if _, err := os.Stat(s.path); err != nil {
			return err
		}
	} else if s.lock, err = lockFile(s.path + ".lock"); err != nil {
		return err
	}
	if s.read, err = sql.Open("sqlite", dsn(s.path, true)); err != nil {
		return err
	}
	s.read.SetMaxOpenConns(4)
	if !s.readOnly {
		if err = checkLeftWAL(s.path); err != nil {
			return err
		}
		if s.write, err = sql.Open("sqlite", dsn(s.path, false)); err != nil {
			return err
		}
		s.write.SetMaxOpenConns(1)
		s.write.SetMaxIdleConns(-1) // a writer that is given up must not come back from a pool
		if err = s.prepareFile(ctx); err != nil {
			return err
		}
		if s.w, err = newWriter(ctx, s.write); err != nil {
			return err
		}
		if s.place, err = newPlace(s.path); err != nil {
			return err
		}
		if err = s.recoverJournal(ctx); err != nil {
			return err
		}
	}
	_, err = s.meta(ctx, s.read) // also makes sure that the file can be read
	return err
}

// dsn is the driver's name for the file with our settings, which it applies to each connection that it opens.
func dsn(path string, readOnly bool) string {
	q := url.Values{}
	q.Add("_pragma", "busy_timeout(5000)")
	if readOnly {
		q.Add("mode", "ro")
		q.Add("_pragma", "query_only(1)")
		q.Add("_pragma", "mmap_size(4294967296)")
	} else {
		q.Add("_pragma", "page_size(4096)")
		q.Add("_pragma", "journal_mode(WAL)")
		q.Add("_pragma", "synchronous(FULL)")
		q.Add("_pragma", "journal_size_limit(67108864)")
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

// realPath resolves symbolic links; the last element need not exist.
func realPath(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, os.ErrNotExist) {
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		return filepath.Join(dir, filepath.Base(path)), err
	}
	return real, err
}

// Close implements store.Store.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	close(s.quit)
	if s.followed != nil {
		<-s.followed
	}
	s.turn <- struct{}{}
	s.log <- struct{}{}
	defer func() { <-s.log; <-s.turn }()
	var errs []error
	if s.followed != nil {
		errs = append(errs, s.apply(context.Background()))
	}
	if s.journal != nil {
		errs = append(errs, s.journal.Close())
	}
	if s.place != nil && s.place.walMoved() {
		// The last connection to go would remove by its name a WAL that is somebody else's. The process's end closes them all.
		return errors.Join(append(errs, fmt.Errorf("close store %s: its WAL: %w", s.path, errMoved), s.lock.Close())...)
	}
	if s.read != nil { // before the writer: the last connection to go empties and removes the WAL, which a reader cannot
		errs = append(errs, s.read.Close())
	}
	if s.w != nil {
		errs = append(errs, s.w.close())
	}
	if s.write != nil {
		errs = append(errs, s.write.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close()) // ends the flock; the file stays, since removing it would race with the next
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close store %s: %w", s.path, err)
	}
	return nil
}

// wrap adds the operation, and says ErrClosed for what a Close has cut off.
func (s *Store) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	if s.closed.Load() && !errors.Is(err, store.ErrClosed) {
		err = fmt.Errorf("%w (%v)", store.ErrClosed, err)
	}
	return fmt.Errorf("store %s: %s: %w", s.path, op, cure(err))
}

// errDamaged is what Check says about damage to the file that has no row to name.
var errDamaged = errors.New("the file is damaged")

// cure tells what helps against damage that SQLite itself has found.
func cure(err error) error {
	var e *sqlite.Error
	found := errors.As(err, &e) && (e.Code()&0xff == lib.SQLITE_CORRUPT || e.Code()&0xff == lib.SQLITE_NOTADB)
	if found || errors.Is(err, errDamaged) {
		return fmt.Errorf("%w; move the file away and restore a backup: weft store restore", err)
	}
	return err
}
