package model

import "fmt"

// Position orders everything that happens: the log, an object's revision_number, what an agent has applied, where a
// feed resumes. A lineage is random, made with the store and renewed by a restore; revisions of different lineages
// cannot be compared.
type Position struct {
	Lineage  UUID   `json:"lineage"`
	Revision uint64 `json:"revision"`
}

// Covers reports whether a reader at p has seen everything up to q.
func (p Position) Covers(q Position) bool { return p.Lineage == q.Lineage && p.Revision >= q.Revision }

func (p Position) String() string { return fmt.Sprintf("%s@%d", p.Lineage, p.Revision) }
