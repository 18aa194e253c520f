package guest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// serveGreeting answers every request on port 80 with the guest's name and the two ends of the connection.
func serveGreeting(ctx context.Context, con *console, name string) error {
	ln, err := net.Listen("tcp", ":80")
	if err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	srv := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			here, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			fmt.Fprintf(w, "Hello from %s at %s. You are %s.\n", name, here, r.RemoteAddr)
		}),
	}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	con.printf("http: greeting on port 80")
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("greeting: %w", err)
	}
	return nil
}
