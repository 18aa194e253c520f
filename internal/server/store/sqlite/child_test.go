package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/journal"
	"github.com/weft-cloud/weft/internal/server/store/sqlite"
	"github.com/weft-cloud/weft/internal/server/store/storetest"
)

// childEnv makes the test binary a child that some tests kill, starve or lock out: "mode path".
const childEnv = "WEFT_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	mode, path, ok := strings.Cut(os.Getenv(childEnv), " ")
	if !ok {
		goleak.VerifyTestMain(m)
		return
	}
	if err := child(mode, path); err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
}

func child(mode, path string) error {
	size := int64(64 * journal.Block)
	if m, ok := strings.CutSuffix(mode, "-alone"); ok {
		mode, size = m, -1
	}
	switch mode {
	case "write":
		return childWrite(path)
	case "limit":
		return childLimit(path, size)
	case "tmpfs":
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		dir := filepath.Dir(path)
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
			return err
		}
		return childFull(path, size)
	}
	return errors.New("unknown mode " + mode)
}

func command(ctx context.Context, mode, path string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+mode+" "+path)
	cmd.Stderr = os.Stderr
	return cmd
}

// say prints one whole line at once.
func say(args ...any) { _, _ = os.Stdout.WriteString(fmt.Sprintln(args...)) }

func childBatch(revision uint64, size int) (store.Batch, error) {
	id, err := store.NewUUID(randReader{})
	return store.Batch{ID: id, Revision: revision, At: time.Unix(int64(revision), 0), Mutations: []store.Mutation{
		{Kind: "port", Key: fmt.Sprint(rand.IntN(500)), Body: make([]byte, rand.IntN(size))},
		{Kind: "port", Key: fmt.Sprint(rand.IntN(500))},
	}}, err
}

// randReader is math/rand as an io.Reader: quick, and unique enough for a test.
type randReader struct{}

func (randReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(rand.Uint32())
	}
	return len(p), nil
}

// childWrite appends as fast as it can and says what was acknowledged, until it is killed.
func childWrite(path string) error {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, sqlite.Options{Path: path})
	if err != nil {
		return err
	}
	go func() { // other writers and readers of the file, to be killed with it
		for {
			_ = s.PutHeartbeats(ctx, []store.Heartbeat{{Server: "a", At: time.Now(), Body: make([]byte, 5000)}})
			_, _ = s.Load(ctx, func(store.Entry) error { return nil })
		}
	}()
	head, err := s.Head(ctx)
	for pos := head.Position; err == nil; {
		group := make([]store.Batch, 1+rand.IntN(8))
		for i := range group {
			if group[i], err = childBatch(pos.Revision+1+uint64(i), 4000); err != nil {
				return err
			}
		}
		if err = s.Append(ctx, pos, group); err != nil {
			break
		}
		for _, b := range group {
			say("ack", b.Revision, b.ID)
		}
		pos.Revision += uint64(len(group))
	}
	return err
}

// TestKill kills a writing server at random moments: every batch that it acknowledged is there afterwards, and the log
// has no gap.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weft.db")
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	acked := map[uint64]string{}
	for round := range rounds {
		delay := time.Duration(1+rand.IntN(150)) * time.Millisecond
		news := killWriter(t, path, delay)
		for r, id := range news {
			acked[r] = id
		}
		checkAcked(t, path, acked)
		t.Logf("round %d: killed %v after its first commit, %d acknowledged, %d in all", round, delay, len(news), len(acked))
	}
}

// killWriter runs a writer, kills it a delay after its first acknowledgement and returns what it acknowledged.
func killWriter(t *testing.T, path string, delay time.Duration) map[uint64]string {
	cmd := command(t.Context(), "write", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acked := map[uint64]string{}
	kill := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	for in := bufio.NewScanner(out); in.Scan(); {
		var r uint64
		var id string
		if n, _ := fmt.Sscanf(in.Text(), "ack %d %s", &r, &id); n == 2 && len(id) == 36 {
			acked[r] = id
		} else if strings.HasPrefix(in.Text(), "error") {
			t.Error(in.Text())
		}
		if len(acked) == 1 {
			kill.Reset(delay)
		}
	}
	kill.Stop()
	if err := cmd.Wait(); err == nil {
		t.Error("the child ended by itself")
	}
	if len(acked) == 0 {
		t.Fatal("the child acknowledged nothing")
	}
	return acked
}

func checkAcked(t *testing.T, path string, acked map[uint64]string) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d := storetest.Load(t, s)
	log, err := s.Tail(t.Context(), model.Position{Lineage: d.Snap.Lineage}, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	if uint64(len(log)) != d.Snap.Revision {
		t.Errorf("%d batches in the log of revision %d", len(log), d.Snap.Revision)
	}
	entries := map[string]uint64{}
	for _, b := range log {
		if id, ok := acked[b.Revision]; ok && id != b.ID.String() {
			t.Errorf("revision %d is %s, acknowledged was %s", b.Revision, b.ID, id)
		}
		delete(acked, b.Revision)
		for _, m := range b.Mutations {
			if entries[m.Key] = b.Revision; m.Body == nil {
				delete(entries, m.Key)
			}
		}
		acked[b.Revision] = b.ID.String() // unacknowledged but there: it must stay
	}
	if len(acked) != len(log) {
		t.Errorf("%d batches were acknowledged and are gone", len(acked)-len(log))
	}
	for _, e := range d.Entries {
		if entries[e.Key] != e.Revision {
			t.Errorf("entry %s is of revision %d, the log says %d", e.Key, e.Revision, entries[e.Key])
		}
		delete(entries, e.Key)
	}
	if len(entries) > 0 {
		t.Errorf("entries of the log that are gone: %v", entries)
	}
	if problems, err := s.Check(t.Context()); err != nil || len(problems) > 0 {
		t.Errorf("check: %v, %v", problems, err)
	}
}

// TestDiskFull fills a real file system (needs root, for a tmpfs of its own), with a journal and without: the writes that do not fit are refused as
// certainly not done, and the store works on when there is space again.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: cannot mount a small tmpfs")
	}
	for _, mode := range []string{"tmpfs", "tmpfs-alone"} {
		cmd := command(t.Context(), mode, filepath.Join(t.TempDir(), "weft.db"))
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
		out, err := cmd.Output()
		t.Logf("%s:\n%s", mode, out)
		if err != nil {
			t.Error(err)
		}
	}
}

// TestWriteFails makes the kernel refuse to let files grow (RLIMIT_FSIZE), which SQLite sees as an I/O error in the midst
// of a write, and compares each answer with what a server would find that starts after a crash at that moment.
func TestWriteFails(t *testing.T) {
	for _, mode := range []string{"limit", "limit-alone"} {
		out, err := command(t.Context(), mode, filepath.Join(t.TempDir(), "weft.db")).Output()
		t.Logf("%s:\n%s", mode, out)
		if err != nil {
			t.Error(err)
		}
	}
}

// ledger is what a child was told about its batches.
type ledger struct {
	s    *sqlite.Store
	path string
	pos  model.Position
	// done and refused are ids by revision.
	done    map[uint64]model.UUID
	refused map[model.UUID]bool
}

func newLedger(path string, size int64, fault sqlite.Fault) (*ledger, error) {
	if size > 0 {
		j, err := journal.Open(path+".journal", size)
		if err == nil {
			err = j.Close()
		}
		if err != nil {
			return nil, err
		}
	}
	s, err := sqlite.Open(context.Background(), sqlite.Options{Path: path, Journal: size, Fault: fault, NoJournal: func(err error) { say("no journal:", err) }})
	if err != nil {
		return nil, err
	}
	head, err := s.Head(context.Background())
	return &ledger{s: s, path: path, pos: head.Position, done: map[uint64]model.UUID{}, refused: map[model.UUID]bool{}}, err
}

// append writes one batch and notes the answer, resolving an unknown one after heal.
func (l *ledger) append(size int, heal func() error) (refused bool, err error) {
	ctx := context.Background()
	b, err := childBatch(l.pos.Revision+1, size)
	if err != nil {
		return false, err
	}
	err = l.s.Append(ctx, l.pos, []store.Batch{b})
	if errors.Is(err, store.ErrUnknown) {
		say("unknown:", err)
		if err := heal(); err != nil {
			return false, err
		}
		done, cerr := l.s.Committed(ctx, b.Revision, b.ID)
		if cerr != nil {
			return false, cerr
		}
		if done {
			err = nil
		}
	}
	if err != nil {
		if len(l.refused)%20 == 0 {
			say("refused:", err)
		}
		l.refused[b.ID] = true
		return true, nil
	}
	l.pos.Revision++
	l.done[l.pos.Revision] = b.ID
	return false, nil
}

// verify compares the store at path with the ledger.
func (l *ledger) verify(s store.Store) error {
	log, err := s.Tail(context.Background(), model.Position{Lineage: l.pos.Lineage}, 1<<30)
	if err != nil {
		return err
	}
	if len(log) != len(l.done) {
		return fmt.Errorf("%d batches, acknowledged were %d", len(log), len(l.done))
	}
	for _, b := range log {
		if l.done[b.Revision] != b.ID || l.refused[b.ID] {
			return fmt.Errorf("revision %d is %s, acknowledged was %s (refused: %t)", b.Revision, b.ID, l.done[b.Revision], l.refused[b.ID])
		}
	}
	problems, err := s.Check(context.Background())
	if err == nil && len(problems) > 0 {
		err = problems[0]
	}
	return err
}

// verifyCrash opens what a crash now would leave: the file, its WAL and the journal, without the shared memory.
func (l *ledger) verifyCrash(dir string) error {
	if err := crashImage(l.s, l.path, filepath.Join(dir, "crash.db")); err != nil {
		return err
	}
	s, err := sqlite.Open(context.Background(), sqlite.Options{Path: filepath.Join(dir, "crash.db")})
	if err != nil {
		return err
	}
	return errors.Join(l.verify(s), s.Close())
}

// crashImage copies the files of a store at a moment when nobody writes them.
func crashImage(s *sqlite.Store, path, to string) error {
	defer sqlite.Hold(s)()
	for _, suffix := range []string{"", "-wal", ".journal"} {
		err := copyFile(path+suffix, to+suffix)
		if suffix == ".journal" && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func childFull(path string, size int64) error {
	l, err := newLedger(path, size, nil)
	if err != nil {
		return err
	}
	image, err := os.MkdirTemp("", "weft-store-test-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(image)
	ballast := filepath.Join(filepath.Dir(path), "ballast")
	heal := func() error { return os.Remove(ballast) }
	for range 3 {
		if err := fill(ballast, 512<<10); err != nil {
			return err
		}
		before := len(l.done)
		for refusals := 0; refusals < 20; {
			refused, err := l.append(40_000, func() error { return errors.New("a full disk must be a certain refusal") })
			if err != nil {
				return err
			}
			if refused {
				refusals++
				if err := l.verifyCrash(image); err != nil {
					return fmt.Errorf("after refusal %d: %w", refusals, err)
				}
			}
			if len(l.done) > before+10_000 {
				return errors.New("the disk does not get full")
			}
		}
		if err := heal(); err != nil {
			return err
		}
		if refused, err := l.append(1000, heal); err != nil || refused {
			return fmt.Errorf("with space again: refused %t, %w", refused, err)
		}
		if err := l.verify(l.s); err != nil {
			return err
		}
		say("acknowledged", len(l.done), "refused", len(l.refused))
	}
	return l.s.Close()
}

// fill makes a file that leaves only so much space on its file system.
func fill(path string, leave int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	size := int64(0)
	for err == nil {
		var n int
		n, err = f.Write(make([]byte, 1<<16))
		size += int64(n)
	}
	if !errors.Is(err, unix.ENOSPC) {
		return err
	}
	return f.Truncate(max(0, size-leave))
}

func childLimit(path string, size int64) error {
	signal.Ignore(syscall.SIGXFSZ)
	l, err := newLedger(path, size, nil)
	if err != nil {
		return err
	}
	image := filepath.Dir(path)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		return err
	}
	limit := func(size uint64) error {
		return unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: size, Max: old.Max})
	}
	heal := func() error { return limit(old.Cur) }
	for range 40 {
		for range rand.IntN(5) {
			if refused, err := l.append(9000, heal); err != nil || refused {
				return fmt.Errorf("without a limit: refused %t, %w", refused, err)
			}
		}
		info, err := os.Stat(path + "-wal")
		if err != nil {
			return err
		}
		if err := limit(uint64(info.Size()) + rand.Uint64N(12_000)); err != nil {
			return err
		}
		for range 3 {
			if _, err := l.append(9000, heal); err != nil {
				return err
			}
		}
		if err := heal(); err != nil {
			return err
		}
		if err := l.verifyCrash(image); err != nil {
			return err
		}
	}
	say("acknowledged", len(l.done), "refused", len(l.refused))
	if len(l.refused) == 0 {
		return errors.New("nothing was refused: the limit did not work")
	}
	return errors.Join(l.verify(l.s), l.s.Close())
}
