package store

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/weft-cloud/weft/internal/model"
)

// Prepare checks the batches of an Append against base and head, the batch that base ends with, and returns copies that
// have Prev filled in and At rounded as it is stored, with their encoded log rows. Every implementation begins with it.
// What it refuses is a mistake of the caller, certainly not done.
func Prepare(base Head, batches []Batch) ([]Batch, [][]byte, error) {
	if len(batches) == 0 {
		return nil, nil, fmt.Errorf("append at %s: no batches", base.Position)
	}
	out, rows, total, prev := make([]Batch, len(batches)), make([][]byte, len(batches)), 0, base.Batch
	for i, b := range batches {
		if want := base.Revision + 1 + uint64(i); b.Revision != want {
			return nil, nil, fmt.Errorf("append at %s: batch %d has revision %d, want %d", base.Position, i, b.Revision, want)
		}
		if b.Prev.IsZero() {
			b.Prev = prev
		}
		if b.Prev != prev {
			if i == 0 { // the same numbers, but another history: somebody has put an old copy of the store in place
				return nil, nil, fmt.Errorf("append at %s: batch before is %s, not %s: %w", base.Position, prev, b.Prev, ErrConflict)
			}
			return nil, nil, fmt.Errorf("append revision %d: prev is %s, want %s", b.Revision, b.Prev, prev)
		}
		prev, b.At = b.ID, StoredTime(b.At)
		if err := b.check(); err != nil {
			return nil, nil, fmt.Errorf("append revision %d: %w", b.Revision, err)
		}
		out[i], rows[i] = b, EncodeBatch(nil, &b)
		if total += len(rows[i]); len(rows[i]) > MaxBatch {
			return nil, nil, fmt.Errorf("append revision %d: batch of %d bytes, at most %d; split it", b.Revision, len(rows[i]), MaxBatch)
		}
	}
	if total > MaxGroup {
		return nil, nil, fmt.Errorf("append at %s: group of %d bytes, at most %d; split it", base.Position, total, MaxGroup)
	}
	return out, rows, nil
}

// StoredTime is t as every store keeps it.
func StoredTime(t time.Time) time.Time { return time.UnixMicro(t.UnixMicro()).UTC() }

func (b *Batch) check() error {
	if b.ID.IsZero() {
		return fmt.Errorf("batch id is zero; give it a random one")
	}
	for i := range b.Mutations {
		if err := CheckName(b.Mutations[i].Kind, b.Mutations[i].Key); err != nil {
			return fmt.Errorf("mutation %d: %w", i, err)
		}
	}
	for i, in := range b.Intents {
		if in.ID.IsZero() {
			return fmt.Errorf("intent %d: id is zero; give it a random one", i)
		}
		if n := len(in.Kind); n == 0 || n > MaxKind {
			return fmt.Errorf("intent %d: kind has %d bytes, want 1 to %d", i, n, MaxKind)
		}
	}
	return nil
}

// CheckName says whether an entry may have this kind and key.
func CheckName(kind, key string) error {
	if n := len(kind); n == 0 || n > MaxKind {
		return fmt.Errorf("kind %q has %d bytes, want 1 to %d", kind, n, MaxKind)
	}
	if n := len(key); n == 0 || n > MaxKey {
		return fmt.Errorf("key %q of kind %s has %d bytes, want 1 to %d", key, kind, n, MaxKey)
	}
	for _, s := range []string{kind, key} {
		if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
			return fmt.Errorf("name %q has control characters or is not UTF-8", s)
		}
	}
	return nil
}

// CheckBeats refuses heartbeats that cannot be stored.
func CheckBeats(beats []Heartbeat) error {
	for i, b := range beats {
		if n := len(b.Server); n == 0 || n > MaxKey {
			return fmt.Errorf("heartbeat %d: server name has %d bytes, want 1 to %d", i, n, MaxKey)
		}
	}
	return nil
}

// CheckTail says whether batches may be what follows after in the log, whose newest revision is head: no gaps, and
// each batch's predecessor is the one before it.
func CheckTail(after uint64, batches []Batch) error {
	var prev model.UUID
	for i := range batches {
		b := &batches[i]
		if want := after + 1 + uint64(i); b.Revision != want {
			return &CorruptError{Revision: want, Reason: fmt.Sprintf("missing from the log, the next is %d", b.Revision)}
		}
		if i > 0 && b.Prev != prev {
			return &CorruptError{Revision: b.Revision, Reason: fmt.Sprintf("follows batch %s, but the one before it is %s", b.Prev, prev)}
		}
		prev = b.ID
	}
	return nil
}

// NewUUID draws an identifier from random.
func NewUUID(random io.Reader) (model.UUID, error) {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return model.UUID{}, fmt.Errorf("draw a random id: %w", err)
	}
	return model.NewUUIDv4(b), nil
}
