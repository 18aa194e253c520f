package differential

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/weft-cloud/weft/test/rig"
)

// people makes users of the identity service that Weft asks. Neutron is told who they are by headers, in the way its
// middleware would tell it.
type people struct {
	t     *testing.T
	s     *rig.Server
	admin string
	roles map[string]string
}

func newPeople(t *testing.T, s *rig.Server) *people {
	t.Helper()
	admin, err := s.Token(t.Context(), "admin", rig.AdminPassword, "admin")
	if err != nil {
		t.Fatal(err)
	}
	p := &people{t, s, admin, map[string]string{}}
	for _, role := range p.call("GET", "/roles", nil)["roles"].([]any) {
		role := role.(object)
		p.roles[role["name"].(string)] = role["id"].(string)
	}
	return p
}

func (p *people) call(method, path string, body any) object {
	p.t.Helper()
	out, err := p.s.Identity(p.t.Context(), p.admin, method, path, body)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// episode makes two projects and their people, and returns each one's headers.
func (p *people) episode(g *generator) map[string]http.Header {
	p.t.Helper()
	out := map[string]http.Header{}
	for i := range g.projects {
		made := p.call("POST", "/projects", object{"project": object{"name": fmt.Sprintf("project-%d-%d", g.episode, i), "domain_id": "default"}})
		g.projects[i] = made["project"].(object)["id"].(string)
	}
	for who, is := range map[string]struct {
		role    string
		project int
	}{"admin": {"admin", 0}, "member": {"member", 0}, "reader": {"reader", 0}, "other": {"member", 1}} {
		name, project := fmt.Sprintf("%s-%d", who, g.episode), g.projects[is.project]
		user := p.call("POST", "/users", object{"user": object{"name": name, "password": name, "domain_id": "default"}})["user"].(object)["id"].(string)
		p.call("PUT", "/projects/"+project+"/users/"+user+"/roles/"+p.roles[is.role], nil)
		token, err := p.s.Token(p.t.Context(), name, name, fmt.Sprintf("project-%d-%d", g.episode, is.project))
		if err != nil {
			p.t.Fatal(err)
		}
		roles := map[string]string{"admin": "admin,member,reader", "member": "member,reader", "reader": "reader"}[is.role]
		out[who] = http.Header{"X-Auth-Token": {token}, "X-User-Id": {user}, "X-Project-Id": {project}, "X-Roles": {roles}}
	}
	return out
}
