package pathmtu

import "time"

// path is what is known of the way to one tunnel address, and the search for the rest. Sizes are of IP packets, in bytes.
type path struct {
	floor int // what every path carries
	want  int // what the networks need
	// narrow is the largest packet that gets there, if that is less than is needed; 0: it is not known to be.
	narrow int
	// size is what is being tried, 0: nothing is; try packets of that size were sent, with numbers from first to last.
	size, try   int
	first, last uint16
	// lo got there, hi did not; hint is what somebody on the way said would.
	lo, hi, hint int
	due          time.Time
}

// begin tries at once what is needed.
func (p *path) begin(want int, now time.Time) {
	p.want, p.lo, p.hi, p.hint = want, 0, want+1, 0
	p.attempt(want, now)
}

func (p *path) attempt(size int, now time.Time) { p.size, p.try, p.due = size, 0, now }

// sent: one more packet of the size, with that number.
func (p *path) sent(seq uint16, next time.Time) {
	if p.try == 0 {
		p.first = seq
	}
	p.last, p.due = seq, next
	p.try++
}

// is reports whether the packet is one of those of the size. The numbers go round.
func (p *path) is(seq uint16) bool { return p.size != 0 && p.try > 0 && seq-p.first <= p.last-p.first }

// answered: a packet of the size that is tried got there.
func (p *path) answered(now time.Time) { p.lo = p.size; p.next(now) }

// refused: somebody on the way, or this host (fits 0), says that the size is too large, and what would fit. It is believed that this
// size does not; what does is tried.
func (p *path) refused(fits int, now time.Time) {
	p.hint = fits
	p.failed(now)
}

// failed: no packet of the size gets there.
func (p *path) failed(now time.Time) {
	p.hi = min(p.hi, p.size)
	switch {
	case p.lo == 0 && p.size <= p.floor:
		p.size = 0 // nobody answers: nothing is learned about sizes
	case p.lo == 0:
		p.attempt(min(p.floor, p.size-1), now) // is anybody there?
	default:
		p.next(now)
	}
}

// next narrows the search down; at its end narrow is known.
func (p *path) next(now time.Time) {
	switch {
	case p.lo >= p.want:
		p.narrow, p.size = 0, 0
	case p.hi-p.lo <= 1:
		p.narrow, p.size = p.lo, 0
	case p.hint > p.lo && p.hint < p.hi:
		p.attempt(p.hint, now)
	case p.hint > 0 && p.lo == p.hint && p.hint+1 < p.hi: // it fits, as was said: does nothing more?
		p.attempt(p.hint+1, now)
	default:
		p.attempt((p.lo+p.hi)/2, now)
	}
}
