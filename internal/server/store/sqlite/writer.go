package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/weft-cloud/weft/internal/server/store"
	sqlite "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// A Step is a point in a transaction at which a Fault may strike.
type Step string

// The steps, in the order of a transaction.
const (
	StepBegin     Step = "begin"
	StepMeta      Step = "meta"
	StepLog       Step = "log"
	StepEntry     Step = "entry"
	StepIntent    Step = "intent"
	StepCommit    Step = "commit"    // the COMMIT fails and does nothing
	StepCommitted Step = "committed" // the COMMIT is done, but its answer is an error
	StepSettle    Step = "settle"    // finding out what became of a failed COMMIT
	StepJournal   Step = "journal"   // the write to the journal is not even begun
	StepJournaled Step = "journaled" // the record is in the journal, but the answer is an error
)

// Fault is asked before each step and its error becomes the step's; it may also stop the process.
type Fault func(Step) error

// writer is the one connection that writes, with its statements prepared.
type writer struct {
	conn                                *sql.Conn
	begin, commit, rollback             *statement
	setHead, addLog, putEntry, delEntry *statement
	addIntent, delIntent                *statement
	stmts                               []*statement // all of them
	meta                                *sql.Stmt
}

func newWriter(ctx context.Context, db *sql.DB) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	w := &writer{conn: conn}
	for _, p := range []struct {
		to  **statement
		sql string
	}{
		{&w.begin, "BEGIN IMMEDIATE"}, {&w.commit, "COMMIT"}, {&w.rollback, "ROLLBACK"},
		{&w.setHead, "UPDATE meta SET revision = ?, batch = ? WHERE lineage = ? AND revision = ? AND batch = ?"},
		{&w.addLog, "INSERT INTO log (revision, batch, prev, at, row) VALUES (?, ?, ?, ?, ?)"},
		{&w.putEntry, `INSERT INTO entries (kind, key, schema, revision, sum, body) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (kind, key) DO UPDATE SET schema = excluded.schema, revision = excluded.revision,
			sum = excluded.sum, body = excluded.body`},
		{&w.delEntry, "DELETE FROM entries WHERE kind = ? AND key = ?"},
		{&w.addIntent, "INSERT INTO intents (id, kind, body) VALUES (?, ?, ?)"},
		{&w.delIntent, "DELETE FROM intents WHERE id = ?"},
	} {
		if *p.to, err = prepare(ctx, conn, p.sql); err != nil {
			return nil, errors.Join(fmt.Errorf("prepare %q: %w", p.sql, err), w.close())
		}
		w.stmts = append(w.stmts, *p.to)
	}
	if w.meta, err = conn.PrepareContext(ctx, selectMeta); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare %q: %w", selectMeta, err), w.close())
	}
	return w, nil
}

// close ends the statements first: database/sql does not do so for a Conn's, and SQLite keeps a connection with its locks
// and files for as long as it has one.
func (w *writer) close() error {
	var errs []error
	for _, st := range w.stmts {
		errs = append(errs, st.close())
	}
	if w.meta != nil {
		errs = append(errs, w.meta.Close())
	}
	return errors.Join(append(errs, w.conn.Close())...)
}

func (w *writer) readMeta(ctx context.Context) (meta, error) {
	return scanMeta(w.meta.QueryRowContext(ctx))
}

// errCommit marks that a transaction's COMMIT returned an error which leaves its outcome open.
var errCommit = errors.New("commit failed")

// tx runs f in a transaction on the writer's connection, behind all that the journal held when it was called. An error without
// store.ErrUnknown in its chain means that nothing was done. Anybody who comes after an open outcome settles that first.
func (s *Store) tx(ctx context.Context, f func(ctx context.Context, w *writer) error) error {
	release, err := s.takeTurn(ctx)
	if err != nil {
		return err
	}
	defer release()
	ctx = context.WithoutCancel(ctx) // see store.Store
	if err := s.settle(ctx); err != nil {
		return fmt.Errorf("an earlier commit is still unknown: %w", err)
	}
	if err := s.apply(ctx); err != nil {
		return err
	}
	return unknown(s.runTx(ctx, f))
}

// txAll is tx for what changes the newest position: nothing is appended meanwhile.
func (s *Store) txAll(ctx context.Context, f func(ctx context.Context, w *writer) error) error {
	return s.exclusively(ctx, func(ctx context.Context) error { return unknown(s.runTx(ctx, f)) })
}

// exclusively runs f, which changes the newest position, when all that came before is in the file, and while nothing is appended.
func (s *Store) exclusively(ctx context.Context, f func(ctx context.Context) error) error {
	release, err := s.takeAll(ctx)
	if err != nil {
		return err
	}
	defer release()
	ctx = context.WithoutCancel(ctx)
	if err := s.settleAll(ctx); err != nil {
		return fmt.Errorf("what came before is not in the file yet: %w", err)
	}
	s.stale = true
	err = f(ctx)
	if !s.doubt {
		_ = s.refresh(ctx) // whatever f did is done: if its position cannot be read now, whoever comes next reads it
	}
	return err
}

func unknown(err error) error {
	if errors.Is(err, errCommit) {
		return fmt.Errorf("%w: %w", store.ErrUnknown, err)
	}
	return err
}

// takeTurn waits until the file may be written. A store for reading only never may.
func (s *Store) takeTurn(ctx context.Context) (release func(), err error) {
	if s.readOnly {
		return nil, store.ErrReadOnly
	}
	return s.take(ctx, s.turn)
}

// takeAll waits until the file may be written and nothing is appended.
func (s *Store) takeAll(ctx context.Context) (release func(), err error) {
	turn, err := s.takeTurn(ctx)
	if err != nil {
		return nil, err
	}
	log, err := s.take(ctx, s.log)
	if err != nil {
		turn()
		return nil, err
	}
	return func() { log(); turn() }, nil
}

func (s *Store) take(ctx context.Context, what chan struct{}) (release func(), err error) {
	select {
	case what <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s.closed.Load() {
		<-what
		return nil, store.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		<-what
		return nil, err
	}
	return func() { <-what }, nil
}

// settleAll makes certain all that is open, and brings the file up to date; the caller has taken all.
func (s *Store) settleAll(ctx context.Context) error {
	if err := s.settle(ctx); err != nil {
		return fmt.Errorf("an earlier commit is still unknown: %w", err)
	}
	if err := s.apply(ctx); err != nil {
		return err
	}
	if s.torn != nil { // the record that failed may be found after a crash; with another number in the file it does not count
		err := s.runTx(ctx, func(ctx context.Context, w *writer) error {
			_, err := w.conn.ExecContext(ctx, "UPDATE meta SET journal = journal + 1")
			return err
		})
		if err != nil {
			return fmt.Errorf("make void what failed in the journal: %w", err)
		}
		// A disk that has failed once is not trusted with the journal again: the file is written as if there had never been one.
		s.noJournal(errors.Join(s.torn, s.journal.Close()))
		s.journal, s.torn, s.stale = nil, nil, true
	}
	if s.stale {
		return s.refresh(ctx)
	}
	return nil
}

// refresh reads the newest position from the file, when nothing is behind; the caller has taken all. If it cannot be read now, whoever
// comes next tries again.
func (s *Store) refresh(ctx context.Context) error {
	if s.stale = true; s.w == nil {
		return errors.New("the file is not open for writing")
	}
	m, err := s.w.readMeta(ctx)
	if err != nil {
		return err
	}
	s.head, s.epoch, s.stale = m.Head, m.journal, false
	return nil
}

// runTx is tx for who has the turn.
func (s *Store) runTx(ctx context.Context, f func(ctx context.Context, w *writer) error) error {
	if err := s.step(StepBegin); err != nil {
		return err
	}
	if err := s.place.check(); err != nil {
		return err
	}
	if _, err := s.w.begin.exec(ctx); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := f(ctx, s.w); err != nil {
		// A rollback that fails leaves a connection that nobody may use again; SQLite undoes the rest when it closes.
		if _, rerr := s.w.rollback.exec(ctx); rerr != nil {
			return errors.Join(err, s.renewWriter(ctx))
		}
		return err
	}
	err := s.step(StepCommit)
	if err == nil {
		_, err = s.w.commit.exec(ctx)
	}
	if err == nil {
		err = s.step(StepCommitted)
	}
	if err == nil {
		return nil
	}
	rerr := s.renewWriter(ctx) // also rolls back
	if full(err) {
		return errors.Join(fmt.Errorf("commit: %w", err), rerr)
	}
	s.doubt = true
	return errors.Join(fmt.Errorf("%w: %w", errCommit, err), rerr)
}

// full reports whether a COMMIT failed for want of space. SQLite says so when a write to the WAL has come back short; the
// frame that commits is the last one written, so it is not whole and the transaction can never be found by a recovery.
// (A lack of space that shows at fsync is SQLITE_IOERR_FSYNC, and that one is unknown.)
func full(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code() == lib.SQLITE_FULL
}

// renewWriter replaces the writer's connection; without one, doubt makes the next caller try again.
func (s *Store) renewWriter(ctx context.Context) error {
	err := s.place.check() // a new connection would open what is there now
	if err == nil && s.w != nil {
		_, _ = s.w.rollback.exec(ctx) // there may be nothing to roll back
		_ = s.w.close()               // it is broken anyway; what counts is that the next one opens
		s.w = nil
		err = s.place.lookForWAL() // it went with the last connection
	}
	if err == nil {
		s.w, err = newWriter(ctx, s.write)
	}
	if err == nil {
		err = s.place.lookForWAL()
	}
	if err != nil {
		s.doubt = true
		return fmt.Errorf("reopen for writing: %w", err)
	}
	return nil
}

// settle makes the outcome of a failed COMMIT certain. SQLite may have left the transaction's frames at the end of the
// WAL, seen by no reader, to be found by the recovery after a crash. A new transaction, committed and synced, overwrites
// them or stands behind them: after it, what can be read is what is. The checkpoint writes all of it once more, since
// after a failed fsync the kernel counts pages as clean that are not on the disk.
func (s *Store) settle(ctx context.Context) error {
	if !s.doubt {
		return nil
	}
	if err := s.step(StepSettle); err != nil {
		return err
	}
	if err := s.place.check(); err != nil {
		return err
	}
	if s.w == nil {
		if err := s.renewWriter(ctx); err != nil {
			return err
		}
	}
	if err := s.settleOn(ctx, s.w.conn); err != nil {
		return errors.Join(err, s.renewWriter(ctx))
	}
	s.doubt = false
	return nil
}

func (s *Store) settleOn(ctx context.Context, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, "UPDATE meta SET fence = fence + 1"); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	var busy, frames, done int
	if err := conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(FULL)").Scan(&busy, &frames, &done); err != nil {
		return fmt.Errorf("settle: checkpoint: %w", err)
	}
	if busy != 0 || frames != done {
		return fmt.Errorf("settle: checkpoint wrote %d of %d frames, a reader is in its way", done, frames)
	}
	return nil
}

func (s *Store) step(p Step) error {
	if s.fault == nil {
		return nil
	}
	return s.fault(p)
}
