package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/api"
	"github.com/weft-cloud/weft/internal/server/identity"
	"github.com/weft-cloud/weft/internal/server/policy"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/memory"
	"github.com/weft-cloud/weft/internal/server/world"
)

// repeatable makes identifiers, and with them picks addresses, the same in every run: recorded requests name addresses
// which a random pick would now and then have given to another port before. Only the writer's goroutine calls it.
func repeatable() func() model.UUID {
	r := mathrand.NewChaCha8([32]byte{'w', 'e', 'f', 't'})
	return func() model.UUID {
		var b [16]byte
		r.Read(b[:])
		return model.NewUUIDv4(b)
	}
}

func randomUUID() model.UUID {
	var b [16]byte
	rand.Read(b[:])
	return model.NewUUIDv4(b)
}

// liveness says that the hosts in it are alive.
type liveness struct {
	mu   sync.Mutex
	live map[string]bool
}

func (l *liveness) Alive(host string) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Unix(1700000000, 0), l.live[host]
}

// env is a server on an empty world in memory.
type env struct {
	t       testing.TB
	handler http.Handler
	writer  *world.Writer
	store   store.Store
	rules   *rules.Rules
	live    *liveness
	headers map[string]string
	panics  *atomic.Bool // the next rule that makes an identifier panics
}

func newEnv(t testing.TB, change func(*rules.Config)) *env {
	t.Helper()
	cfg := rules.Defaults()
	cfg.VNIRanges = []rules.Range{{Min: 1, Max: 5000}}
	cfg.VLANRanges = map[string][]rules.Range{"physnet1": {{Min: 1000, Max: 1999}}}
	cfg.FlatNetworks = []string{"public"}
	for k := range cfg.Quotas {
		cfg.Quotas[k] = -1
	}
	if change != nil {
		change(&cfg)
	}
	e := &env{t: t, live: &liveness{live: map[string]bool{}}, headers: map[string]string{"X-Project-Id": "admin-project"}, panics: &atomic.Bool{}}
	e.rules = rules.New(rules.Deps{Config: cfg, Liveness: e.live})
	s, err := memory.New(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	e.store = s
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	id := repeatable()
	e.writer, err = world.Open(context.Background(), world.Config{Store: s, Log: log, Now: time.Now, Random: func() model.UUID {
		if e.panics.CompareAndSwap(true, false) {
			panic("no identifier")
		}
		return id()
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.writer.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	engine, _, err := policy.New(policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e.handler = api.New(api.Deps{Writer: e.writer, Rules: e.rules, Identity: headerIdentity{}, Policy: engine, Log: log, NewID: randomUUID})
	return e
}

// headerIdentity believes X-Project-Id and X-Roles; without roles the caller is administrator.
type headerIdentity struct{}

func (headerIdentity) Authenticate(r *http.Request) (*identity.Caller, error) {
	if r.Header.Get("X-Project-Id") == "" {
		return nil, model.Errf(model.KindUnauthorized, "Unauthorized", "The request you have made requires authentication.")
	}
	c := &identity.Caller{ProjectID: r.Header.Get("X-Project-Id"), UserID: "user", IsAdminProject: true}
	if roles := r.Header.Get("X-Roles"); roles != "" {
		c.Roles = strings.Split(roles, ",")
	} else {
		c.IsAdmin = true
	}
	return c, nil
}

func (headerIdentity) Challenge() string { return `Keystone uri="http://controller:5000"` }

// as is the same server as another project's member sees it.
func (e *env) as(project string) *env {
	c := *e
	c.headers = map[string]string{"X-Project-Id": project, "X-Roles": "member,reader"}
	return &c
}

// host registers a live host.
func (e *env) host(name, vtep, mode string) {
	e.t.Helper()
	e.live.mu.Lock()
	e.live.live[name] = true
	e.live.mu.Unlock()
	e.write(func(tx *world.Tx) error {
		return e.rules.RegisterHost(tx, &model.Host{
			Name: name, VTEP: netip.MustParseAddr(vtep), AgentMode: mode, DataPlane: "ebpf", BridgeMappings: map[string]string{"public": "br-ex"},
		})
	})
}

func (e *env) write(rule world.Rule) {
	e.t.Helper()
	if _, err := e.writer.Do(context.Background(), "test", rule); err != nil {
		e.t.Fatal(err)
	}
}

// raw sends a request as it is.
func (e *env) raw(method, path string, body []byte, headers map[string]string) (int, []byte, http.Header) {
	e.t.Helper()
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	req := httptest.NewRequest(method, path, r)
	req.Host = "controller:9696"
	for k, v := range e.headers {
		req.Header.Set(k, v)
	}
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	e.handler.ServeHTTP(w, req)
	return w.Code, w.Body.Bytes(), w.Header()
}

type object = map[string]any

// do sends a request with a JSON body and decodes the answer.
func (e *env) do(method, path string, body any) (int, object) {
	e.t.Helper()
	var b []byte
	if body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			e.t.Fatal(err)
		}
	}
	code, answer, _ := e.raw(method, "/v2.0"+path, b, nil)
	var out object
	if len(answer) > 0 {
		if err := json.Unmarshal(answer, &out); err != nil {
			e.t.Fatalf("%s %s: answer is not JSON: %v\n%s", method, path, err, answer)
		}
	}
	return code, out
}

// must is do with an expected status; it returns the only object in the answer.
func (e *env) must(code int, method, path string, body any) object {
	e.t.Helper()
	got, out := e.do(method, path, body)
	if got != code {
		e.t.Fatalf("%s %s %v: status %d, want %d: %v", method, path, body, got, code, out)
	}
	if len(out) == 1 {
		for _, v := range out {
			if o, ok := v.(object); ok {
				return o
			}
		}
	}
	return out
}

// show is the object at a path.
func (e *env) show(path string) object {
	e.t.Helper()
	return e.must(200, "GET", path, nil)
}

// list is the objects of a collection.
func (e *env) list(path string) []any {
	e.t.Helper()
	for _, v := range e.must(200, "GET", path, nil) {
		if items, ok := v.([]any); ok {
			return items
		}
	}
	e.t.Fatalf("GET %s: no list in the answer", path)
	return nil
}

// create makes an object and returns it.
func (e *env) create(kind string, attrs object) object {
	e.t.Helper()
	return e.must(201, "POST", "/"+kind+"s", object{kind: attrs})
}

// refused expects a fault of a status and type.
func (e *env) refused(code int, typ, method, path string, body any) object {
	e.t.Helper()
	got, out := e.do(method, path, body)
	fault, _ := out["NeutronError"].(object)
	if got != code || fault["type"] != typ {
		e.t.Errorf("%s %s %v: %d %v, want %d %s", method, path, body, got, out, code, typ)
	}
	return fault
}

// any sends what may not even be a request; false if it is none.
func (e *env) any(method, path, body, match string) (code int, answer []byte, ok bool) {
	u, err := url.ParseRequestURI(path)
	if err != nil || u.Host != "" {
		return 0, nil, false
	}
	req := &http.Request{Method: method, URL: u, Host: "controller", Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
	req.Header.Set("X-Project-Id", "p")
	req.Header.Set("If-Match", match)
	w := httptest.NewRecorder()
	e.handler.ServeHTTP(w, req)
	return w.Code, w.Body.Bytes(), true
}
