package store

import (
	"context"
	"errors"
	"time"

	"github.com/weft-cloud/weft/internal/model"
)

// Store keeps the log, the entries, the outbox and the heartbeats. All methods may be called from several goroutines.
//
// Contexts: a call that writes honours ctx until its transaction begins and then runs to its end, because a transaction
// cut in the middle of its commit is an unknown one. Calls that read honour ctx throughout.
//
// Every method that writes may return ErrUnknown. Append's is resolved by Committed; the others can be repeated, or, for
// NewLineage and Replace, looked up by Head.
type Store interface {
	// Load visits every entry in the order of kind, then key (both as bytes), as of one moment, and returns that
	// moment's head, feature level and undelivered intents. The Body belongs to the visitor. An error of visit ends the
	// load and is returned. A row that cannot be read is a *CorruptError, which names it and the cure.
	Load(ctx context.Context, visit func(Entry) error) (Snapshot, error)

	// Head is the newest durable position, and the id of the batch that made it. A server's read is linearizable if it
	// waits for a Head asked for after the read arrived.
	Head(ctx context.Context) (Head, error)

	// Append makes the batches durable, all or none, if the newest position still is base. The batches' revisions are
	// base.Revision+1, +2, …; their Prev are chained (a zero Prev is filled in by the store). What is in them belongs to the
	// store from then on.
	//
	// It returns nil: durable. ErrConflict: somebody else has written, or the store has another lineage; nothing was
	// done. ErrUnknown: it may or may not have been done; ask Committed before anything else. Any other error: certainly
	// not done.
	Append(ctx context.Context, base model.Position, batches []Batch) error

	// Committed says whether the batch id is the one at revision, which resolves an ErrUnknown: once it has answered
	// without an error, the answer is durable and cannot change any more (a false also means that the lost transaction
	// can no longer come through). ErrTruncated: that part of the log is gone. Other errors: not known yet, ask again.
	Committed(ctx context.Context, revision uint64, id model.UUID) (bool, error)

	// Tail returns up to limit batches after a position, oldest first, without gaps; none if the position is the newest.
	// ErrLineage: the position is of another lineage, or ahead of the store. ErrTruncated: the log does not reach back
	// that far. After either, Load again.
	Tail(ctx context.Context, after model.Position, limit int) ([]Batch, error)

	// Intents are the undelivered intents, oldest first, up to limit.
	Intents(ctx context.Context, limit int) ([]Intent, error)
	// DoneIntents forgets intents that have been delivered; unknown ids are ignored.
	DoneIntents(ctx context.Context, ids []model.UUID) error

	// PutHeartbeats replaces the row of each server named. Heartbeats are no revisions and need not survive a crash.
	PutHeartbeats(ctx context.Context, beats []Heartbeat) error
	// Heartbeats are the newest rows of all servers, by server name.
	Heartbeats(ctx context.Context) ([]Heartbeat, error)

	// RaiseFeatureLevel records that every server can read formats up to level; lower levels are ignored.
	RaiseFeatureLevel(ctx context.Context, level uint16) error

	// NewLineage starts a new lineage at the present revision if the newest position still is base (else ErrConflict).
	// Entries and intents stay; positions of the earlier lineage are ErrLineage from then on.
	NewLineage(ctx context.Context, base model.Position) (model.Position, error)

	// Replace throws everything away and takes the snapshot's revision, feature level, intents and the entries
	// instead, under a new lineage and with an empty log, in one transaction. Restore is what uses it.
	Replace(ctx context.Context, snap Snapshot, entries func(yield func(Entry) error) error) (model.Position, error)

	// Trim removes batches from the beginning of the log: those older than before (zero: no limit of age) and those that
	// are not among the newest keep (0: no limit of count). The newest batch always stays.
	Trim(ctx context.Context, before time.Time, keep uint64) (removed uint64, err error)

	// Check reads all entries and the log of this lineage and returns what is wrong: damaged rows, gaps, a broken chain.
	// An error means that the check could not be done, or that the store is damaged beyond naming a row.
	Check(ctx context.Context) ([]*CorruptError, error)

	// Drop removes one entry without reading it, as a batch of its own in the log; it is the repair of a damaged row.
	// at is the batch's time. ErrNoEntry if there is none.
	Drop(ctx context.Context, kind, key string, at time.Time) error

	// Close lets go of the store. Calls in flight end first; later ones fail with ErrClosed.
	Close() error
}

// Entry is the newest image of one object.
type Entry struct {
	Kind     string // 1 to 64 bytes
	Key      string // 1 to 255 bytes, unique within its kind
	Schema   uint16 // version of the body's format
	Revision uint64 // the batch that wrote it
	Body     []byte
}

// Mutation is an after-image: what an object is from its batch's revision on.
type Mutation struct {
	Kind, Key string
	Schema    uint16
	Body      []byte // nil: the object is deleted (deleting what is not there is fine); empty, not nil: an empty body
}

// Intent is an effect that must leave the process (a Nova event, a notification, a DNS record): written with the change
// that causes it, delivered at least once.
type Intent struct {
	ID   model.UUID
	Kind string // 1 to 64 bytes
	Body []byte
}

// Batch is one API write: what it changed, under one revision.
type Batch struct {
	ID        model.UUID // random, never zero: tells a batch from another at the same revision
	Prev      model.UUID // the batch before; zero only for the first of all, or in Append: let the store fill it in
	Revision  uint64
	At        time.Time // kept to the microsecond, in UTC
	Mutations []Mutation
	Intents   []Intent
}

// Head is the newest position and the batch that made it (zero before the first).
type Head struct {
	model.Position
	Batch model.UUID
}

// Snapshot is what Load returns beside the entries.
type Snapshot struct {
	Head
	FeatureLevel uint16
	Intents      []Intent // undelivered, oldest first
}

// Heartbeat is what one server last said about itself and the agents connected to it.
type Heartbeat struct {
	Server string // 1 to 255 bytes
	At     time.Time
	Body   []byte
}

// The results that callers branch on.
var (
	ErrConflict  = errors.New("store has moved on: position is not the newest")
	ErrUnknown   = errors.New("commit may or may not have happened")
	ErrLineage   = errors.New("position belongs to another lineage of the store")
	ErrTruncated = errors.New("log does not reach back to the position")
	ErrNoEntry   = errors.New("no such entry")
	ErrClosed    = errors.New("store is closed")
	ErrReadOnly  = errors.New("store is open for reading only")
	ErrLocked    = errors.New("store is in use by another server")
)

// Bounds of what one Append takes; they keep a log row inside MySQL's smallest usual max_allowed_packet (16 MiB).
const (
	MaxKind  = 64
	MaxKey   = 255
	MaxBatch = 8 << 20  // encoded bytes of one batch
	MaxGroup = 64 << 20 // encoded bytes of all batches of one Append
)
