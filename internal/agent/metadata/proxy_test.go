package metadata

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weft-cloud/weft/internal/agent/tally"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/wire"
)

func portN(n byte) model.PortID { return model.PortID{UUID: model.UUID{n}} }

// signer signs for ports whose first byte is in it.
type signer struct {
	url   string
	asked atomic.Int32
	err   atomic.Pointer[error]
}

func (s *signer) Sign(_ context.Context, in *wire.SignRequest, _ ...grpc.CallOption) (*wire.SignReply, error) {
	s.asked.Add(1)
	if e := s.err.Load(); e != nil {
		return nil, *e
	}
	n := in.PortId[0]
	return &wire.SignReply{
		InstanceId: fmt.Sprintf("instance-%d", n), ProjectId: fmt.Sprintf("project-%d", n), Signature: fmt.Sprintf("signed-%d-%s", n, in.RemoteAddress),
		MetadataUrl: s.url,
	}, nil
}

// rig is a proxy on 127.0.0.0/8 where each last byte is a port, and a Nova that says what it was told.
type rig struct {
	t      *testing.T
	signer *signer
	book   *tally.Book
	addr   string
	now    atomic.Int64
	state  atomic.Pointer[hostplan.State]
}

func newRig(t *testing.T, nova http.HandlerFunc) *rig { return newRigOf(t, inAll, nova) }

// newRigOf lets atOnce requests go to Nova at a time.
func newRigOf(t *testing.T, atOnce int, nova http.HandlerFunc) *rig {
	t.Helper()
	r := &rig{t: t, signer: &signer{}}
	if nova != nil {
		up := httptest.NewServer(nova)
		t.Cleanup(up.Close)
		r.signer.url = up.URL
	}
	st := &hostplan.State{Endpoints: map[model.PortID]*hostplan.Endpoint{}}
	for n := byte(2); n < 9; n++ {
		st.Endpoints[portN(n)] = &hostplan.Endpoint{Port: portN(n), DeviceID: fmt.Sprint("vm", n)}
	}
	r.state.Store(st)
	now := func() time.Time { return time.Unix(1000+r.now.Load(), 0) }
	r.book = tally.New(tally.Deps{Now: now})
	tr := &http.Transport{ResponseHeaderTimeout: 300 * time.Millisecond}
	t.Cleanup(tr.CloseIdleConnections)
	p := New(Deps{
		Signer: r.signer, State: r.state.Load, Book: r.book, Log: slog.New(slog.DiscardHandler), Now: now, Transport: tr,
		Attribute: func(a netip.Addr) (model.PortID, netip.Addr, bool) {
			n := a.As4()[3]
			return portN(n), netip.AddrFrom4([4]byte{10, 0, 0, n}), n > 1
		},
	})
	p.turns = newTurns(atOnce)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = l.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	return r
}

func (r *rig) dial(n byte) net.Conn {
	r.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, n)}, Timeout: 5 * time.Second}
	c, err := d.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

// raw sends the text as it is, from port n, and returns status and body.
func (r *rig) raw(n byte, text string) (int, string) {
	r.t.Helper()
	c := r.dial(n)
	if _, err := io.WriteString(c, text); err != nil {
		r.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func (r *rig) get(n byte, headers ...string) (int, string) {
	return r.raw(n, "GET /openstack/latest/meta_data.json?x=1 HTTP/1.1\r\nHost: 169.254.169.254\r\n"+strings.Join(append(headers, ""), "\r\n")+"Connection: close\r\n\r\n")
}

// echo says what Nova was told.
func echo(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintln(w, r.Method, r.URL.RequestURI())
	for _, h := range []string{"X-Forwarded-For", "X-Instance-Id", "X-Tenant-Id", "X-Instance-Id-Signature", "X_instance_id", "X-Metadata-Provider", "Forwarded", "Cookie", "Accept"} {
		for k, v := range r.Header {
			if strings.EqualFold(k, h) {
				fmt.Fprintln(w, k, v)
			}
		}
	}
}

// TestAttribution: who asks is told by the address alone; a client that says otherwise gets nowhere.
func TestAttribution(t *testing.T) {
	ours := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ours) }) // after the rig is taken down
	r := newRig(t, echo)
	want := func(n int) string {
		return fmt.Sprintf("GET /openstack/latest/meta_data.json?x=1\nX-Forwarded-For [10.0.0.%d]\nX-Instance-Id [instance-%d]\nX-Tenant-Id [project-%d]\nX-Instance-Id-Signature [signed-%d-10.0.0.%d]\n", n, n, n, n, n)
	}
	for _, tc := range []struct {
		name    string
		port    byte
		headers []string
		want    string
	}{
		{"plain", 2, nil, want(2)},
		{"another port", 3, nil, want(3)},
		{"posing by the headers themselves", 2, []string{"X-Instance-ID: instance-3", "X-Tenant-ID: project-3", "X-Instance-ID-Signature: stolen", "X-Forwarded-For: 10.0.0.3"}, want(2)},
		{"by underscores", 2, []string{"X_Instance_ID: instance-3", "X-Instance_ID: 3", "x-instance-id: 3"}, want(2)},
		{"twice", 2, []string{"X-Forwarded-For: 10.0.0.3", "X-Forwarded-For: 10.0.0.4"}, want(2)},
		{"as a load balancer", 2, []string{"X-Metadata-Provider: p", "X-Metadata-Provider-Signature: s", "Forwarded: for=10.0.0.3", "Cookie: a=b"}, want(2)},
		{"by naming it hop-by-hop", 2, []string{"Connection: X-Instance-ID, X-Forwarded-For", "X-Instance-ID: 3"}, want(2)},
		{"wanted headers pass", 2, []string{"Accept: text/x"}, want(2) + "Accept [text/x]\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, body := r.get(tc.port, tc.headers...)
			if d := cmp.Diff(tc.want, body); code != 200 || d != "" {
				t.Errorf("%d %s", code, d)
			}
		})
	}
	if got := r.signer.asked.Load(); got != 2 {
		t.Errorf("the server was asked %d times for two ports", got)
	}
	if a := r.book.Of(portN(3)); a.Answered != 1 || a.Last[0].Answer != "200 OK" {
		t.Errorf("%+v", a)
	}
}

// TestRefusals: each is a status and a sentence.
func TestRefusals(t *testing.T) {
	r := newRig(t, echo)
	for _, tc := range []struct {
		name, text string
		port       byte
		code       int
		body       string
	}{
		{"no port", "GET / HTTP/1.0\r\n\r\n", 1, 404, "no instance of this host"},
		{"a port that is gone", "GET / HTTP/1.0\r\n\r\n", 77, 404, "no longer"},
		{"method", "DELETE / HTTP/1.0\r\n\r\n", 2, 400, "method"},
		{"connect", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 2, 400, "method"},
		{"upgrade", "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 2, 400, "upgrade"},
		{"open proxy", "GET http://10.0.0.1/ HTTP/1.1\r\nHost: x\r\n\r\n", 2, 400, "another server"},
		{"large body", "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n" + strings.Repeat("x", 70000), 2, 413, "65536"},
		{"no HTTP", "hello\r\n\r\n", 2, 400, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, body := r.raw(tc.port, tc.text)
			if code != tc.code || !strings.Contains(body, tc.body) {
				t.Errorf("%d %q", code, body)
			}
		})
	}
}

func TestBadServer(t *testing.T) {
	r := newRig(t, echo)
	fails := func(err error) { r.signer.err.Store(&err) }
	fails(status.Error(codes.NotFound, "no such port"))
	if code, body := r.get(2); code != 404 || !strings.Contains(body, "no such port") {
		t.Errorf("%d %s", code, body)
	}
	fails(status.Error(codes.Unavailable, "away"))
	if code, _ := r.get(2); code != 503 {
		t.Errorf("server away: %d", code)
	}
	r.signer.err.Store(nil)
	if code, _ := r.get(2); code != 200 {
		t.Errorf("server back: %d", code)
	}
	fails(status.Error(codes.Unavailable, "away"))
	r.now.Add(3600)
	if code, _ := r.get(2); code != 200 {
		t.Errorf("a signature of before is not used while the server is away: %d", code)
	}
	fails(status.Error(codes.PermissionDenied, "bound elsewhere"))
	if code, _ := r.get(2); code != 404 {
		t.Errorf("a port that went elsewhere: %d", code)
	}
	r.state.Store(&hostplan.State{Endpoints: map[model.PortID]*hostplan.Endpoint{portN(2): {Port: portN(2), DeviceID: "another"}}})
	fails(status.Error(codes.Unavailable, "away"))
	if code, _ := r.get(2); code != 503 {
		t.Errorf("another instance got the old one's signature: %d", code)
	}
	r.signer.err.Store(nil)
	r.signer.url = ""
	if code, body := r.get(2); code != 503 || !strings.Contains(body, "nova_metadata_host") {
		t.Errorf("%d %s", code, body)
	}
}

// TestBadNova: a dead Nova is 502, a slow one 504, and a port that waits for it holds up no other.
func TestBadNova(t *testing.T) {
	hold := make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("X-Instance-ID") == "instance-2" {
			<-hold
		}
		fmt.Fprint(w, "ok")
	})
	t.Cleanup(release)
	var wait sync.WaitGroup
	statuses := make(chan int, 3*perPort)
	for range perPort + 4 {
		c := r.dial(2)
		wait.Go(func() {
			fmt.Fprint(c, "GET / HTTP/1.0\r\n\r\n")
			if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
				statuses <- resp.StatusCode
				resp.Body.Close()
			}
		})
	}
	if code, body := r.get(3); code != 200 || body != "ok" {
		t.Errorf("the other port: %d %s", code, body)
	}
	wait.Wait()
	close(statuses)
	got := map[int]int{}
	for s := range statuses {
		got[s]++
	}
	if d := cmp.Diff(map[int]int{504: perPort, 503: 4}, got); d != "" {
		t.Error(d)
	}
	if s := r.book.Of(portN(2)).Services[Service]; s.Asked != perPort+4 || s.Limited != 4 {
		t.Errorf("counted: %+v", s)
	}
	release()
	r.signer.url = "http://127.0.0.1:1"
	r.now.Add(3600)
	code, body := r.get(4)
	if code != 502 || strings.Contains(body, "127.0.0.1") {
		t.Errorf("%d %s", code, body)
	}
	if why := r.book.Of(portN(4)).Last[0].Why; !strings.Contains(why, "refused") {
		t.Errorf("the operator is told %q", why)
	}
}

// TestHangUp: a client that closes its connection at once says nothing of Nova; one that has waited long does.
func TestHangUp(t *testing.T) {
	asked, hold := make(chan struct{}), make(chan struct{})
	r := newRig(t, func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-hold
	})
	t.Cleanup(func() { close(hold) })
	for n, tc := range map[byte]struct {
		waits int64
		want  string
	}{2: {0, ""}, 3: {7, "the instance gave up after it had waited 7s for Nova's metadata service"}} {
		c := r.dial(n)
		fmt.Fprint(c, "GET / HTTP/1.0\r\n\r\n")
		<-asked
		r.now.Add(tc.waits)
		c.Close()
		var last []tally.Exchange
		for end := time.Now().Add(5 * time.Second); len(last) == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
			last = r.book.Of(portN(n)).Last
		}
		if len(last) != 1 || last[0].Why != tc.want || last[0].Answer != "" {
			t.Errorf("it had waited %d s: %+v", tc.waits, last)
		}
	}
}

// TestTurns: when all turns are taken, the next requests wait for one instead of being refused.
func TestTurns(t *testing.T) {
	var now, most atomic.Int64
	r := newRigOf(t, 2, func(w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(20 * time.Millisecond)
		fmt.Fprint(w, "ok")
	})
	var wait sync.WaitGroup
	for n := byte(2); n < 8; n++ {
		for range 3 {
			c := r.dial(n)
			wait.Go(func() {
				fmt.Fprint(c, "GET / HTTP/1.0\r\n\r\n")
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("port %d: %s", n, resp.Status)
				}
			})
		}
	}
	wait.Wait()
	if most.Load() != 2 {
		t.Errorf("%d requests were with Nova at once, want 2", most.Load())
	}
	if (turns(make(chan struct{}))).wait(t.Context(), time.Millisecond) {
		t.Error("a turn where there is none")
	}
}

// TestConnections: one port's idle connections are limited, and another's are not.
func TestConnections(t *testing.T) {
	r := newRig(t, echo)
	for range connsPerPort {
		r.dial(2)
	}
	c := r.dial(2)
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("one more: %v", err)
	}
	if code, _ := r.get(3); code != 200 {
		t.Errorf("the other port: %d", code)
	}
}
