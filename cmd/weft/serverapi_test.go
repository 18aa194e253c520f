package main

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"
)

// slowAPI serves by newAPIServer what reads a request's body and answers at length, and is asked by a client who has sent half of one.
func slowAPI(t *testing.T, timeout time.Duration) (*http.Server, net.Conn, chan error) {
	t.Helper()
	done := make(chan error, 1)
	s := newAPIServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			done <- err
			return
		}
		for b := make([]byte, 1<<20); ; {
			if _, err := w.Write(b); err != nil {
				done <- err
				return
			}
		}
	}), timeout, slog.New(slog.NewTextHandler(io.Discard, nil)))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nha"); err != nil {
		t.Fatal(err)
	}
	return s, c, done
}

// TestSlowClients: who does not send what was announced, or does not take the answer, is waited for as long as client_socket_timeout says.
func TestSlowClients(t *testing.T) {
	for _, tt := range []struct{ name, more string }{{"half a body", ""}, {"an answer that nobody takes", "lf"}} {
		t.Run(tt.name, func(t *testing.T) {
			_, c, done := slowAPI(t, 300*time.Millisecond)
			if _, err := io.WriteString(c, tt.more); err != nil {
				t.Fatal(err)
			}
			select {
			case <-done:
			case <-time.After(20 * time.Second):
				t.Error("it is waited for without an end")
			}
		})
	}
}

// TestEndWithSlowClient: a client who keeps its connection waiting does not make the server's end a failure, nor lets it wait for ever.
func TestEndWithSlowClient(t *testing.T) {
	s, _, done := slowAPI(t, 0)
	time.Sleep(50 * time.Millisecond) // until the request is under way
	if err := endAPI(s, 100*time.Millisecond); err != nil {
		t.Error(err)
	}
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("the connection was left open")
	}
}
