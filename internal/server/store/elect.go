package store

import (
	"context"
	"time"
)

// Elector is what a store shared by several servers offers beside Store: one row that says which of them computes
// writes. It spares them lost races and nothing more: who acts on a lease that has run out does no harm, since Append
// compares positions. A store without it has one server, which always leads.
type Elector interface {
	// Campaign takes the lease for holder if it is free, or holder's already, and says who has it now. The leader calls
	// it again well before ttl is over. holder is what the others need to reach it, 1 to 255 bytes.
	Campaign(ctx context.Context, holder string, ttl time.Duration) (Lease, error)
	// Resign frees the lease if it is holder's.
	Resign(ctx context.Context, holder string) error
}

// Lease says who leads.
type Lease struct {
	Holder string
	Term   uint64        // grows with each change of holder
	Left   time.Duration // until it runs out, by the database's clock; negative: nobody leads
}
