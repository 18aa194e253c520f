// Package world holds all objects at one revision, in memory, and the one writer that makes the next.
//
// A World is immutable: reads take the newest one and answer from it, without locks and without the database. It is a
// set of copy-on-write B-trees, so that a new World shares with the last all but the paths that changed.
//
//	         rule(tx)        group             commit
//	request ────────▶ tentative World ─────▶ store ─────▶ published World ─▶ answer
//	                        ▲                               │
//	                        └── the next rule runs here     └─▶ Commit (followed by the feed)
//
// A write is a function of a Tx. It runs alone, on the newest tentative World, so there is nothing to race with. What
// it put is made durable, together with whatever else waits (group commit), and only then published and answered. A
// refusal is answered only when the group that it read is durable, too. Rules do no I/O. A write that finds nothing else under way
// goes the same way on its caller's goroutine.
//
// The package knows resources as values (model) and their indexes; it knows no rule about them, no HTTP and no SQL.
package world
