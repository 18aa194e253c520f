package sqlite

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

// errMoved is what every write says once the file has been taken away from under the server.
var errMoved = errors.New("it was removed or replaced under the running server, which writes nothing that the next start would not find; " +
	"put it back, or restart the server to take what is there")

// place is which files a store has open. A file that was removed or replaced can be written to as before, and every write would be
// durable in a file that nobody finds any more.
type place struct {
	path string
	db   os.FileInfo
	// wal is nil while SQLite keeps none.
	wal atomic.Pointer[os.FileInfo]
}

// newPlace is where the files are now that SQLite has opened them.
func newPlace(path string) (*place, error) {
	db, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	p := &place{path: path, db: db}
	return p, p.lookForWAL()
}

// lookForWAL takes the WAL that there is as SQLite's own.
func (p *place) lookForWAL() (err error) {
	wal, err := os.Stat(p.path + "-wal")
	switch {
	case err == nil:
		p.wal.Store(&wal)
		return nil
	case errors.Is(err, os.ErrNotExist):
		p.wal.Store(nil)
		return nil
	}
	return err
}

func (p *place) walMoved() bool {
	wal := p.wal.Load()
	return wal != nil && same(p.path+"-wal", *wal) != nil
}

// check returns an error with errMoved in its chain unless the files are still found by their names.
func (p *place) check() error {
	if p == nil {
		return nil
	}
	wal := p.wal.Load()
	if err := same(p.path, p.db); err != nil || wal == nil {
		return err
	}
	return same(p.path+"-wal", *wal)
}

func same(path string, was os.FileInfo) error {
	is, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", err, errMoved)
	case !os.SameFile(was, is):
		return fmt.Errorf("%s is another file: %w", path, errMoved)
	}
	return nil
}

// checkLeftWAL refuses a WAL without its file: SQLite would throw it away and begin an empty store.
func checkLeftWAL(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if wal, err := os.Stat(path + "-wal"); err == nil && wal.Size() > 0 {
		return fmt.Errorf("it is not there, but %s-wal, which holds its newest changes, is: put the file back, or restore a backup; "+
			"to begin with an empty store move %s-wal away", path, path)
	}
	return nil
}
