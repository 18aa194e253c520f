// Package rules holds the semantics of the Networking API: what may be created, changed and deleted, which addresses,
// MACs and segments are handed out, and what follows from a change.
//
// Every rule is plain Go on a world.Tx, which it alone writes, on the newest world; so there is nothing to race with. A
// rule answers a refusal as a *model.Error of Neutron's type. The package knows no HTTP, no gRPC, no SQL and no data
// plane, and does no I/O.
package rules
