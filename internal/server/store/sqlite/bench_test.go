package sqlite_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/sqlite"
)

// entrySize is about what a port takes.
const entrySize = 1024

func newID(tb testing.TB) model.UUID {
	id, err := store.NewUUID(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return id
}

func randomBatch(tb testing.TB, revision uint64) store.Batch {
	body := make([]byte, entrySize)
	_, _ = rand.Read(body) // never fails
	return store.Batch{
		ID: newID(tb), Revision: revision, At: time.Unix(1e9, 0),
		Mutations: []store.Mutation{{Kind: "port", Key: newID(tb).String(), Schema: 1, Body: body}},
	}
}

// BenchmarkAppend makes writes of one new entry of 1 KiB each durable, n to a transaction, and puts beside it what the
// machine itself can do: the same log rows appended to a file, with one fdatasync for n of them.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 32} {
		b.Run(fmt.Sprintf("group=%d", n), func(b *testing.B) {
			s := open(b, sqlite.Options{})
			pos, err := s.Head(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			group := make([]store.Batch, n)
			bare := newBareLog(b)
			for b.Loop() {
				b.StopTimer()
				for i := range group {
					group[i] = randomBatch(b, pos.Revision+1+uint64(i))
				}
				bare.append(group)
				b.StartTimer()
				if err := s.Append(b.Context(), pos.Position, group); err != nil {
					b.Fatal(err)
				}
				pos.Revision += uint64(n)
			}
			store := float64(n*b.N) / b.Elapsed().Seconds()
			machine := float64(n*b.N) / bare.spent.Seconds()
			b.ReportMetric(store, "writes/s")
			b.ReportMetric(machine, "bare-writes/s")
			b.ReportMetric(store/machine, "of-bare")
		})
	}
}

// bareLog is the least that durability costs.
type bareLog struct {
	b     *testing.B
	f     *os.File
	buf   []byte
	spent time.Duration
}

func newBareLog(b *testing.B) *bareLog {
	f, err := os.Create(filepath.Join(b.TempDir(), "bare"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return &bareLog{b: b, f: f}
}

func (l *bareLog) append(group []store.Batch) {
	l.buf = l.buf[:0]
	for i := range group {
		l.buf = store.EncodeBatch(l.buf, &group[i])
	}
	start := time.Now()
	if _, err := l.f.Write(l.buf); err != nil {
		l.b.Fatal(err)
	}
	if err := unix.Fdatasync(int(l.f.Fd())); err != nil {
		l.b.Fatal(err)
	}
	l.spent += time.Since(start)
}

// BenchmarkLoad loads 100,000 entries of 1 KiB; beside it, reading as many bytes from the same file without SQLite.
func BenchmarkLoad(b *testing.B) {
	const entries, group = 100_000, 1000
	path := filepath.Join(b.TempDir(), "weft.db")
	s := open(b, sqlite.Options{Path: path})
	pos, err := s.Head(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for range entries / group {
		batches := make([]store.Batch, group)
		for i := range batches {
			batches[i] = randomBatch(b, pos.Revision+1+uint64(i))
		}
		if err := s.Append(b.Context(), pos.Position, batches); err != nil {
			b.Fatal(err)
		}
		pos.Revision += group
	}
	for b.Loop() {
		n := 0
		if _, err := s.Load(b.Context(), func(store.Entry) error { n++; return nil }); err != nil || n != entries {
			b.Fatalf("%d entries, %v", n, err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/load")
	start := time.Now()
	if err := readAll(path, entries*entrySize); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/time.Since(start).Seconds(), "times-bare-read")
}

func readAll(path string, n int) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 1<<16)
	for ; n > 0; n -= len(buf) {
		if _, err := f.Read(buf); err != nil {
			return err
		}
	}
	return nil
}
