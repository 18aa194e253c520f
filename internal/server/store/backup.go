package store

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/weft-cloud/weft/internal/model"
)

// A backup is one file, the same for every store, so that it also moves a cloud from SQLite to MySQL and back:
//
//	magic | 'e' entry … | 'i' intent … | 'h' head | crc32c of all before (4 bytes, big endian)
//
// Numbers are unsigned varints, strings and bodies begin with their length. The log is not in it: a restore starts a new
// lineage, in which no position of the old log means anything.
const backupMagic = "weft-backup-1\n"

// BackupInfo says what is in a backup.
type BackupInfo struct {
	Head         Head
	FeatureLevel uint16
	At           time.Time
	Entries      uint64
	Intents      int
}

// Backup writes a consistent copy of s to a new file at path, readable by the owner only, and makes it durable. Writers
// of s are not held up. at is the time noted in it. An existing file is not touched: the error is os.ErrExist.
func Backup(ctx context.Context, s Store, path string, at time.Time) (BackupInfo, error) {
	info := BackupInfo{At: StoredTime(at)}
	fail := func(err error) (BackupInfo, error) { return BackupInfo{}, fmt.Errorf("backup to %s: %w", path, err) }
	if path == "" {
		return BackupInfo{}, errors.New("backup: the name of the file is empty; name a new file to write to")
	}
	if _, err := os.Lstat(path); err == nil {
		return fail(fmt.Errorf("%w; choose another name", os.ErrExist))
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".part-*")
	if err != nil {
		return fail(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := writeBackup(ctx, s, f, &info); err != nil {
		return fail(err)
	}
	if err := f.Sync(); err != nil {
		return fail(err)
	}
	if err := os.Link(f.Name(), path); err != nil { // unlike a rename, never replaces what is there
		return fail(err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fail(err)
	}
	return info, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func writeBackup(ctx context.Context, s Store, f io.Writer, info *BackupInfo) error {
	sum := crc32.New(castagnoli)
	w := bufio.NewWriterSize(io.MultiWriter(f, sum), 1<<18)
	_, _ = w.WriteString(backupMagic) // bufio keeps the first error for Flush
	var rec []byte
	snap, err := s.Load(ctx, func(e Entry) error {
		info.Entries++
		rec = appendString(appendString(append(rec[:0], 'e'), e.Kind), e.Key)
		rec = binary.AppendUvarint(binary.AppendUvarint(rec, uint64(e.Schema)), e.Revision)
		rec = binary.AppendUvarint(rec, uint64(len(e.Body)))
		_, _ = w.Write(rec)
		_, err := w.Write(e.Body)
		return err
	})
	if err != nil {
		return err
	}
	info.Head, info.FeatureLevel, info.Intents = snap.Head, snap.FeatureLevel, len(snap.Intents)
	for _, in := range snap.Intents {
		rec = appendString(append(append(rec[:0], 'i'), in.ID[:]...), in.Kind)
		_, _ = w.Write(appendString(rec, string(in.Body)))
	}
	rec = append(append(append(rec[:0], 'h'), snap.Lineage[:]...), snap.Batch[:]...)
	rec = binary.AppendUvarint(binary.AppendUvarint(rec, snap.Revision), uint64(snap.FeatureLevel))
	_, _ = w.Write(binary.AppendUvarint(rec, uint64(info.At.UnixMicro())))
	if err := w.Flush(); err != nil {
		return err
	}
	_, err = f.Write(binary.BigEndian.AppendUint32(nil, sum.Sum32()))
	return err
}

// InspectBackup reads the whole file at path and says what is in it, or what is wrong with it.
func InspectBackup(path string) (BackupInfo, error) {
	if path == "" {
		return BackupInfo{}, errors.New("the name of the backup is empty; name the file that a backup was written to")
	}
	info, _, err := readBackup(path, func(Entry) error { return nil })
	return info, err
}

// Restore replaces all that is in s by the backup at path, under a new lineage, in one transaction: after an error, s is
// as it was. The whole file is verified first. Agents notice the lineage and delete nothing until told to.
func Restore(ctx context.Context, s Store, path string) (model.Position, error) {
	_, snap, err := readBackup(path, func(Entry) error { return nil })
	if err != nil {
		return model.Position{}, err
	}
	return s.Replace(ctx, snap, func(yield func(Entry) error) error {
		_, _, err := readBackup(path, yield)
		return err
	})
}

func readBackup(path string, visit func(Entry) error) (BackupInfo, Snapshot, error) {
	f, err := os.Open(path)
	if err != nil {
		return BackupInfo{}, Snapshot{}, fmt.Errorf("read backup: %w", err)
	}
	defer f.Close()
	info, snap, err := DecodeBackup(f, visit)
	if err != nil {
		return BackupInfo{}, Snapshot{}, fmt.Errorf("read backup %s: %w", path, err)
	}
	return info, snap, nil
}

// ErrBadBackup is the root of all errors about the bytes of a backup.
var ErrBadBackup = errors.New("not a whole backup")

// DecodeBackup reads a backup from r, giving its entries to visit. Only when it returns nil was the checksum right.
func DecodeBackup(r io.Reader, visit func(Entry) error) (BackupInfo, Snapshot, error) {
	d := backupReader{r: bufio.NewReaderSize(r, 1<<18), sum: crc32.New(castagnoli)}
	var info BackupInfo
	var snap Snapshot
	if string(d.bytes(uint64(len(backupMagic)))) != backupMagic {
		return info, snap, fmt.Errorf("%w: it does not begin with %q, so that it is no backup, or another version's: restore that with the weft which made it", ErrBadBackup, backupMagic)
	}
	for d.err == nil {
		switch tag := d.byte(); {
		case d.err != nil:
		case tag == 'e':
			e := Entry{Kind: d.string(MaxKind), Key: d.string(MaxKey), Schema: uint16(d.uint()), Revision: d.uint(), Body: d.bytes(d.uint())}
			if d.err == nil {
				info.Entries++
				if err := visit(e); err != nil {
					return info, snap, err
				}
			}
		case tag == 'i':
			snap.Intents = append(snap.Intents, Intent{ID: d.uuid(), Kind: d.string(MaxKind), Body: d.bytes(d.uint())})
		case tag == 'h':
			snap.Lineage, snap.Batch, snap.Revision, snap.FeatureLevel = d.uuid(), d.uuid(), d.uint(), uint16(d.uint())
			info.At = time.UnixMicro(int64(d.uint())).UTC()
			d.end()
			info.Head, info.FeatureLevel, info.Intents = snap.Head, snap.FeatureLevel, len(snap.Intents)
			return info, snap, d.err
		default:
			d.fail(fmt.Errorf("unknown record %q", tag))
		}
	}
	return info, snap, d.err
}

// backupReader takes a backup apart and sums it up; after the first error everything reads as zero.
type backupReader struct {
	r   *bufio.Reader
	sum hash.Hash32
	err error
	one [1]byte // for byte
}

func (d *backupReader) fail(err error) {
	if d.err == nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it ends too early")
		}
		d.err = fmt.Errorf("%w: %w", ErrBadBackup, err)
	}
}

func (d *backupReader) byte() byte {
	if d.err != nil {
		return 0
	}
	b, err := d.r.ReadByte()
	if err != nil {
		d.fail(err)
		return 0
	}
	d.one[0] = b
	_, _ = d.sum.Write(d.one[:]) // a hash never fails
	return b
}

// ReadByte makes backupReader an io.ByteReader, for varints.
func (d *backupReader) ReadByte() (byte, error) { return d.byte(), d.err }

func (d *backupReader) uint() uint64 {
	if d.err != nil {
		return 0
	}
	v, err := binary.ReadUvarint(d)
	if err != nil {
		d.fail(err)
	}
	return v
}

func (d *backupReader) bytes(n uint64) []byte {
	if n > MaxBatch && d.err == nil {
		d.fail(fmt.Errorf("a field of %d bytes", n))
	}
	if d.err != nil {
		return nil
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(d.r, b); err != nil {
		d.fail(err)
		return nil
	}
	_, _ = d.sum.Write(b) // a hash never fails
	return b
}

func (d *backupReader) string(limit uint64) string {
	n := d.uint()
	if n > limit {
		d.fail(fmt.Errorf("a name of %d bytes", n))
	}
	return string(d.bytes(n))
}

func (d *backupReader) uuid() (u model.UUID) {
	copy(u[:], d.bytes(uint64(len(u))))
	return u
}

// end compares the checksum and makes sure that nothing follows.
func (d *backupReader) end() {
	want := d.sum.Sum32()
	b := d.bytes(4)
	if d.err == nil && binary.BigEndian.Uint32(b) != want {
		d.fail(errors.New("its checksum is wrong"))
	}
	if _, err := d.r.ReadByte(); d.err == nil && err == nil {
		d.fail(errors.New("something follows its end"))
	}
}
