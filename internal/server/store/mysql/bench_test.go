package mysql_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/server/store"
)

// BenchmarkAppend makes writes of one new entry of 1 KiB each durable, n to a transaction, on a MariaDB on this machine,
// and puts beside it what the machine itself can do: the same log rows appended to a file, with one fdatasync for n.
func BenchmarkAppend(b *testing.B) {
	srv := newServer(b)
	for _, n := range []int{1, 32} {
		b.Run(fmt.Sprintf("group=%d", n), func(b *testing.B) {
			s := open(b, srv.options(srv.database(b)))
			pos, err := s.Head(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			file, err := os.Create(filepath.Join(b.TempDir(), "bare"))
			if err != nil {
				b.Fatal(err)
			}
			defer file.Close()
			bare := time.Duration(0)
			for b.Loop() {
				b.StopTimer()
				group := randomGroup(b, pos.Revision, n)
				bare += bareAppend(b, file, group)
				b.StartTimer()
				if err := s.Append(b.Context(), pos.Position, group); err != nil {
					b.Fatal(err)
				}
				pos.Revision += uint64(n)
			}
			writes, machine := float64(n*b.N)/b.Elapsed().Seconds(), float64(n*b.N)/bare.Seconds()
			b.ReportMetric(writes, "writes/s")
			b.ReportMetric(machine, "bare-writes/s")
			b.ReportMetric(writes/machine, "of-bare")
		})
	}
}

func randomGroup(b *testing.B, after uint64, n int) []store.Batch {
	group := make([]store.Batch, n)
	for i := range group {
		id, err := store.NewUUID(rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		body := make([]byte, 1024)
		_, _ = rand.Read(body) // never fails
		group[i] = store.Batch{ID: id, Revision: after + 1 + uint64(i), At: noon,
			Mutations: []store.Mutation{{Kind: "port", Key: id.String(), Schema: 1, Body: body}}}
	}
	return group
}

func bareAppend(b *testing.B, f *os.File, group []store.Batch) time.Duration {
	var buf []byte
	for i := range group {
		buf = store.EncodeBatch(buf, &group[i])
	}
	start := time.Now()
	if _, err := f.Write(buf); err != nil {
		b.Fatal(err)
	}
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

// BenchmarkLoad loads 100,000 entries of 1 KiB.
func BenchmarkLoad(b *testing.B) {
	const entries, group = 100_000, 1000
	srv := newServer(b)
	s := open(b, srv.options(srv.database(b)))
	pos, err := s.Head(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for range entries / group {
		if err := s.Append(b.Context(), pos.Position, randomGroup(b, pos.Revision, group)); err != nil {
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
}
