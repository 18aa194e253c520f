package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/weft-cloud/weft/internal/config"
	"github.com/weft-cloud/weft/internal/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a Keystone: a handler that knows some tokens, and counts.
type fake struct {
	mu      sync.Mutex
	tokens  map[string]map[string]any // user token → the inside of "token"
	own     string                    // the service's token that is good now
	logins  atomic.Int32
	asked   atomic.Int32
	status  int           // if not 0, the answer to validations
	release chan struct{} // if not nil, validations wait for it
	query   string        // of the last validation
	now     func() time.Time
	login   []byte           // last body
	revoked []map[string]any // what OS-REVOKE tells
	silent  int              // if not 0, what it answers in place of that
	polled  atomic.Int32
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v3/OS-REVOKE/events" {
		f.revocations(w, r)
		return
	}
	if r.URL.Path != "/v3/auth/tokens" {
		http.NotFound(w, r)
		return
	}
	if r.Method == http.MethodPost {
		n := f.logins.Add(1)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.login = make([]byte, r.ContentLength)
		_, _ = r.Body.Read(f.login)
		if !bytes.Contains(f.login, []byte(`"password":"hush"`)) && !bytes.Contains(f.login, []byte(`"secret":"hush"`)) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		f.own = fmt.Sprintf("own-%d", n)
		w.Header().Set("X-Subject-Token", f.own)
		w.WriteHeader(http.StatusCreated)
		f.write(w, map[string]any{"user": map[string]any{"id": "svc"}, "expires_at": f.now().Add(time.Hour)})
		return
	}
	f.asked.Add(1)
	if f.release != nil {
		<-f.release
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.query = r.URL.RawQuery
	if f.status != 0 {
		w.WriteHeader(f.status)
		return
	}
	if r.Header.Get("X-Auth-Token") != f.own {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	t := f.tokens[r.Header.Get("X-Subject-Token")]
	if t != nil && t["application_credential"] != nil && r.Header.Get("OpenStack-Identity-Access-Rules") == "" {
		t = nil // as Keystone does
	}
	if t == nil || t["expires_at"].(time.Time).Before(f.now()) && !strings.Contains(r.URL.RawQuery, "allow_expired=1") {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	f.write(w, t)
}

func (f *fake) revocations(w http.ResponseWriter, r *http.Request) {
	defer f.polled.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := time.Parse("2006-01-02T15:04:05.000000Z", r.URL.Query().Get("since")); err != nil || r.Header.Get("X-Auth-Token") != f.own {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if f.silent != 0 {
		w.WriteHeader(f.silent)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"events": f.revoked})
}

func (f *fake) write(w http.ResponseWriter, token map[string]any) {
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token})
}

// bench is a Keystone with a fake behind it and a clock of its own.
type bench struct {
	*fake
	k     *Keystone
	clock atomic.Int64 // seconds
	log   bytes.Buffer
}

func newBench(t *testing.T, change func(*config.Keystone)) *bench {
	t.Helper()
	b := &bench{fake: &fake{tokens: map[string]map[string]any{}}}
	b.clock.Store(time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC).Unix())
	b.now = func() time.Time { return time.Unix(b.clock.Load(), 0).UTC() }
	srv := httptest.NewServer(b.fake)
	cfg := config.Keystone{
		Credentials: config.Credentials{
			AuthURL: srv.URL, Username: "neutron", Password: config.NewSecret("hush"), ProjectName: "service",
			UserDomainID: "default", ProjectDomainName: "Default", Timeout: 5 * time.Second,
		},
		PublicURL: "http://k:5000", CacheTime: 5 * time.Minute, ServiceTokenRoles: []string{"service"},
	}
	if change != nil {
		change(&cfg)
	}
	client, err := NewClient(cfg.Credentials)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		srv.Close()
	})
	b.k = New(Deps{Config: cfg, Client: client, Now: b.now, Log: slog.New(slog.NewTextHandler(&b.log, nil))})
	return b
}

// token makes one known that is good for d.
func (b *bench) token(name string, d time.Duration, roles ...string) map[string]any {
	var rs []any
	for _, r := range roles {
		rs = append(rs, map[string]any{"id": "id-" + r, "name": r})
	}
	t := map[string]any{
		"user":    map[string]any{"id": "u-" + name, "name": name, "domain": map[string]any{"id": "default", "name": "Default"}},
		"project": map[string]any{"id": "p1", "name": "demo", "domain": map[string]any{"id": "default", "name": "Default"}},
		"roles":   rs, "expires_at": b.now().Add(d),
	}
	b.mu.Lock()
	b.tokens[name] = t
	b.mu.Unlock()
	return t
}

func (b *bench) ask(header ...string) (*Caller, error) {
	r := httptest.NewRequest(http.MethodGet, "/v2.0/networks", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return b.k.Authenticate(r)
}

func wantKind(t *testing.T, err error, kind model.ErrorKind) {
	t.Helper()
	if err == nil || model.KindOf(err) != kind {
		t.Errorf("error %v of kind %v, want kind %v", err, model.KindOf(err), kind)
	}
}

func TestCaller(t *testing.T) {
	b := newBench(t, nil)
	b.token("ann", time.Hour, "member", "reader")
	got, err := b.ask("X-Auth-Token", "ann", "X-Roles", "admin", "X-Project-Id", "other", "X-User-Id", "root")
	if err != nil {
		t.Fatal(err)
	}
	want := &Caller{
		UserID: "u-ann", UserName: "ann", UserDomainID: "default", UserDomainName: "Default",
		ProjectID: "p1", ProjectName: "demo", ProjectDomainID: "default", ProjectDomainName: "Default",
		Roles: []string{"member", "reader"}, IsAdminProject: true, Expires: b.now().Add(time.Hour),
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	var login map[string]any
	if err := json.Unmarshal(b.login, &login); err != nil {
		t.Fatal(err)
	}
	wantLogin := map[string]any{"auth": map[string]any{
		"identity": map[string]any{"methods": []any{"password"}, "password": map[string]any{
			"user": map[string]any{"name": "neutron", "password": "hush", "domain": map[string]any{"id": "default"}}}},
		"scope": map[string]any{"project": map[string]any{"name": "service", "domain": map[string]any{"name": "Default"}}},
	}}
	if d := cmp.Diff(wantLogin, login); d != "" {
		t.Error(d)
	}
}

func TestScopes(t *testing.T) {
	b := newBench(t, nil)
	for name, change := range map[string]func(map[string]any){
		"system": func(t map[string]any) { delete(t, "project"); t["system"] = map[string]any{"all": true} },
		"domain": func(t map[string]any) {
			delete(t, "project")
			t["domain"] = map[string]any{"id": "d7", "name": "seven"}
		},
		"project": func(map[string]any) {},
	} {
		change(b.token(name, time.Hour, "reader"))
		c, err := b.ask("X-Auth-Token", name)
		if err != nil {
			t.Fatal(err)
		}
		if c.Scope() != name {
			t.Errorf("scope %q, want %q", c.Scope(), name)
		}
		if name != "project" && c.ProjectID != "" {
			t.Errorf("%s: project %q", name, c.ProjectID)
		}
	}
}

func TestRefusals(t *testing.T) {
	b := newBench(t, nil)
	b.token("old", -time.Second)
	for name, token := range map[string]string{
		"none": "", "unknown": "nobody", "expired": "old", "blank": "  ", "header injection": "a\r\nX-Auth-Token: own-1", "too long": strings.Repeat("x", maxToken+1),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.ask("X-Auth-Token", token)
			wantKind(t, err, model.KindUnauthorized)
		})
	}
}

func TestCache(t *testing.T) {
	b := newBench(t, nil)
	b.token("ann", 10*time.Minute)
	steps := []struct {
		name   string
		after  int64 // seconds
		revoke bool
		asked  int32 // in all
		ok     bool
	}{
		{"first", 0, false, 1, true},
		{"from memory", 0, false, 1, true},
		{"revoked, still believed", 299, true, 1, true},
		{"no longer believed", 1, false, 2, false},
		{"known to be bad", 0, false, 2, false},
		{"asked again", 30, false, 3, false},
	}
	for _, s := range steps {
		b.clock.Add(s.after)
		if s.revoke {
			b.mu.Lock()
			delete(b.tokens, "ann")
			b.mu.Unlock()
		}
		_, err := b.ask("X-Auth-Token", "ann")
		if (err == nil) != s.ok || b.asked.Load() != s.asked {
			t.Errorf("%s: error %v after %d questions, want ok %v after %d", s.name, err, b.asked.Load(), s.ok, s.asked)
		}
	}
	if n := b.logins.Load(); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
}

// TestFollow: what Keystone revokes is asked about again, and nothing else is; one that does not tell is named once, and the token is believed as long as
// without Follow.
func TestFollow(t *testing.T) {
	b := newBench(t, func(c *config.Keystone) { c.RevocationTime = time.Millisecond })
	for _, name := range []string{"ann", "bob"} {
		b.token(name, time.Hour, "member")["audit_ids"] = []string{"audit-" + name, "chain-" + name}
	}
	ask := func(name string, want int32) {
		t.Helper()
		if _, err := b.ask("X-Auth-Token", name); err != nil || b.asked.Load() != want {
			t.Errorf("%s: %v after %d questions, want %d", name, err, b.asked.Load(), want)
		}
	}
	ask("ann", 1)
	ask("bob", 2)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.k.Follow(ctx) }()
	told := func(silent int, events ...map[string]any) {
		t.Helper()
		b.mu.Lock()
		b.revoked, b.silent = events, silent
		b.mu.Unlock()
		for n := b.polled.Load() + 2; b.polled.Load() < n; {
			time.Sleep(time.Millisecond)
		}
	}
	type event = map[string]any
	none := func() { told(0) }
	for i, e := range []event{
		{"audit_id": "audit-ann"},
		{"audit_chain_id": "chain-ann"},
		{"user_id": "u-ann", "project_id": "p1", "issued_before": "2026-11-22T09:00:00.000000Z"},
		{"user_id": "u-ann", "role_id": "id-member"},
	} {
		told(0, e)
		none()
		ask("ann", int32(3+i))
		ask("bob", int32(3+i))
	}
	told(0, event{"user_id": "u-ann", "project_id": "another"}, event{"domain_id": "another"}, event{"OS-TRUST:trust_id": "another"})
	ask("ann", 6)
	told(0, event{"domain_id": "default"})
	none()
	ask("ann", 7)
	ask("bob", 8)
	told(http.StatusForbidden, event{"domain_id": "default"})
	told(http.StatusForbidden, event{"domain_id": "default"})
	ask("ann", 8)
	none()
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if n := strings.Count(b.log.String(), "does not tell which tokens were revoked"); n != 1 || !strings.Contains(b.log.String(), "identity:list_revoke_events") {
		t.Errorf("said %d times:\n%s", n, &b.log)
	}
}

func TestCacheEndsWithToken(t *testing.T) {
	b := newBench(t, nil)
	b.token("ann", time.Minute)
	if _, err := b.ask("X-Auth-Token", "ann"); err != nil {
		t.Fatal(err)
	}
	b.clock.Add(60)
	_, err := b.ask("X-Auth-Token", "ann")
	wantKind(t, err, model.KindUnauthorized)
	if b.asked.Load() != 2 {
		t.Errorf("%d questions, want 2", b.asked.Load())
	}
}

func TestNoCache(t *testing.T) {
	b := newBench(t, func(c *config.Keystone) { c.CacheTime = 0 })
	b.token("ann", time.Hour)
	for range 3 {
		if _, err := b.ask("X-Auth-Token", "ann"); err != nil {
			t.Fatal(err)
		}
	}
	if b.asked.Load() != 3 || b.k.good.len() != 0 {
		t.Errorf("%d questions and %d kept, want 3 and 0", b.asked.Load(), b.k.good.len())
	}
}

func TestOwnTokenIsRenewed(t *testing.T) {
	b := newBench(t, func(c *config.Keystone) { c.CacheTime = 0 })
	b.token("ann", 3*time.Hour)
	ask := func(what string, logins int32) {
		t.Helper()
		if _, err := b.ask("X-Auth-Token", "ann"); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if b.logins.Load() != logins {
			t.Errorf("%s: %d logins, want %d", what, b.logins.Load(), logins)
		}
	}
	ask("first", 1)
	b.mu.Lock()
	b.own = "revoked at Keystone"
	b.mu.Unlock()
	ask("after a 401", 2)
	b.clock.Add(3600 - 59)
	ask("before its end", 3)
}

func TestOneQuestionForMany(t *testing.T) {
	b := newBench(t, nil)
	b.token("ann", time.Hour)
	b.release = make(chan struct{})
	const n = 20
	var wg sync.WaitGroup
	errs := make(chan error, n)
	for range n {
		wg.Go(func() {
			_, err := b.ask("X-Auth-Token", "ann")
			errs <- err
		})
	}
	close(b.release)
	wg.Wait()
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	// Who comes after the answer finds it in memory; who comes before waits for it.
	if got := b.asked.Load(); got != 1 {
		t.Errorf("%d questions, want 1", got)
	}
}

func TestCallerGoesAway(t *testing.T) {
	b := newBench(t, nil)
	b.token("ann", time.Hour)
	b.release = make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	r.Header.Set("X-Auth-Token", "ann")
	_, err := b.k.Authenticate(r)
	wantKind(t, err, model.KindUnavailable)
	close(b.release)
	if _, err := b.ask("X-Auth-Token", "ann"); err != nil {
		t.Error(err)
	}
}

func TestKeystoneAway(t *testing.T) {
	for name, change := range map[string]func(*bench){
		"refuses connections": func(b *bench) { b.k.cfg.AuthURL = "http://127.0.0.1:1" },
		"is broken":           func(b *bench) { b.status = 500 },
		"is busy":             func(b *bench) { b.status = 429 },
		"forbids":             func(b *bench) { b.status = 403 },
		"rejects for ever":    func(b *bench) { b.status = 401 },
		"redirects":           func(b *bench) { b.status = 302 },
		"has no v3":           func(b *bench) { b.k.cfg.AuthURL += "/nothing" },
		"wrong password":      func(b *bench) { b.k.cfg.Password = config.NewSecret("wrong-hush") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, func(c *config.Keystone) { c.Retries = 1 })
			b.token("ann", time.Hour)
			change(b)
			_, err := b.ask("X-Auth-Token", "ann")
			wantKind(t, err, model.KindUnavailable)
			log := b.log.String()
			if strings.Count(log, "keystone cannot be asked") != 1 {
				t.Errorf("log:\n%s", log)
			}
			if strings.Contains(log, "hush") {
				t.Error("the password is in the log")
			}
			_, _ = b.ask("X-Auth-Token", "ann")
			if strings.Count(b.log.String(), "keystone cannot be asked") != 1 {
				t.Error("the second failure within 10 seconds was told, too")
			}
		})
	}
}

// TestNoRedirect: a Keystone that points elsewhere does not get our token sent there.
func TestNoRedirect(t *testing.T) {
	var hits atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer other.Close()
	b := newBench(t, nil)
	away := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer away.Close()
	b.k.cfg.AuthURL = away.URL
	_, err := b.ask("X-Auth-Token", "ann")
	wantKind(t, err, model.KindUnavailable)
	if hits.Load() != 0 {
		t.Error("followed")
	}
}

func TestRetry(t *testing.T) {
	b := newBench(t, func(c *config.Keystone) { c.Retries = 3 })
	b.token("ann", time.Hour)
	b.status = 503
	if _, err := b.ask("X-Auth-Token", "ann"); err == nil {
		t.Fatal("allowed")
	}
	if b.asked.Load() != 4 {
		t.Errorf("%d questions, want 4", b.asked.Load())
	}
}

func TestServiceToken(t *testing.T) {
	b := newBench(t, nil)
	b.token("ann", time.Minute, "member")
	b.token("old", -time.Minute, "member")
	b.token("nova", time.Hour, "service")
	b.token("some", time.Hour, "other")
	for _, tc := range []struct {
		name, user, service string
		required, ok        bool
	}{
		{"expired user token, now known to be bad", "old", "", false, false},
		{"both good", "ann", "nova", false, true},
		{"service without the role", "ann", "some", false, true},
		{"service without the role, required", "ann", "some", true, false},
		{"bad service token", "ann", "nobody", false, false},
		{"expired user token for a service", "old", "nova", false, true},
		{"expired user token for another", "old", "some", false, false},
		{"expired user token alone", "old", "", false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b.k.cfg.ServiceTokenRequired = tc.required
			c, err := b.ask("X-Auth-Token", tc.user, "X-Service-Token", tc.service)
			if (err == nil) != tc.ok {
				t.Fatalf("error %v, want ok %v", err, tc.ok)
			}
			if !tc.ok {
				wantKind(t, err, model.KindUnauthorized)
				return
			}
			if c.UserID != "u-"+tc.user || c.Service == nil || c.Service.UserID != "u-"+tc.service {
				t.Errorf("caller %+v, service %+v", c, c.Service)
			}
		})
	}
}

func TestAccessRules(t *testing.T) {
	b := newBench(t, nil)
	rule := func(method, path, service string) map[string]any {
		return map[string]any{"method": method, "path": path, "service": service}
	}
	b.token("none", time.Hour)["application_credential"] = map[string]any{"id": "a", "access_rules": []any{}}
	b.token("free", time.Hour)["application_credential"] = map[string]any{"id": "a"}
	b.token("bound", time.Hour)["application_credential"] = map[string]any{"id": "a", "access_rules": []any{
		rule("GET", "/v2.0/networks/*", "network"), rule("PUT", "/v2.0/ports/{port_id}/x", "network"), rule("GET", "/v2.0/a.b/**", "network"),
		rule("GET", "/v2.0/routers", "compute"),
	}}
	b.token("nova", time.Hour, "service")
	b.token("some", time.Hour, "other")
	for _, tc := range []struct {
		token, service, method, path string
		ok                           bool
	}{
		{"none", "", "GET", "/v2.0/networks", false},
		{"free", "", "GET", "/v2.0/networks", true},
		{"bound", "", "GET", "/v2.0/networks/1", true},
		{"bound", "", "GET", "/v2.0/networks", false},
		{"bound", "", "GET", "/v2.0/networks/", false},
		{"bound", "", "GET", "/v2.0/networks/1/2", false},
		{"bound", "", "GET", "/v2.0/networks/1%2F2", false},
		{"bound", "", "POST", "/v2.0/networks/1", false},
		{"bound", "", "PUT", "/v2.0/ports/7/x", true},
		{"bound", "", "PUT", "/v2.0/ports//x", false},
		{"bound", "", "GET", "/v2.0/a.b/c/d", true},
		{"bound", "", "GET", "/v2.0/aXb/c", false},
		{"bound", "", "GET", "/v2.0/routers", false},
		{"bound", "nova", "POST", "/v2.0/ports", true},
		{"bound", "some", "POST", "/v2.0/ports", false},
		{"bound", "bound", "POST", "/v2.0/ports", false},
	} {
		r := httptest.NewRequest(tc.method, tc.path, nil)
		r.Header.Set("X-Auth-Token", tc.token)
		if tc.service != "" {
			r.Header.Set("X-Service-Token", tc.service)
		}
		if _, err := b.k.Authenticate(r); (err == nil) != tc.ok {
			t.Errorf("%s for %s, %s %s: error %v, want ok %v", tc.service, tc.token, tc.method, tc.path, err, tc.ok)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(3)
	now := time.Unix(0, 0)
	key := func(i byte) tokenKey { return tokenKey{i} }
	for i := range byte(3) {
		c.put(key(i), &token{}, now.Add(time.Hour))
	}
	c.get(key(0), now)
	c.put(key(3), &token{}, now.Add(time.Hour))
	var have []byte
	for i := range byte(4) {
		if _, ok := c.get(key(i), now); ok {
			have = append(have, i)
		}
	}
	if d := cmp.Diff([]byte{0, 2, 3}, have); d != "" {
		t.Error(d)
	}
}

func TestNoAuth(t *testing.T) {
	for _, tc := range []struct {
		name    string
		header  map[string]string
		project string
		roles   []string
	}{
		{"nothing", nil, "fake_project_id", nil},
		{"project", map[string]string{"X-Project-Id": "p"}, "p", nil},
		{"tenant", map[string]string{"X-Tenant-Id": "t", "X-Roles": "a, b"}, "t", []string{"a", "b"}},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		for k, v := range tc.header {
			r.Header.Set(k, v)
		}
		c, err := NoAuth{}.Authenticate(r)
		if err != nil || !c.IsAdmin || c.ProjectID != tc.project || cmp.Diff(tc.roles, c.Roles) != "" {
			t.Errorf("%s: %+v, %v", tc.name, c, err)
		}
	}
}

func TestReject(t *testing.T) {
	b := newBench(t, nil)
	w := httptest.NewRecorder()
	Reject(w, b.k)
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"error": map[string]any{"code": 401.0, "title": "Unauthorized", "message": "The request you have made requires authentication."}}
	if d := cmp.Diff(want, got); d != "" || w.Code != 401 || w.Header().Get("Www-Authenticate") != `Keystone uri="http://k:5000"` {
		t.Errorf("%d %v %s", w.Code, w.Header(), d)
	}
}

func TestGlobalRequestID(t *testing.T) {
	for id, want := range map[string]string{
		"req-9205f401-967d-4811-a6b5-275d780af4c2": "req-9205f401-967d-4811-a6b5-275d780af4c2",
		"9205f401-967d-4811-a6b5-275d780af4c2":     "", "req-x\nlevel=ERROR": "", "": "",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["X-Openstack-Request-Id"] = []string{id}
		if got := GlobalRequestID(r); got != want {
			t.Errorf("%q: %q, want %q", id, got, want)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add([]byte(`{"token": {"user": {"id": "u"}, "expires_at": "2026-11-22T09:00:00.000000Z", "roles": [{"name": "member"}]}}`))
	f.Add([]byte(`{"token": {"user": {"id": "u"}, "expires_at": "2026-11-22T09:00:00Z", "application_credential": {"access_rules": [{"method": "GET", "path": "/{a}/**", "service": "network"}]}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		tok, err := parseToken(b)
		if (err == nil) != (tok != nil) {
			t.Errorf("token %v and error %v", tok, err)
		}
		if err == nil && tok.caller.UserID == "" {
			t.Error("nobody was let in")
		}
	})
}
