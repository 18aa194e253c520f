// Package store is the durable memory of the control plane: an ordered log of batches of after-images, the current
// image of every object that follows from it, and an outbox of effects that have to leave the process.
//
// It exists so that the world (all objects, in memory, indexed) can be rebuilt after any crash, exactly as it was
// answered to clients: Append is one durable transaction guarded by a compare-and-swap on the position, so a writer that
// has been overtaken changes nothing, and its result says whether the change happened, certainly did not happen, or
// cannot be known yet.
//
// The package knows bytes only. It must not know resources, their indexes, their validation or their meaning: kinds and
// keys are opaque strings, bodies opaque bytes. It must not retry a write or hold a cache of entries.
//
// Implementations: sqlite (the default, one server; behind a journal), mysql (several servers), memory (tests). Each passes storetest.
package store
