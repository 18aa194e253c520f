package metadata

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

// shares counts what each key has under way, within a bound for each and one for all.
type shares[K comparable] struct {
	each, all int

	mu  sync.Mutex // guards what follows
	of  map[K]int
	sum int
}

func newShares[K comparable](each, all int) *shares[K] {
	return &shares[K]{each: each, all: all, of: make(map[K]int)}
}

func (s *shares[K]) take(k K) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sum >= s.all || s.of[k] >= s.each {
		return false
	}
	s.of[k]++
	s.sum++
	return true
}

func (s *shares[K]) give(k K) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum--
	if s.of[k]--; s.of[k] == 0 {
		delete(s.of, k)
	}
}

// turns bounds what is done at once; who comes when all are taken waits. Instances that boot together all ask in the same
// second: refusing some of them would cost each a retry of its own, at whatever interval its image has.
type turns chan struct{}

func newTurns(n int) turns { return make(turns, n) }

// wait takes a turn; false: none came within d, or ctx ended. Whoever got one gives it back by done.
func (t turns) wait(ctx context.Context, d time.Duration) bool {
	select {
	case t <- struct{}{}:
		return true
	default:
	}
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case t <- struct{}{}:
		return true
	case <-late.C:
	case <-ctx.Done():
	}
	return false
}

func (t turns) done() { <-t }

// limited is a listener that closes at once what comes from an address past its share of connections.
type limited struct {
	net.Listener
	shares *shares[netip.Addr]
}

func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, err := netip.ParseAddrPort(c.RemoteAddr().String())
		if err != nil || !l.shares.take(from.Addr()) {
			c.Close() //nolint:errcheck // refused
			continue
		}
		return &counted{Conn: c, done: sync.OnceFunc(func() { l.shares.give(from.Addr()) })}, nil
	}
}

type counted struct {
	net.Conn
	done func()
}

func (c *counted) Close() error {
	c.done()
	return c.Conn.Close()
}
