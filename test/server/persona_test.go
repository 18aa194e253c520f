package server

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/weft-cloud/weft/test/rig"
)

// people are users of an identity service, each with a token of one project.
type people struct {
	t      *testing.T
	s      *rig.Server
	admin  string
	tokens map[string]string
}

// identity sends a request to the identity service and returns the object in its answer.
func (p *people) identity(method, path string, body any) object {
	p.t.Helper()
	out, err := p.s.Identity(p.t.Context(), p.admin, method, path, body)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// join makes a user with one role in a project, and logs him in.
func (p *people) join(name, role, project string, projects map[string]string) {
	p.t.Helper()
	if projects[project] == "" {
		made := p.identity("POST", "/projects", object{"project": object{"name": project, "domain_id": "default"}})
		projects[project] = made["project"].(object)["id"].(string)
	}
	user := p.identity("POST", "/users", object{"user": object{"name": name, "password": name + "-secret", "domain_id": "default"}})
	roles := p.identity("GET", "/roles?name="+role, nil)["roles"].([]any)
	id := roles[0].(object)["id"].(string)
	p.identity("PUT", "/projects/"+projects[project]+"/users/"+user["user"].(object)["id"].(string)+"/roles/"+id, nil)
	token, err := p.s.Token(p.t.Context(), name, name+"-secret", project)
	if err != nil {
		p.t.Fatal(err)
	}
	p.tokens[name] = token
}

// ask sends a request as somebody and expects a status.
func (p *people) ask(who string, want int, method, path string, body any) object {
	p.t.Helper()
	var b []byte
	if body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			p.t.Fatal(err)
		}
	}
	a, err := p.s.Send(p.t.Context(), method, "/v2.0"+path, bytes.NewReader(b), http.Header{"X-Auth-Token": {p.tokens[who]}})
	if err != nil {
		p.t.Fatal(err)
	}
	if a.Status != want {
		p.t.Errorf("%s: %s %s %s: %d, want %d: %s", who, method, path, b, a.Status, want, a.Body)
	}
	for _, v := range a.Object() {
		if o, ok := v.(object); ok {
			return o
		}
	}
	return nil
}

// TestPersonas: the secure-RBAC personas by real tokens and the new defaults, with a policy.yaml beside the configuration
// that is read again when it changes; and a token that was revoked.
func TestPersonas(t *testing.T) {
	dir := t.TempDir()
	policy := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(policy, []byte(`"create_router": "!"`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, rig.Options{Dir: dir, Identity: true, Config: rig.Config{
		"oslo_policy":        {"enforce_new_defaults": "True", "policy_file": "policy.yaml"},
		"keystone_authtoken": {"token_cache_time": "1"},
	}})
	admin, err := s.Token(t.Context(), "admin", rig.AdminPassword, "admin")
	if err != nil {
		t.Fatal(err)
	}
	p := &people{t: t, s: s, admin: admin, tokens: map[string]string{"admin": admin}}
	projects := map[string]string{}
	p.join("reader", "reader", "alpha", projects)
	p.join("member", "member", "alpha", projects)
	p.join("other", "member", "beta", projects)

	named := func(o object) object { return object{"network": o} }
	net := "/networks/" + p.ask("member", 201, "POST", "/networks", named(object{"name": "own"}))["id"].(string)
	p.ask("reader", 403, "POST", "/networks", named(object{"name": "refused"}))
	p.ask("reader", 200, "GET", net, nil)
	p.ask("reader", 403, "PUT", net, named(object{"name": "refused"}))
	p.ask("reader", 403, "DELETE", net, nil)
	p.ask("other", 404, "GET", net, nil)
	p.ask("other", 404, "PUT", net, named(object{"name": "unseen"}))
	p.ask("other", 404, "DELETE", net, nil)
	p.ask("member", 403, "POST", "/networks", named(object{"name": "refused", "shared": true}))
	p.ask("member", 403, "POST", "/networks", named(object{"name": "refused", "provider:network_type": "vxlan"}))
	p.ask("member", 400, "POST", "/networks", named(object{"name": "refused", "project_id": projects["beta"]})) // Neutron checks that before policy
	if o := p.ask("member", 200, "GET", net, nil); o["provider:network_type"] != nil {
		t.Errorf("a member sees provider attributes: %v", o)
	}
	if o := p.ask("admin", 200, "GET", net, nil); o["provider:network_type"] != "vxlan" {
		t.Errorf("an administrator does not see provider attributes: %v", o)
	}
	p.ask("member", 403, "GET", "/quotas/"+projects["beta"], nil)
	p.ask("admin", 201, "POST", "/networks", named(object{"name": "for all", "shared": true}))

	p.ask("member", 403, "POST", "/routers", object{"router": object{"name": "refused by the file"}})
	if err := os.WriteFile(policy, []byte(`"create_network:shared": "role:member"`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		a, err := s.Send(t.Context(), "POST", "/v2.0/networks", bytes.NewReader([]byte(`{"network": {"shared": true}}`)), http.Header{"X-Auth-Token": {p.tokens["member"]}})
		if err != nil {
			t.Fatal(err)
		}
		if a.Status == http.StatusCreated {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the changed policy.yaml is not followed: %d %s", a.Status, a.Body)
		}
	}
	p.ask("member", 201, "POST", "/routers", object{"router": object{"name": "allowed again"}})

	r, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, s.Keystone+"/v3/auth/tokens", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Auth-Token", admin)
	r.Header.Set("X-Subject-Token", p.tokens["member"])
	resp, err := http.DefaultClient.Do(r)
	if err != nil || resp.StatusCode != http.StatusNoContent {
		t.Fatalf("revoke: %v, %+v", err, resp)
	}
	resp.Body.Close()
	time.Sleep(1100 * time.Millisecond) // token_cache_time
	p.ask("member", 401, "GET", net, nil)
	p.ask("reader", 200, "GET", net, nil)
}
