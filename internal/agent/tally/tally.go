// Package tally counts, per port, what the agent's services were asked and what they answered, and limits how often one
// port may ask.
//
// It is what `weft doctor` reads: "packets seen, of which kind, answered, with what". It holds no packet, only words, and
// forgets ports that are gone. It knows no protocol.
package tally

import (
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/weft-cloud/weft/internal/model"
)

// keep is how many exchanges are remembered of each port.
const keep = 8

// Exchange is one question and what became of it.
type Exchange struct {
	At time.Time `json:"at"`
	// Service is who was asked: "dhcpv4", "dhcpv6", "ra", "dns", "metadata".
	Service string `json:"service"`
	// Got names the question, such as "DISCOVER" or "router solicitation".
	Got string `json:"got"`
	// Answer names the answer, such as "OFFER 10.0.0.5"; "": none.
	Answer string `json:"answer,omitempty"`
	// Why says in a sentence why there was no answer, or what was left out of it.
	Why string `json:"why,omitempty"`
}

// Port is what is known of one port. Last holds the newest exchanges, oldest first.
type Port struct {
	Asked    uint64 `json:"asked"`
	Answered uint64 `json:"answered"`
	Limited  uint64 `json:"limited"`
	// Services tells Asked and Limited apart by service: a storm of one kind does not hide behind the others.
	Services map[string]Share `json:"services,omitempty"`
	Last     []Exchange       `json:"last"`
}

// Share is what a port asked one service, and how much of it was past its share.
type Share struct {
	Asked   uint64 `json:"asked"`
	Limited uint64 `json:"limited"`
}

// Totals count what all ports asked since the book was opened, also those that are gone.
type Totals struct {
	Asked, Limited uint64
	// Services counts the exchanges with each service.
	Services map[string]Exchanges
}

// Exchanges are questions that were answered, and those that were not.
type Exchanges struct{ Answered, Unanswered uint64 }

// Book is safe for use by several goroutines.
type Book struct {
	now   func() time.Time
	limit rate.Limit
	burst int

	mu     sync.Mutex // guards what follows
	ports  map[model.PortID]*account
	totals Totals
}

type account struct {
	Port
	bucket *rate.Limiter
}

// Deps of New. Now is the clock. PerSecond and Burst limit each port's questions; PerSecond 0: no limit.
type Deps struct {
	Now       func() time.Time
	PerSecond float64
	Burst     int
}

// New returns an empty book.
func New(d Deps) *Book {
	limit := rate.Limit(d.PerSecond)
	if d.PerSecond == 0 {
		limit = rate.Inf
	}
	return &Book{now: d.Now, limit: limit, burst: d.Burst, ports: make(map[model.PortID]*account),
		totals: Totals{Services: make(map[string]Exchanges)}}
}

func (b *Book) account(id model.PortID) *account {
	a := b.ports[id]
	if a == nil {
		a = &account{bucket: rate.NewLimiter(b.limit, b.burst), Port: Port{Services: make(map[string]Share)}}
		b.ports[id] = a
	}
	return a
}

// Allow counts a question for a service and reports whether the port may ask it now. Past the limit, which is one for all
// services that call Allow, the question is counted as limited and nothing more should be spent on it.
func (b *Book) Allow(id model.PortID, service string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	ok := b.account(id).bucket.AllowN(b.now(), 1)
	b.count(id, service, ok)
	return ok
}

// Count counts a question for a service that is limited by other means; ok: these let it pass.
func (b *Book) Count(id model.PortID, service string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count(id, service, ok)
}

// count needs mu.
func (b *Book) count(id model.PortID, service string, ok bool) {
	a := b.account(id)
	sum := a.Services[service]
	a.Asked++
	sum.Asked++
	b.totals.Asked++
	if !ok {
		a.Limited++
		sum.Limited++
		b.totals.Limited++
	}
	a.Services[service] = sum
}

// Note records an exchange; its time is filled in.
func (b *Book) Note(id model.PortID, e Exchange) {
	e.At = b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.account(id)
	sum := b.totals.Services[e.Service]
	if e.Answer != "" {
		a.Answered++
		sum.Answered++
	} else {
		sum.Unanswered++
	}
	b.totals.Services[e.Service] = sum
	if len(a.Last) == keep {
		a.Last = slices.Delete(a.Last, 0, 1)
	}
	a.Last = append(a.Last, e)
}

// Of returns a copy of what is known of the port; the zero Port if it never asked.
func (b *Book) Of(id model.PortID) Port {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.ports[id]
	if a == nil {
		return Port{}
	}
	p := a.Port
	p.Last, p.Services = slices.Clone(p.Last), maps.Clone(p.Services)
	return p
}

// Totals returns a copy of the totals.
func (b *Book) Totals() Totals {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.totals
	out.Services = maps.Clone(out.Services)
	return out
}

// Keep forgets every port for which here says no.
func (b *Book) Keep(here func(model.PortID) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range b.ports {
		if !here(id) {
			delete(b.ports, id)
		}
	}
}
