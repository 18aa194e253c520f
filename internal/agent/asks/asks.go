// Package asks remembers, for a moment, which neighbours instances asked for in vain. An instance that calls a new one hears of
// it (from the API, a name server, the other's own call) sooner than its host does; its ARP request or solicitation finds nobody,
// and its kernel repeats it after a second only.
//
//	PuntAsk ─▶ remembered ─▶ Applied: the plane knows the neighbour ─▶ Resend: the plane answers
//
// It answers nothing itself, knows no State, and keeps a bounded number of questions. When the agent is dead, the instance's kernel asks
// again, as it does on any network.
package asks

import (
	"bytes"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/weft-cloud/weft/internal/agent/frame"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// Deps are what a Keeper needs. Without Resolves or Resend, a plane's that answers no such questions, it remembers nothing.
type Deps struct {
	// Resolves is dataplane.Resolver's, Resend dataplane.Resender's.
	Resolves func(model.PortID, netip.Addr) bool
	Resend   func(model.PortID, []byte) error
	Now      func() time.Time
	Log      *slog.Logger
}

const (
	// kept is how long a question waits: as long as Linux asks (mcast_solicit, three times a second apart). It then gives up, and
	// asks anew when it has something to send.
	kept = 3 * time.Second
	// quiet is how long a question that was sent again is not sent again once more, whatever comes of it.
	quiet = time.Second
	// perPort is how many questions of one port wait, inAll how many are remembered of all; an instance that looks for neighbours one by one has no
	// use for more.
	perPort, inAll = 16, 4096
	// expireEvery is how often old questions make room.
	expireEvery = 100 * time.Millisecond
)

// Keeper does what the package is for. Its methods may be called by several goroutines.
type Keeper struct {
	Deps
	mu   sync.Mutex // guards what follows, and is held from a look at the plane until what follows says so
	asks map[key]*ask
	// count is how many questions of a port wait: those that were sent again take no room from new ones.
	count map[model.PortID]int
	// expired is when it was last looked which questions have waited long enough.
	expired time.Time
}

type key struct {
	port   model.PortID
	target netip.Addr
}

// ask is a question, until it is answered or its time is over. frame nil: it was sent again.
type ask struct {
	frame []byte
	until time.Time
}

// New returns a Keeper that remembers nothing yet.
func New(d Deps) *Keeper {
	return &Keeper{Deps: d, asks: map[key]*ask{}, count: map[model.PortID]int{}}
}

// Handle takes a punt of PuntAsk. It is an agent.Responder that replies nothing; whoever is answered is answered by the plane.
func (k *Keeper) Handle(p dataplane.Punt, _ *hostplan.State) [][]byte {
	target, ok := frame.Asked(p.Frame)
	if !ok || k.Resolves == nil || k.Resend == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	at, now := key{p.Port, target}, k.Now()
	a := k.asks[at]
	if a == nil {
		if a = k.add(at, now); a == nil {
			return nil
		}
	}
	if a.frame == nil {
		if now.Before(a.until) {
			return nil // the plane thinks that it answers, and did not: no storm of that
		}
		k.count[p.Port]++ // it waits again
	}
	a.frame, a.until = bytes.Clone(p.Frame), now.Add(kept)
	k.settle(at, a, now) // it may have come while the question was on its way
	return nil
}

// add makes room for a question; nil: there is none.
func (k *Keeper) add(at key, now time.Time) *ask {
	if now.Sub(k.expired) >= expireEvery {
		k.expire(now)
	}
	if k.count[at.port] >= perPort || len(k.asks) >= inAll {
		return nil
	}
	a := &ask{frame: []byte{}}
	k.asks[at] = a
	k.count[at.port]++
	return a
}

// Applied looks again at what was asked, when the plane knows more than before.
func (k *Keeper) Applied() {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.Now()
	k.expire(now)
	for at, a := range k.asks {
		if a.frame != nil {
			k.settle(at, a, now)
		}
	}
}

// settle sends a question again if the plane answers it now.
func (k *Keeper) settle(at key, a *ask, now time.Time) {
	if !k.Resolves(at.port, at.target) {
		return
	}
	if err := k.Resend(at.port, a.frame); err != nil {
		k.Log.Debug("a question is lost", "port", at.port, "address", at.target, "error", err)
	}
	a.frame, a.until = nil, now.Add(quiet)
	k.waitsNoMore(at.port)
}

func (k *Keeper) waitsNoMore(port model.PortID) {
	if k.count[port]--; k.count[port] == 0 {
		delete(k.count, port)
	}
}

// expire forgets what has waited long enough.
func (k *Keeper) expire(now time.Time) {
	k.expired = now
	for at, a := range k.asks {
		if now.Before(a.until) {
			continue
		}
		delete(k.asks, at)
		if a.frame != nil {
			k.waitsNoMore(at.port)
		}
	}
}
