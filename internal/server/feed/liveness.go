package feed

import (
	"sync"
	"time"
)

// Liveness knows when each host was last heard of, by the server's own clock: agents' clocks play no part.
type Liveness struct {
	now  func() time.Time
	down time.Duration

	mu   sync.Mutex
	last map[string]beat // guarded by mu
}

type beat struct {
	at time.Time
	Beat
}

// Beat is what an agent said of itself last.
type Beat struct {
	// ClockOffset is the agent's clock minus the server's, as far as one message can tell.
	ClockOffset                  time.Duration
	Endpoints, Networks, Routers uint32
	Problems                     []Problem
	AppliedRevision              uint64
}

// Problem is something that an agent could not carry out.
type Problem struct{ Kind, ID, Why string }

// NewLiveness makes a register in which a host is alive until it has not been heard of for down (agent_down_time).
func NewLiveness(now func() time.Time, down time.Duration) *Liveness {
	return &Liveness{now: now, down: down, last: map[string]beat{}}
}

// Alive reports when the host was last heard of (zero: never, as far as this server knows) and whether that is recent
// enough.
func (l *Liveness) Alive(host string) (last time.Time, alive bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.last[host]
	return b.at, ok && l.now().Sub(b.at) < l.down
}

// Last is what the host's agent said last.
func (l *Liveness) Last(host string) Beat {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last[host].Beat
}

// Seen records that the host was heard of at a time by this server's clock; older news changes nothing. A time that is yet to come was
// written before the clock was set back, and counts as now: a host that is dead would look alive until then.
func (l *Liveness) Seen(host string, at time.Time) {
	now := l.now()
	at = now.Add(min(0, at.Sub(now))) // from here on it is the monotonic clock that says how long ago
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.last[host]
	if at.After(b.at) {
		b.at = at
		l.last[host] = b
	}
}

// All is when each host was last heard of.
func (l *Liveness) All() map[string]time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string]time.Time, len(l.last))
	for h, b := range l.last {
		out[h] = b.at
	}
	return out
}

func (l *Liveness) update(host string, f func(*Beat)) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.last[host]
	b.at = now
	f(&b.Beat)
	l.last[host] = b
}
