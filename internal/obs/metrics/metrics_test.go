package metrics

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func serve(t *testing.T, m *Metrics) (url string) {
	t.Helper()
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx, l, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

func get(t *testing.T, url string) (code int, text string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// ours are the lines of what Weft itself tells.
func ours(text string) (lines []string) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "weft_") || strings.HasPrefix(line, "# TYPE weft_") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func TestWhatIsRead(t *testing.T) {
	m := New("weft v1")
	n := 0.0
	m.Values(func(_ context.Context, tell Tell) {
		n++
		tell(Gauge("things", "Things."), n, Label{"kind", "a \"quoted\" one"})
		tell(Gauge("things", "Things."), 7, Label{"kind", "b"})
		tell(Counter("told_total", "How often."), n)
	})
	url := serve(t, m)
	get(t, url+"/metrics")
	code, text := get(t, url+"/metrics")
	want := []string{`# TYPE weft_build_info gauge`, `weft_build_info{version="weft v1"} 1`, `# TYPE weft_things gauge`, `weft_things{kind="a \"quoted\" one"} 2`,
		`weft_things{kind="b"} 7`, `# TYPE weft_told_total counter`, `weft_told_total 2`}
	if got := ours(text); code != 200 || !slices.Equal(got, want) {
		t.Errorf("status %d:\n%s\nwant\n%s", code, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes", "process_start_time_seconds"} {
		if !regexp.MustCompile(`(?m)^` + name + ` \d`).MatchString(text) {
			t.Errorf("no %s", name)
		}
	}
	for _, path := range []string{"/", "/debug/pprof/"} {
		if code, _ := get(t, url+path); code != 404 {
			t.Errorf("%s: status %d", path, code)
		}
	}
	if resp, err := http.Post(url+"/metrics", "", nil); err != nil || resp.StatusCode != 405 {
		t.Errorf("POST: %v %v", resp, err)
	}
}

func TestRequests(t *testing.T) {
	m := New("v")
	r := m.Requests()
	r.Count("GET", "ports", 200, 3*time.Millisecond)
	r.Count("GET", "ports", 200, 30*time.Second)
	r.Count("POST", "ports", 409, time.Microsecond)
	r.Count("BREW", "other", 404, time.Microsecond)
	_, text := get(t, serve(t, m)+"/metrics")
	for _, want := range []string{
		`weft_api_requests_total{code="200",method="GET",resource="ports"} 2`, `weft_api_requests_total{code="409",method="POST",resource="ports"} 1`,
		`weft_api_requests_total{code="404",method="other",resource="other"} 1`,
		`weft_api_request_duration_seconds_bucket{method="GET",resource="ports",le="0.0025"} 0`,
		`weft_api_request_duration_seconds_bucket{method="GET",resource="ports",le="0.005"} 1`,
		`weft_api_request_duration_seconds_bucket{method="GET",resource="ports",le="+Inf"} 2`,
		`weft_api_request_duration_seconds_count{method="GET",resource="ports"} 2`,
	} {
		if !slices.Contains(ours(text), want) {
			t.Errorf("it lacks %s:\n%s", want, strings.Join(ours(text), "\n"))
		}
	}
}

func TestListenNamesTheOption(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Listen(l.Addr().String()); err == nil || !strings.Contains(err.Error(), "metrics_bind") {
		t.Errorf("the address is taken: %v", err)
	}
}
