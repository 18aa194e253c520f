package identity

import (
	"net/http"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/lab/rest"
)

// grantRoutes are the role assignments: PUT, HEAD (by GET), DELETE of one, GET of a user's on a target, and the list of
// all.
func (s *Service) grantRoutes() {
	for _, target := range []string{"projects/{target}", "domains/{target}", "system"} {
		base := "/v3/" + target + "/users/{user}/roles"
		kind, _, _ := strings.Cut(target, "/")
		s.Handle("GET "+base, s.locked(s.admin(func(r *http.Request) (*rest.Response, error) { return s.listGrants(r, kind) })))
		s.Handle("PUT "+base+"/{role}", s.locked(s.admin(func(r *http.Request) (*rest.Response, error) { return s.putGrant(r, kind) })))
		s.Handle("GET "+base+"/{role}", s.locked(s.admin(func(r *http.Request) (*rest.Response, error) { return s.checkGrant(r, kind) })))
		s.Handle("DELETE "+base+"/{role}", s.locked(s.admin(func(r *http.Request) (*rest.Response, error) { return s.deleteGrant(r, kind) })))
	}
	s.Handle("GET /v3/role_assignments", s.locked(s.roleAssignments))
}

func (s *Service) admin(h rest.Handler) rest.Handler {
	return func(r *http.Request) (*rest.Response, error) {
		if err := s.requireAdmin(r); err != nil {
			return nil, err
		}
		return h(r)
	}
}

// requested is the grant that the path names; the things named must exist.
func (s *Service) requested(r *http.Request, target string) (grant, error) {
	g := grant{User: r.PathValue("user"), Role: r.PathValue("role")}
	checks := [][2]string{{"users", g.User}}
	if g.Role != "" {
		checks = append(checks, [2]string{"roles", g.Role})
	}
	switch target {
	case "projects":
		g.Project = r.PathValue("target")
		checks = append(checks, [2]string{"projects", g.Project})
	case "domains":
		g.Domain = r.PathValue("target")
		checks = append(checks, [2]string{"domains", g.Domain})
	default:
		g.System = true
	}
	for _, c := range checks {
		if _, ok := s.st.Docs[c[0]][c[1]]; !ok {
			return g, rest.Errf(http.StatusNotFound, "Could not find %s: %s.", strings.TrimSuffix(c[0], "s"), c[1])
		}
	}
	return g, nil
}

func (s *Service) listGrants(r *http.Request, target string) (*rest.Response, error) {
	want, err := s.requested(r, target)
	if err != nil {
		return nil, err
	}
	roles := []doc{}
	for _, g := range s.st.Grants {
		want.Role = g.Role
		if g == want {
			roles = append(roles, s.st.Docs["roles"][g.Role])
		}
	}
	return rest.OK(doc{"roles": roles, "links": links(r)})
}

func (s *Service) putGrant(r *http.Request, target string) (*rest.Response, error) {
	g, err := s.requested(r, target)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(s.st.Grants, g) {
		s.st.Grants = append(s.st.Grants, g)
		if err := s.save(); err != nil {
			return nil, err
		}
	}
	return rest.NoContent()
}

func (s *Service) checkGrant(r *http.Request, target string) (*rest.Response, error) {
	g, err := s.requested(r, target)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(s.st.Grants, g) {
		return nil, rest.Errf(http.StatusNotFound, "Could not find role assignment with role: %s, user: %s.", g.Role, g.User)
	}
	return rest.NoContent()
}

func (s *Service) deleteGrant(r *http.Request, target string) (*rest.Response, error) {
	g, err := s.requested(r, target)
	if err != nil {
		return nil, err
	}
	i := slices.Index(s.st.Grants, g)
	if i < 0 {
		return nil, rest.Errf(http.StatusNotFound, "Could not find role assignment with role: %s, user: %s.", g.Role, g.User)
	}
	s.st.Grants = slices.Delete(s.st.Grants, i, i+1)
	if err := s.save(); err != nil {
		return nil, err
	}
	return rest.NoContent()
}

func (s *Service) roleAssignments(r *http.Request) (*rest.Response, error) {
	c, err := s.caller(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	_, names := q["include_names"]
	want := func(key, have string) bool { v := q.Get(key); return v == "" || v == have }
	out := []doc{}
	for _, g := range s.st.Grants {
		if !c.admin() && g.User != c.User || !want("user.id", g.User) || !want("role.id", g.Role) ||
			!want("scope.project.id", g.Project) || !want("scope.domain.id", g.Domain) || q.Has("scope.system") && !g.System || q.Has("group.id") {
			continue
		}
		a := doc{"user": s.ref("users", g.User, names), "role": s.ref("roles", g.Role, names)}
		switch {
		case g.Project != "":
			a["scope"] = doc{"project": s.ref("projects", g.Project, names)}
		case g.Domain != "":
			a["scope"] = doc{"domain": s.ref("domains", g.Domain, names)}
		default:
			a["scope"] = doc{"system": doc{"all": true}}
		}
		a["links"] = doc{"assignment": rest.Base(r) + "/v3/projects/" + g.Project + "/users/" + g.User + "/roles/" + g.Role}
		out = append(out, a)
	}
	return rest.OK(doc{"role_assignments": out, "links": links(r)})
}

func (s *Service) ref(kind, id string, names bool) doc {
	d := doc{"id": id}
	if !names {
		return d
	}
	full := s.st.Docs[kind][id]
	d["name"] = full["name"]
	if dom := str(full, "domain_id"); dom != "" {
		d["domain"] = s.domainRef(dom)
	}
	return d
}

// projectsOf lists the projects in which the user has a role.
func (s *Service) projectsOf(r *http.Request, user string) (*rest.Response, error) {
	out := []doc{}
	seen := map[string]bool{}
	for _, g := range s.st.Grants {
		if p, ok := s.st.Docs["projects"][g.Project]; ok && g.User == user && !seen[g.Project] {
			seen[g.Project] = true
			out = append(out, view(r, kind{plural: "projects"}, p))
		}
	}
	return rest.OK(doc{"projects": out, "links": links(r)})
}
