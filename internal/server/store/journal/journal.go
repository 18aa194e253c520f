// Package journal keeps the newest records of a store in one file of fixed size, so that a record becomes durable by one
// write in place that goes to the disk (O_DIRECT, O_DSYNC; where the file system has no O_DIRECT, a write and fdatasync). The
// file has all of its blocks from the start: no metadata of the file system has to follow a record to the disk, as it must
// when a file grows.
//
//	| record 9 | record 10 | free         | record 7   | record 8 |     each begins at a multiple of Block
//	                       ▲ next         ▲ oldest in use
//
// The file is a ring. Whoever appends frees records, oldest first, once what they say is durable elsewhere. Which of a
// file's records count is for its reader to say: those that were freed are still there, and so may one be whose Append
// failed. No block with a record in use is written again, so a write that a loss of power tears hurts its own record only.
//
// The package knows bytes only. It must not know what a record means, and it must not repeat a write that failed.
package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Block is what a record's place in the file is a multiple of: the largest sector that disks write at once, and a page of
// the kernel's.
const Block = 4096

// A record's head: magic, length of the payload, crc32c of that length and the payload (big endian), then the payload.
const (
	magic    = "weft-jr1"
	headSize = len(magic) + 4 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// What Append says when it has written nothing.
var (
	// ErrNoRoom: the record does not fit before some are freed, or is larger than the file.
	ErrNoRoom = errors.New("no room in the journal")
	// ErrMoved: the file is not found by its name any more, and so would the record not be.
	ErrMoved = errors.New("the journal was removed or replaced")
)

// File is a journal that is written. One goroutine appends; Free may be called from another.
type File struct {
	f      *os.File
	info   os.FileInfo
	size   int64
	direct bool   // writes are synced, and past the kernel's pages: from memory that is aligned to Block
	buf    []byte // begins at a multiple of Block

	mu    sync.Mutex
	inUse []span // oldest first
	next  int64
}

// span is a record's place, both ends multiples of Block.
type span struct{ from, to int64 }

// Open opens the journal at path for writing, with size bytes (a multiple of Block), and makes it, durably, if there is none of
// that size. No record of it is in use: Read those that count first.
func Open(path string, size int64) (*File, error) {
	if size <= 0 || size%Block != 0 {
		return nil, fmt.Errorf("journal of %d bytes: want a multiple of %d", size, Block)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != size {
		err = lay(f, size)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make journal: %w", err), f.Close())
	}
	j := &File{f: f, info: info, size: size}
	j.goDirect()
	return j, nil
}

// goDirect goes on with a descriptor that writes straight to the disk, if the file system has it. A write and its sync are then one
// call, and the kernel's pages have no part in it.
func (j *File) goDirect() {
	f, err := os.OpenFile(j.f.Name(), os.O_RDWR|unix.O_DIRECT|unix.O_DSYNC, 0)
	if err != nil {
		return
	}
	if info, err := f.Stat(); err != nil || !os.SameFile(info, j.info) {
		_ = f.Close()
		return
	}
	_ = j.f.Close()
	j.f, j.direct = f, true
}

// goPlain is the way back, for a disk whose blocks are larger than Block.
func (j *File) goPlain() error {
	f, err := os.OpenFile(j.f.Name(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if info, err := f.Stat(); err != nil || !os.SameFile(info, j.info) {
		return errors.Join(ErrMoved, err, f.Close())
	}
	_ = j.f.Close()
	j.f, j.direct = f, false
	return nil
}

// lay writes all blocks of a new journal. (Blocks that are only allocated would each cost metadata at their first write.)
func lay(f *os.File, size int64) error {
	zeros := make([]byte, 1<<20)
	err := f.Truncate(0)
	for off := int64(0); err == nil && off < size; off += int64(len(zeros)) {
		_, err = f.WriteAt(zeros[:min(int64(len(zeros)), size-off)], off)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil { // a file of less than its size is made anew by the next Open
		return errors.Join(err, f.Truncate(0))
	}
	dir, err := os.Open(filepath.Dir(f.Name()))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Append makes a record durable. After an error other than ErrNoRoom and ErrMoved it may or may not be found by Read, now or after a crash:
// a sync that failed does not say what has reached the disk.
func (j *File) Append(payload []byte) error {
	if info, err := os.Stat(j.f.Name()); err != nil || !os.SameFile(info, j.info) {
		return errors.Join(ErrMoved, err)
	}
	place, err := j.reserve(int64(headSize + len(payload)))
	if err != nil {
		return err
	}
	n := int(place.to - place.from)
	if cap(j.buf) < n {
		j.buf = aligned(n)
	}
	j.buf = j.buf[:n]
	putHead(j.buf, payload)
	end := headSize + copy(j.buf[headSize:], payload)
	clear(j.buf[end:])
	if err := j.write(place.from); err != nil {
		return err
	}
	j.mu.Lock()
	j.inUse, j.next = append(j.inUse, place), place.to
	j.mu.Unlock()
	return nil
}

// write makes buf durable at an offset.
func (j *File) write(at int64) error {
	_, err := j.f.WriteAt(j.buf, at)
	if j.direct && errors.Is(err, unix.EINVAL) { // nothing was written
		if err := j.goPlain(); err != nil {
			return err
		}
		_, err = j.f.WriteAt(j.buf, at)
	}
	if err != nil || j.direct {
		return err
	}
	return syncData(j.f)
}

// aligned is memory of n bytes (a multiple of Block) that begins at a multiple of Block, which O_DIRECT asks for (open(2)).
func aligned(n int) []byte {
	b := make([]byte, n+Block-1)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (Block - 1)
	return b[skip : skip+n : skip+n]
}

// reserve finds the place of the next record of n bytes.
func (j *File) reserve(n int64) (span, error) {
	n = (n + Block - 1) / Block * Block
	j.mu.Lock()
	defer j.mu.Unlock()
	at, end := j.next, j.size
	if len(j.inUse) > 0 && at <= j.inUse[0].from { // what is in use ends behind the end of the file, at its beginning
		end = j.inUse[0].from
	} else if at+n > end {
		at = 0
		if len(j.inUse) > 0 {
			end = j.inUse[0].from
		}
	}
	if at+n > end {
		return span{}, ErrNoRoom
	}
	return span{at, at + n}, nil
}

// Free gives back the n oldest records in use.
func (j *File) Free(n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.inUse = j.inUse[n:]
}

// Close lets go of the file; its records stay.
func (j *File) Close() error { return j.f.Close() }

func putHead(buf, payload []byte) {
	copy(buf, magic)
	binary.BigEndian.PutUint32(buf[len(magic):], uint32(len(payload)))
	binary.BigEndian.PutUint32(buf[len(magic)+4:], sum(buf[len(magic):len(magic)+4], payload))
}

func sum(length, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(length, castagnoli), castagnoli, payload)
}

func syncData(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// Read returns the payloads of all whole records in the journal at path, in no order that means anything. A file that does not
// exist has none. It may be read while another process appends; what is written meanwhile may be found or not.
func Read(path string) ([][]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	all := make([]byte, min(info.Size(), maxSize)) // at once: to grow into a few MiB took half the time of a start
	n, err := io.ReadFull(f, all)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		all = all[:n]
	} else if err != nil {
		return nil, err
	}
	return Records(all), nil
}

// maxSize bounds what Read takes into memory of a file that is no journal.
const maxSize = 1 << 30

// Records are the payloads of the whole records in a journal's bytes, of which they are parts.
func Records(all []byte) (out [][]byte) {
	for len(all) >= headSize {
		n := uint64(Block)
		if payload, ok := record(all); ok {
			out = append(out, payload)
			n = (uint64(headSize+len(payload)) + Block - 1) / Block * Block
		}
		all = all[min(n, uint64(len(all))):]
	}
	return out
}

// record is the payload of the record that b begins with.
func record(b []byte) ([]byte, bool) {
	length := b[len(magic) : len(magic)+4]
	n := binary.BigEndian.Uint32(length)
	if string(b[:len(magic)]) != magic || uint64(n) > uint64(len(b)-headSize) {
		return nil, false
	}
	payload := b[headSize : headSize+int(n) : headSize+int(n)]
	return payload, sum(length, payload) == binary.BigEndian.Uint32(b[len(magic)+4:])
}
