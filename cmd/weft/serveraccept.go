package main

import (
	"errors"
	"log/slog"
	"net"
	"time"
)

// acceptTold is how long after one warning of a listener that takes no connections the next may come.
const acceptTold = 10 * time.Second

// tellingListener says in the log that connections cannot be taken, as when descriptors run out: net/http waits and tries again, and
// tells nobody. Accept is called by one goroutine.
type tellingListener struct {
	net.Listener
	log  *slog.Logger
	told time.Time
}

// Accept implements net.Listener.
func (l *tellingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil && !errors.Is(err, net.ErrClosed) && time.Since(l.told) >= acceptTold {
		l.told = time.Now()
		l.log.Warn("connections of clients cannot be taken; they wait until it succeeds (too many open files: raise LimitNOFILE of the unit)",
			"address", l.Addr().String(), "error", err)
	}
	return c, err
}
