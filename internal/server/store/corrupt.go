package store

import "fmt"

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
		return fmt.Sprintf("weft store repair --drop %s/%s", e.Kind, e.Key)
	}
	return "weft store repair --new-lineage"
}
