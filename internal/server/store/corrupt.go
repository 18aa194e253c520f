package store

import (
	"fmt"

	"github.com/weft-cloud/weft/internal/model"
)

// CorruptError names one row that cannot be used, and the command that repairs it: an entry if Kind is set, else the
// log row at Revision. Whoever decodes bodies returns one, too, by Undecodable.
type CorruptError struct {
	Kind, Key string
	Revision  uint64 // of the log row; for an entry, of its last write where known
	Reason    string
}

// Undecodable is the error for an entry whose bytes are whole but make no sense to this server.
func Undecodable(e Entry, reason error) *CorruptError {
	return &CorruptError{Kind: e.Kind, Key: e.Key, Revision: e.Revision, Reason: fmt.Sprintf("schema %d: %v", e.Schema, reason)}
}

func (e *CorruptError) Error() string {
	if e.Kind != "" {
		return fmt.Sprintf("entry %s %q (revision %d): %s; to repair, restore a backup, or drop the entry: %s",
			e.Kind, e.Key, e.Revision, e.Reason, e.Repair())
	}
	return fmt.Sprintf("log row %d: %s; entries are not affected; to repair, start a new lineage: %s", e.Revision, e.Reason, e.Repair())
}

// Repair is the command that mends the store: Drop for an entry, NewLineage for the log.
func (e *CorruptError) Repair() string {
	if e.Kind != "" {
		return fmt.Sprintf("weft store drop %s/%s", e.Kind, e.Key)
	}
	return "weft store new-lineage"
}

// LogCheck finds what is wrong with a log that is fed to it row by row, oldest first.
type LogCheck struct {
	next uint64
	prev model.UUID
	any  bool
}

// NewLogCheck begins behind the newest revision that has been trimmed.
func NewLogCheck(trimmed uint64) *LogCheck { return &LogCheck{next: trimmed + 1} }

// Row takes the next log row: b's ID, Prev and Revision, and the encoded rest.
func (c *LogCheck) Row(b Batch, row []byte) (found []*CorruptError) {
	if b.Revision != c.next {
		found = append(found, &CorruptError{Revision: c.next, Reason: fmt.Sprintf("missing from the log, the next is %d", b.Revision)})
	} else if c.any && b.Prev != c.prev {
		found = append(found, &CorruptError{Revision: b.Revision, Reason: fmt.Sprintf("follows batch %s, but the one before it is %s", b.Prev, c.prev)})
	}
	if err := DecodeBatch(row, &b); err != nil {
		found = append(found, &CorruptError{Revision: b.Revision, Reason: err.Error()})
	}
	c.next, c.prev, c.any = b.Revision+1, b.ID, true
	return found
}

// End compares the last row with the head.
func (c *LogCheck) End(head Head) []*CorruptError {
	switch {
	case c.next != head.Revision+1:
		return []*CorruptError{{Revision: c.next, Reason: fmt.Sprintf("the log ends here, but the store is at %d", head.Revision)}}
	case c.any && c.prev != head.Batch:
		return []*CorruptError{{Revision: head.Revision, Reason: fmt.Sprintf("the newest batch is %s, but the store says %s", c.prev, head.Batch)}}
	}
	return nil
}
