package identity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/config"
	"github.com/weft-cloud/weft/internal/model"
)

const realConf = `[DEFAULT]
use_stderr = true
[database]
connection = sqlite:///%[1]s/ks.db
[fernet_tokens]
key_repository = %[1]s/fernet
[credential]
key_repository = %[1]s/credential
[token]
expiration = %[2]d
`

// keystone is Debian's Keystone (package python3-keystone) with SQLite on a port of 127.0.0.1.
type keystone struct {
	url, port, conf, dir string
	stop                 func()
}

// realKeystone sets one up and starts it.
func realKeystone(t *testing.T) *keystone {
	t.Helper()
	if testing.Short() {
		t.Skip("takes most of a minute")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root: keystone-manage fernet_setup does")
	}
	for _, bin := range []string{"keystone-manage", "keystone-wsgi-public"} {
		if _, err := exec.LookPath(bin); err != nil {
			t.Skipf("%v; install python3-keystone", err)
		}
	}
	k := &keystone{dir: t.TempDir()}
	k.conf = filepath.Join(k.dir, "keystone.conf")
	k.configure(t, time.Second)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, k.port, _ = net.SplitHostPort(l.Addr().String())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	k.url = "http://127.0.0.1:" + k.port
	for _, args := range [][]string{
		{"db_sync"},
		{"fernet_setup", "--keystone-user", "root", "--keystone-group", "root"},
		{"bootstrap", "--bootstrap-password", "hush", "--bootstrap-public-url", k.url + "/v3", "--bootstrap-region-id", "RegionOne"},
	} {
		if out, err := exec.Command("keystone-manage", append([]string{"--config-file", k.conf}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("keystone-manage %s: %v\n%s", args[0], err, out)
		}
	}
	k.start(t)
	t.Cleanup(func() { k.stop() })
	return k
}

// configure says how long tokens last that are issued after the next start.
func (k *keystone) configure(t *testing.T, lasting time.Duration) {
	t.Helper()
	if err := os.WriteFile(k.conf, fmt.Appendf(nil, realConf, k.dir, int(lasting.Seconds())), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (k *keystone) start(t *testing.T) {
	t.Helper()
	cmd := exec.Command("keystone-wsgi-public", "--host", "127.0.0.1", "--port", k.port, "--", "--config-file", k.conf)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	k.stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		c, err := net.Dial("tcp", "127.0.0.1:"+k.port)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			k.stop()
			t.Fatalf("Keystone does not listen:\n%s", log.String())
		}
	}
}

// call is a request to Keystone; the answer's X-Subject-Token and body.
func call(t *testing.T, method, url, token string, body any, more ...string) (string, map[string]any) {
	t.Helper()
	var b []byte
	if body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	r, err := http.NewRequest(method, url, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	r.Close = true
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Auth-Token", token)
	for i := 0; i < len(more); i += 2 {
		r.Header.Set(more[i], more[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %d %s", method, url, resp.StatusCode, text)
	}
	var out map[string]any
	_ = json.Unmarshal(text, &out)
	return resp.Header.Get("X-Subject-Token"), out
}

func TestRealKeystone(t *testing.T) {
	real := realKeystone(t)
	url := real.url
	cfg := config.Keystone{
		Credentials: config.Credentials{
			AuthURL: url, Username: "admin", Password: config.NewSecret("hush"), ProjectName: "admin", UserDomainID: "default", ProjectDomainID: "default",
			Timeout: 30 * time.Second, Retries: 1,
		},
		CacheTime: time.Minute, ServiceTokenRoles: []string{"service"},
	}
	client, err := NewClient(cfg.Credentials)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	var ahead atomic.Int64 // of the clock, in seconds
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load()) * time.Second) }
	k := New(Deps{Config: cfg, Client: client, Now: now, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	ask := func(method, path, token string) (*Caller, error) {
		r := httptest.NewRequest(method, path, nil)
		r.Header.Set("X-Auth-Token", token)
		return k.Authenticate(r)
	}
	password := map[string]any{"methods": []string{"password"}, "password": map[string]any{"user": map[string]any{
		"name": "admin", "password": "hush", "domain": map[string]any{"id": "default"}}}}
	login := func(identity, scope map[string]any) string {
		auth := map[string]any{"identity": identity}
		if scope != nil {
			auth["scope"] = scope
		}
		token, _ := call(t, http.MethodPost, url+"/v3/auth/tokens", "", map[string]any{"auth": auth})
		return token
	}
	project := map[string]any{"project": map[string]any{"name": "admin", "domain": map[string]any{"id": "default"}}}
	expired := login(password, project) // a token lasts one second so far
	real.stop()
	real.configure(t, time.Hour)
	real.start(t)
	token := login(password, project)
	c, err := ask("GET", "/v2.0/networks", token)
	if err != nil {
		t.Fatal(err)
	}
	if c.UserName != "admin" || c.ProjectName != "admin" || c.ProjectID == "" || c.UserDomainID != "default" || c.Scope() != "project" ||
		!slices.Contains(c.Roles, "admin") || !slices.Contains(c.Roles, "reader") || !c.Expires.After(time.Now()) {
		t.Errorf("caller %+v", c)
	}
	if s, err := ask("GET", "/", login(password, map[string]any{"system": map[string]any{"all": true}})); err != nil || s.Scope() != "system" {
		t.Errorf("system scope: %+v, %v", s, err)
	}
	_, cred := call(t, http.MethodPost, url+"/v3/users/"+c.UserID+"/application_credentials", token, map[string]any{"application_credential": map[string]any{
		"name": "look", "access_rules": []any{map[string]any{"method": "GET", "path": "/v2.0/networks", "service": "network"}}}})
	ac := cred["application_credential"].(map[string]any)
	bound := login(map[string]any{"methods": []string{"application_credential"},
		"application_credential": map[string]any{"id": ac["id"], "secret": ac["secret"]}}, nil)
	if _, err := ask("GET", "/v2.0/networks", bound); err != nil {
		t.Errorf("application credential within its rules: %v", err)
	}
	_, err = ask("POST", "/v2.0/networks", bound)
	wantKind(t, err, model.KindUnauthorized)
	_, err = ask("GET", "/", "gAAAAAnonsense")
	wantKind(t, err, model.KindUnauthorized)

	// Whoever asks may present himself by an application credential.
	_, cred = call(t, http.MethodPost, url+"/v3/users/"+c.UserID+"/application_credentials", token, map[string]any{"application_credential": map[string]any{"name": "ask"}})
	ac = cred["application_credential"].(map[string]any)
	byCredential := cfg
	byCredential.Credentials = config.Credentials{AuthURL: url, AppCredentialID: ac["id"].(string), AppCredentialSecret: config.NewSecret(ac["secret"].(string)), Timeout: 30 * time.Second}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("X-Auth-Token", token)
	if who, err := New(Deps{Config: byCredential, Client: client, Now: now, Log: k.log}).Authenticate(r); err != nil || who.UserName != "admin" {
		t.Errorf("asked by an application credential: %+v, %v", who, err)
	}

	// A service that carries on what a user began may use his token past its end; nobody else may, nor another's service.
	_, err = ask("GET", "/", expired)
	wantKind(t, err, model.KindUnauthorized)
	forUser := func(service string) (*Caller, error) {
		r := httptest.NewRequest(http.MethodGet, "/v2.0/networks", nil)
		r.Header.Set("X-Auth-Token", expired)
		r.Header.Set("X-Service-Token", service)
		return k.Authenticate(r)
	}
	_, err = forUser(login(password, project)) // of an administrator who is no service
	wantKind(t, err, model.KindUnauthorized)
	_, role := call(t, http.MethodPost, url+"/v3/roles", token, map[string]any{"role": map[string]any{"name": "service"}})
	call(t, http.MethodPut, url+"/v3/projects/"+c.ProjectID+"/users/"+c.UserID+"/roles/"+role["role"].(map[string]any)["id"].(string), token, nil)
	if s, err := forUser(login(password, project)); err != nil || s.UserName != "admin" || s.Service == nil || !slices.Contains(s.Service.Roles, "service") {
		t.Errorf("an expired token beside a service's: %+v, %v", s, err)
	}
	_, err = ask("GET", "/", expired)
	wantKind(t, err, model.KindUnauthorized)
	_, err = forUser("gAAAAAnonsense")
	wantKind(t, err, model.KindUnauthorized)

	last, other := now().Add(-time.Second), login(password, project) // Keystone keeps whole seconds
	for _, text := range []string{token, other} {
		if _, err := ask("GET", "/", text); err != nil {
			t.Fatal(err)
		}
	}
	kept := k.good.len()
	call(t, http.MethodDelete, url+"/v3/auth/tokens", login(password, project), nil, "X-Subject-Token", other)
	if _, err := k.forgetRevoked(t.Context(), last.Add(overlap)); err != nil {
		t.Fatal(err)
	}
	if n := k.good.len(); n != kept-1 {
		t.Errorf("of %d tokens %d are kept after one was revoked", kept, n)
	}
	_, err = ask("GET", "/", other)
	wantKind(t, err, model.KindUnauthorized)

	call(t, http.MethodDelete, url+"/v3/auth/tokens", login(password, project), nil, "X-Subject-Token", token)
	if _, err := ask("GET", "/", token); err != nil {
		t.Errorf("revoked, but within token_cache_time: %v", err)
	}
	ahead.Add(61)
	_, err = ask("GET", "/", token)
	wantKind(t, err, model.KindUnauthorized)
	real.stop()
	ahead.Add(61)
	_, err = ask("GET", "/", bound)
	wantKind(t, err, model.KindUnavailable)
}
