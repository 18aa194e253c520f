package api

import (
	"context"
	"runtime"
)

// lane bounds how many long answers are worked at in one moment: as many as there are processors. Others wait in line, one part of an
// answer at a time, so that a short answer never finds more long ones before it than that.
//
//	500 lists of all ports ──▶ part │ part │ part ──▶ lane ──▶ processors
//	one port, a page of 50, a write ─────────────────────────▶
//
// A place is held while rows are looked at and encoded, never while a client is written to.
type lane chan struct{}

func newLane() lane { return make(lane, runtime.GOMAXPROCS(0)) }

// Where an answer becomes a long one, and how many rows may be looked at before others get a turn.
const (
	shortRows = 512
	turnRows  = 4096
)

// pace is one answer's way through the lane.
type pace struct {
	lane lane
	ctx  context.Context
	rows int  // looked at since the last turn
	long bool // it was found to be long
	held bool
}

// row is said before each row that is looked at. false: the client has gone.
func (p *pace) row() bool {
	if p.rows++; p.held && p.rows < turnRows || !p.held && !p.long && p.rows < shortRows {
		return true
	}
	p.long = true
	p.rest()
	return p.enter()
}

// enter waits for a place.
func (p *pace) enter() bool {
	select {
	case p.lane <- struct{}{}:
		p.held, p.rows = true, 0
		return true
	case <-p.ctx.Done():
		return false
	}
}

// rest gives the place to whoever waits for one.
func (p *pace) rest() {
	if p.held {
		p.held = false
		<-p.lane
	}
}
