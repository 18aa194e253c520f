package main

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// full fails as a listener does when descriptors have run out.
type full struct{ net.Listener }

func (full) Accept() (net.Conn, error) { return nil, unix.EMFILE }
func (full) Addr() net.Addr            { return &net.TCPAddr{IP: net.IPv6loopback, Port: 9696} }

func TestTellingListener(t *testing.T) {
	var log bytes.Buffer
	l := &tellingListener{Listener: full{}, log: slog.New(slog.NewTextHandler(&log, nil))}
	for range 3 {
		if _, err := l.Accept(); !errors.Is(err, unix.EMFILE) {
			t.Fatal(err)
		}
	}
	if n := strings.Count(log.String(), "LimitNOFILE"); n != 1 || !strings.Contains(log.String(), "[::1]:9696") {
		t.Errorf("said %d times:\n%s", n, log.String())
	}
	l.told = time.Now().Add(-acceptTold)
	if _, err := l.Accept(); err == nil || strings.Count(log.String(), "LimitNOFILE") != 2 {
		t.Errorf("not said again:\n%s", log.String())
	}
}
