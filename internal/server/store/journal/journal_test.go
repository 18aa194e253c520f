package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/weft-cloud/weft/internal/server/store/journal"
)

const blocks = 16

func open(t *testing.T, path string) *journal.File {
	t.Helper()
	j, err := journal.Open(path, blocks*journal.Block)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func read(t *testing.T, path string) (out []string) {
	t.Helper()
	records, err := journal.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		out = append(out, string(r))
	}
	return out
}

// TestRing appends records of many lengths and frees them again, at random, for many times the file's length: each that is in use is
// found after every step, and the file keeps its size.
func TestRing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path)
	r := rand.New(rand.NewPCG(1, 2))
	var inUse []string
	full, wrote := 0, 0
	for i := range 600 {
		rec := fmt.Sprintf("%d-%s", i, bytes.Repeat([]byte{'x'}, r.IntN(3*journal.Block)))
		switch err := j.Append([]byte(rec)); {
		case err == nil:
			inUse = append(inUse, rec)
			wrote++
		case errors.Is(err, journal.ErrNoRoom) && len(inUse) > 0:
			full++
		default:
			t.Fatalf("append %d with %d in use: %v", i, len(inUse), err)
		}
		found := read(t, path)
		for _, want := range inUse {
			if !slices.Contains(found, want) {
				t.Fatalf("after append %d: record %.8s of %d bytes is gone", i, want, len(want))
			}
		}
		n := r.IntN(len(inUse) + 1)
		if r.IntN(2) == 0 {
			n = 0
		}
		j.Free(n)
		inUse = inUse[n:]
	}
	if info, err := os.Stat(path); err != nil || info.Size() != blocks*journal.Block {
		t.Errorf("%v, %v", info, err)
	}
	if full == 0 || wrote < 150 {
		t.Errorf("%d appended, %d times no room: the test tries nothing", wrote, full)
	}
}

// TestRoom: the file takes as many blocks as it has, not one more, and a record larger than it never.
func TestRoom(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "journal"))
	for round := range 3 {
		for i := range blocks {
			if err := j.Append([]byte{byte(i)}); err != nil {
				t.Fatalf("round %d, block %d: %v", round, i, err)
			}
		}
		if err := j.Append([]byte("x")); !errors.Is(err, journal.ErrNoRoom) {
			t.Errorf("one more: %v", err)
		}
		j.Free(1)
		if err := j.Append(make([]byte, journal.Block)); !errors.Is(err, journal.ErrNoRoom) {
			t.Errorf("two blocks where one is free: %v", err)
		}
		if err := j.Append([]byte("x")); err != nil {
			t.Errorf("in the one that is free: %v", err)
		}
		j.Free(blocks)
	}
	if err := j.Append(make([]byte, blocks*journal.Block)); !errors.Is(err, journal.ErrNoRoom) {
		t.Errorf("larger than the file: %v", err)
	}
	if err := j.Append(make([]byte, (blocks-1)*journal.Block)); err != nil {
		t.Errorf("nearly as large as the file: %v", err)
	}
}

// TestDamage: a record with one bit changed anywhere is not found, and those around it are.
func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path)
	for _, s := range []string{"before", "the record in the middle", "after"} {
		if err := j.Append([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range (16 + len("the record in the middle")) * 8 {
		bad := slices.Clone(good)
		bad[journal.Block+bit/8] ^= 1 << (bit % 8)
		got := journal.Records(bad)
		if len(got) != 2 || string(got[0]) != "before" || string(got[1]) != "after" {
			t.Fatalf("bit %d: %q", bit, got)
		}
	}
}

// TestOpenKeepsRecords: opening a journal again leaves its records there until others take their place, one of another size is made
// anew, and one that cannot be made leaves nothing that looks like a journal.
func TestOpenKeepsRecords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	if got := read(t, path); len(got) != 0 {
		t.Errorf("no file: %q", got)
	}
	if err := open(t, path).Append([]byte("old")); err != nil {
		t.Fatal(err)
	}
	j := open(t, path)
	if got := read(t, path); !slices.Equal(got, []string{"old"}) {
		t.Errorf("reopened: %q", got)
	}
	if err := j.Append([]byte("new")); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); !slices.Equal(got, []string{"new"}) {
		t.Errorf("written again: %q", got)
	}
	if _, err := journal.Open(path, 2*blocks*journal.Block); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); len(got) != 0 {
		t.Errorf("of another size: %q", got)
	}
	for _, size := range []int64{0, -journal.Block, journal.Block + 1} {
		if _, err := journal.Open(path, size); err == nil {
			t.Errorf("a journal of %d bytes was made", size)
		}
	}
}

// TestMoved: nothing is written to a file that nobody will find, until it is back.
func TestMoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path)
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	if err := j.Append([]byte("x")); !errors.Is(err, journal.ErrMoved) {
		t.Errorf("removed: %v", err)
	}
	other := open(t, path)
	if err := j.Append([]byte("x")); !errors.Is(err, journal.ErrMoved) {
		t.Errorf("replaced: %v", err)
	}
	if err := errors.Join(other.Close(), os.Rename(path+".away", path), j.Append([]byte("y"))); err != nil {
		t.Errorf("back: %v", err)
	}
	if got := read(t, path); !slices.Equal(got, []string{"y"}) {
		t.Errorf("back: %q", got)
	}
}

func FuzzRecords(f *testing.F) {
	path := filepath.Join(f.TempDir(), "journal")
	j, err := journal.Open(path, 2*journal.Block)
	if err == nil {
		err = errors.Join(j.Append([]byte("one")), j.Append([]byte("two")), j.Close())
	}
	all, rerr := os.ReadFile(path)
	if err := errors.Join(err, rerr); err != nil {
		f.Fatal(err)
	}
	f.Add(all)
	f.Add(all[:journal.Block+20])
	f.Fuzz(func(t *testing.T, b []byte) {
		total := 0
		for _, r := range journal.Records(b) {
			total += len(r)
		}
		if total > len(b) {
			t.Errorf("%d bytes of records in %d", total, len(b))
		}
	})
}

// TestRefusedDirect: a disk that refuses what O_DIRECT asks of it is written by way of the kernel's pages from then on, and nothing
// is lost.
func TestRefusedDirect(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path)
	if err := j.Append([]byte("before")); err != nil {
		t.Fatal(err)
	}
	if !j.Misalign(4 * journal.Block) {
		t.Skip("the file system of the temporary directory has no O_DIRECT")
	}
	for _, rec := range []string{"refused", "after"} {
		if err := j.Append([]byte(rec)); err != nil {
			t.Fatal(err)
		}
	}
	if j.Direct() {
		t.Skip("the file system takes what is not aligned")
	}
	if got := read(t, path); !slices.Equal(got, []string{"before", "refused", "after"}) {
		t.Errorf("found %q", got)
	}
}
