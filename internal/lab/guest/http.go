package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// metadataURL is where a guest finds out who it is (OpenStack metadata service).
const metadataURL = "http://169.254.169.254/openstack/latest/meta_data.json"

// fetchMetadata asks for the guest's metadata as cloud-init does, once there is an address, a few times, and tells the
// console the outcome.
func fetchMetadata(ctx context.Context, con *console, leased <-chan struct{}) {
	select {
	case <-leased:
	case <-ctx.Done():
		return
	}
	client := &http.Client{Timeout: 2 * time.Second}
	defer client.CloseIdleConnections()
	var last error
	for range 3 {
		var md struct{ UUID, Name, Hostname string }
		if last = getJSON(ctx, client, metadataURL, &md); last == nil {
			con.printf("metadata: I am %s (%s), hostname %s", md.Name, md.UUID, md.Hostname)
			return
		}
		if !sleep(ctx, 2*time.Second) {
			return
		}
	}
	con.printf("metadata: none: %v", last)
}

func getJSON(ctx context.Context, client *http.Client, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(into)
}
