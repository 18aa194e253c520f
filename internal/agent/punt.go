package agent

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/weft-cloud/weft/internal/dataplane"
)

// waitingPunts is how many packets of one kind may wait for their responder: enough for a host whose instances all boot at
// once. The plane has limited each port before; who comes on top of a full queue is dropped, and asks again.
const waitingPunts = 4096

// puntCounts are updated by the dispatcher and the responders' goroutines.
type puntCounts struct {
	received, unknown, overflow, replies, undelivered atomic.Uint64
}

// dispatch starts a goroutine that sorts punts by kind and one for each responder.
func (a *Agent) dispatch(ctx context.Context, g *errgroup.Group) {
	queues := make(map[dataplane.PuntKind]chan dataplane.Punt, len(a.Responders))
	for kind, r := range a.Responders {
		q := make(chan dataplane.Punt, waitingPunts)
		queues[kind] = q
		g.Go(func() error { a.respond(ctx, r, q); return nil })
	}
	g.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case p, open := <-a.Plane.Punts():
				if !open {
					return nil
				}
				a.sort(p, queues)
			}
		}
	})
}

func (a *Agent) sort(p dataplane.Punt, queues map[dataplane.PuntKind]chan dataplane.Punt) {
	a.punts.received.Add(1)
	q, ok := queues[p.Kind]
	if !ok {
		a.punts.unknown.Add(1)
		return
	}
	select {
	case q <- p:
	default:
		a.punts.overflow.Add(1)
	}
}

func (a *Agent) respond(ctx context.Context, r Responder, q <-chan dataplane.Punt) {
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-q:
			st := a.state.Load()
			if st == nil {
				continue
			}
			for _, frame := range r.Handle(p, st) {
				a.punts.replies.Add(1)
				if err := a.Plane.Inject(p.Port, frame); err != nil {
					a.punts.undelivered.Add(1)
					a.Log.Debug("answer not delivered", "port", p.Port, "error", err)
				}
			}
		}
	}
}
