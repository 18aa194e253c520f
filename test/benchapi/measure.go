package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// errDry ends a measurement for a worker: there is nothing left to do it on.
var errDry = errors.New("nothing left")

// sample is the outcome of one measurement. Times are in milliseconds.
type sample struct {
	Op      string `json:"op"`
	Ports   int    `json:"ports"` // in the world when it began
	Clients int    `json:"clients"`
	N       int    `json:"n"`
	// Rows is how many objects one operation makes or shows.
	Rows      int     `json:"rows"`
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	// CPU is what the server's processors worked for one row, in microseconds: what other work on the machine does not change much.
	CPU   float64 `json:"cpu_us"`
	Bytes int     `json:"answer_bytes"` // of the last answer
}

// op is what is measured: do runs it once. It is called by many workers at once, each with a connection of its own.
type op struct {
	name string
	rows int
	// most bounds how often it is done; 0: only time does.
	most int
	// warm: it is done once before, by each client. A client that has not read so long an answer before must first get the
	// memory for it, which would take longer than the server does.
	warm bool
	do   func(c *conn) error
}

// measure does o with so many clients at once for the time given.
func (b *bench) measure(ctx context.Context, o op, clients int) (sample, error) {
	s := sample{Op: o.name, Ports: b.ports, Clients: clients, Rows: max(1, o.rows)}
	var mu sync.Mutex // guards what follows
	var took []time.Duration
	var failed error
	tickets := make(chan struct{}, max(o.most, 1))
	for range o.most {
		tickets <- struct{}{}
	}
	for _, c := range b.conns[:clients] {
		if o.warm {
			if err := o.do(c); err != nil {
				return s, err
			}
		}
	}
	worked, err := processorTime(b.server.PID())
	if err != nil {
		return s, err
	}
	began := time.Now()
	deadline := began.Add(b.o.each)
	var work sync.WaitGroup
	for _, c := range b.conns[:clients] {
		work.Go(func() {
			mine, err := worker(ctx, c, o, tickets, deadline)
			mu.Lock()
			defer mu.Unlock()
			took, failed = append(took, mine...), errors.Join(failed, err)
			s.Bytes = len(c.in)
		})
	}
	work.Wait()
	elapsed := time.Since(began).Seconds()
	after, err := processorTime(b.server.PID())
	failed = errors.Join(failed, err)
	if failed != nil {
		return s, fmt.Errorf("%s, %d clients: %w", o.name, clients, failed)
	}
	if len(took) == 0 {
		return s, fmt.Errorf("%s, %d clients: it was not done once", o.name, clients)
	}
	slices.Sort(took)
	s.N, s.PerSecond = len(took), float64(len(took)*s.Rows)/elapsed
	s.P50, s.P99 = ms(took[len(took)/2]), ms(took[min(len(took)-1, len(took)*99/100)])
	s.CPU = (after - worked).Seconds() * 1e6 / float64(len(took)*s.Rows)
	return s, nil
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

func worker(ctx context.Context, c *conn, o op, tickets <-chan struct{}, deadline time.Time) ([]time.Duration, error) {
	var took []time.Duration
	for at := time.Now(); at.Before(deadline); {
		if err := ctx.Err(); err != nil {
			return took, err
		}
		if o.most > 0 {
			select {
			case <-tickets:
			default:
				return took, nil
			}
		}
		err := o.do(c)
		if errors.Is(err, errDry) {
			return took, nil
		} else if err != nil {
			return took, err
		}
		now := time.Now()
		took = append(took, now.Sub(at))
		at = now
	}
	return took, nil
}

// each runs f once for every item, by all connections, unmeasured.
func each[T any](b *bench, items []T, f func(c *conn, item T) error) error {
	var mu sync.Mutex // guards failed
	var failed error
	next := make(chan T, len(items))
	for _, v := range items {
		next <- v
	}
	close(next)
	var work sync.WaitGroup
	for _, c := range b.conns {
		work.Go(func() {
			for v := range next {
				if err := f(c, v); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
					return
				}
			}
		})
	}
	work.Wait()
	return failed
}

// pool is ids that some operations make and others use up.
type pool[T any] struct {
	mu    sync.Mutex // guards items
	items []T
}

func (p *pool[T]) put(v T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.items = append(p.items, v)
}

// take removes one; false: there is none.
func (p *pool[T]) take() (v T, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.items) == 0 {
		return v, false
	}
	v = p.items[len(p.items)-1]
	p.items = p.items[:len(p.items)-1]
	return v, true
}

// some is one of them, which stays.
func (p *pool[T]) some() (v T, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.items) == 0 {
		return v, false
	}
	return p.items[rand.IntN(len(p.items))], true
}

// drain removes all.
func (p *pool[T]) drain() []T {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.items
	p.items = nil
	return all
}
