package metadata

import (
	"net"
	"net/netip"
	"sync"
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
