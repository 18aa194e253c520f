package identity

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"
)

// cloud is a service with a clock that the test moves.
type cloud struct {
	t    *testing.T
	s    *Service
	path string
	now  time.Time
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{t: t, path: filepath.Join(t.TempDir(), "identity.json"), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	c.open()
	return c
}

func (c *cloud) open() {
	c.t.Helper()
	s, err := New(Deps{Path: c.path, AdminPassword: "secret", ServicePassword: "service", Endpoints: []Endpoint{{"network", "neutron", "http://n/$(project_id)s"}},
		Now: func() time.Time { return c.now }, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		c.t.Fatal(err)
	}
	c.s = s
}

// do sends a request; headers in pairs.
func (c *cloud) do(method, path string, body any, headers ...string) (int, doc, http.Header) {
	c.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	r := httptest.NewRequest(method, path, bytes.NewReader(b))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	c.s.ServeHTTP(w, r)
	var out doc
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			c.t.Fatalf("%s %s: %v: %s", method, path, err, w.Body)
		}
	}
	return w.Code, out, w.Header()
}

func login(user, password string, scope any) doc {
	d := doc{"identity": doc{"methods": []string{"password"}, "password": doc{"user": doc{"name": user, "domain": doc{"name": "Default"}, "password": password}}}}
	if scope != nil {
		d["scope"] = scope
	}
	return doc{"auth": d}
}

func project(name string) doc {
	return doc{"project": doc{"name": name, "domain": doc{"id": "default"}}}
}

func (c *cloud) token(user, password string, scope any) string {
	c.t.Helper()
	code, out, h := c.do("POST", "/v3/auth/tokens", login(user, password, scope))
	if code != http.StatusCreated {
		c.t.Fatalf("login of %s: %d %v", user, code, out)
	}
	return h.Get("X-Subject-Token")
}

func TestLogin(t *testing.T) {
	c := newCloud(t)
	for _, tc := range []struct {
		name string
		body any
		want int
	}{
		{"right", login("admin", "secret", project("admin")), 201},
		{"unscoped", login("admin", "secret", nil), 201},
		{"system", login("admin", "secret", doc{"system": doc{"all": true}}), 201},
		{"domain", login("admin", "secret", doc{"domain": doc{"id": "default"}}), 201},
		{"wrong password", login("admin", "Secret", project("admin")), 401},
		{"no such user", login("nobody", "secret", project("admin")), 401},
		{"no role there", login("admin", "secret", project("service")), 401},
		{"no such project", login("admin", "secret", project("nowhere")), 401},
		{"no method", doc{"auth": doc{"identity": doc{}}}, 400},
		{"unknown method", doc{"auth": doc{"identity": doc{"methods": []string{"totp"}}}}, 401},
		{"no JSON object", "x", 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if code, out, _ := c.do("POST", "/v3/auth/tokens", tc.body); code != tc.want {
				t.Errorf("%d, want %d: %v", code, tc.want, out)
			}
		})
	}
}

func TestTokenLife(t *testing.T) {
	c := newCloud(t)
	admin := c.token("admin", "secret", project("admin"))
	neutron := c.token("neutron", "service", project("service"))
	check := func(what, token string, want int) {
		t.Helper()
		if code, out, _ := c.do("GET", "/v3/auth/tokens", nil, "X-Auth-Token", neutron, "X-Subject-Token", token); code != want {
			t.Errorf("%s: %d, want %d: %v", what, code, want, out)
		}
	}
	check("good", admin, 200)
	check("forged", admin[:len(admin)-2]+"AA", 404)
	c.open()
	check("after a restart", admin, 200)
	_, out, _ := c.do("GET", "/v3/auth/tokens", nil, "X-Auth-Token", neutron, "X-Subject-Token", admin)
	tok := out["token"].(doc)
	roles := tok["roles"].([]any)
	if len(roles) != 4 || roles[0].(doc)["name"] != "admin" || roles[3].(doc)["name"] != "reader" {
		t.Errorf("roles %v", roles)
	}
	url := tok["catalog"].([]any)[0].(doc)["endpoints"].([]any)[0].(doc)["url"]
	if want := "http://n/" + tok["project"].(doc)["id"].(string); url != want {
		t.Errorf("endpoint %v, want %v", url, want)
	}
	if tok["expires_at"] != "2026-01-02T04:04:05.000000Z" {
		t.Errorf("expires %v", tok["expires_at"])
	}
	second := c.token("admin", "secret", project("admin"))
	if code, _, _ := c.do("DELETE", "/v3/auth/tokens", nil, "X-Auth-Token", admin, "X-Subject-Token", admin); code != 204 {
		t.Errorf("revoke: %d", code)
	}
	check("revoked", admin, 404)
	check("the other one", second, 200)
	for since, want := range map[string]int{"": 1, "?since=2026-01-02T03:04:05.000000Z": 1, "?since=2026-01-02T03:04:05.000001Z": 0} {
		code, out, _ := c.do("GET", "/v3/OS-REVOKE/events"+since, nil, "X-Auth-Token", neutron)
		if events, _ := out["events"].([]any); code != 200 || len(events) != want {
			t.Errorf("revocations%s: %d %v, want %d", since, code, out, want)
		} else if want == 1 && events[0].(doc)["audit_id"] != tok["audit_ids"].([]any)[0] {
			t.Errorf("revoked %v, want %v", events[0], tok["audit_ids"])
		}
	}
	if code, _, _ := c.do("GET", "/v3/OS-REVOKE/events?since=yesterday", nil, "X-Auth-Token", neutron); code != 400 {
		t.Errorf("since yesterday: %d", code)
	}
	c.now = c.now.Add(time.Hour)
	if code, _, _ := c.do("GET", "/v3/projects", nil, "X-Auth-Token", second); code != 401 {
		t.Errorf("expired: %d", code)
	}
}

// What Tempest's dynamic credentials do: a project, a user, a role; then the user logs in; then all is removed.
func TestDynamicCredentials(t *testing.T) {
	c := newCloud(t)
	admin := c.token("admin", "secret", project("admin"))
	create := func(plural, singular string, d doc) string {
		t.Helper()
		code, out, _ := c.do("POST", "/v3/"+plural, doc{singular: d}, "X-Auth-Token", admin)
		if code != 201 {
			t.Fatalf("create %s: %d %v", singular, code, out)
		}
		if out[singular].(doc)["password"] != nil {
			t.Error("a password is shown")
		}
		return out[singular].(doc)["id"].(string)
	}
	p := create("projects", "project", doc{"name": "p", "domain_id": "default"})
	u := create("users", "user", doc{"name": "u", "domain_id": "default", "password": "pw"})
	if code, _, _ := c.do("POST", "/v3/users", doc{"user": doc{"name": "u", "password": "x"}}, "X-Auth-Token", admin); code != 409 {
		t.Errorf("second user u: %d", code)
	}
	_, out, _ := c.do("GET", "/v3/roles?name=member", nil, "X-Auth-Token", admin)
	role := out["roles"].([]any)[0].(doc)["id"].(string)
	grant := "/v3/projects/" + p + "/users/" + u + "/roles/" + role
	for _, step := range []struct {
		method string
		want   int
	}{{"HEAD", 404}, {"PUT", 204}, {"PUT", 204}, {"HEAD", 204}} {
		if code, _, _ := c.do(step.method, grant, nil, "X-Auth-Token", admin); code != step.want {
			t.Errorf("%s grant: %d, want %d", step.method, code, step.want)
		}
	}
	mine := c.token("u", "pw", project("p"))
	for path, want := range map[string]int{"/v3/users": 200, "/v3/users/" + u: 200, "/v3/projects/" + p: 200, "/v3/users/" + u + "/projects": 200} {
		if code, _, _ := c.do("GET", path, nil, "X-Auth-Token", mine); code != want {
			t.Errorf("GET %s as the user: %d, want %d", path, code, want)
		}
	}
	if _, out, _ := c.do("GET", "/v3/users", nil, "X-Auth-Token", mine); len(out["users"].([]any)) != 1 {
		t.Errorf("the user sees %v", out)
	}
	if code, _, _ := c.do("POST", "/v3/projects", doc{"project": doc{"name": "q"}}, "X-Auth-Token", mine); code != 403 {
		t.Errorf("project made by a member: %d", code)
	}
	if code, _, _ := c.do("PATCH", "/v3/users/"+u, doc{"user": doc{"password": "new"}}, "X-Auth-Token", admin); code != 200 {
		t.Errorf("new password: %d", code)
	}
	c.now = c.now.Add(time.Second)
	if code, _, _ := c.do("GET", "/v3/users", nil, "X-Auth-Token", c.token("u", "new", project("p"))); code != 200 {
		t.Errorf("new token: %d", code)
	}
	for _, path := range []string{grant, "/v3/users/" + u, "/v3/projects/" + p} {
		if code, _, _ := c.do("DELETE", path, nil, "X-Auth-Token", admin); code != 204 {
			t.Errorf("DELETE %s: %d", path, code)
		}
	}
	if code, _, _ := c.do("GET", "/v3/users", nil, "X-Auth-Token", mine); code != 401 {
		t.Errorf("token of a removed user: %d", code)
	}
}
