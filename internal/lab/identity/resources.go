package identity

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/weft-cloud/weft/internal/lab/rest"
)

// kind describes a collection that clients may create, list, show, change and delete.
type kind struct {
	plural, singular string
	// required attributes at creation; unique: together they name one resource.
	required, unique []string
	defaults         func() doc
}

func kinds() []kind {
	return []kind{
		{plural: "domains", singular: "domain", required: []string{"name"}, unique: []string{"name"},
			defaults: func() doc { return doc{"enabled": true, "description": "", "options": doc{}, "tags": []string{}} }},
		{plural: "projects", singular: "project", required: []string{"name"}, unique: []string{"name", "domain_id"},
			defaults: func() doc { p := newProject("", ""); delete(p, "id"); delete(p, "name"); return p }},
		{plural: "users", singular: "user", required: []string{"name"}, unique: []string{"name", "domain_id"},
			defaults: func() doc {
				return doc{"domain_id": defaultDomain, "enabled": true, "options": doc{}, "password_expires_at": nil}
			}},
		{plural: "roles", singular: "role", required: []string{"name"}, unique: []string{"name"},
			defaults: func() doc { return doc{"domain_id": nil, "description": nil, "options": doc{}} }},
		{plural: "groups", singular: "group", required: []string{"name"}, unique: []string{"name", "domain_id"},
			defaults: func() doc { return doc{"domain_id": defaultDomain, "description": ""} }},
		{plural: "regions", singular: "region", defaults: func() doc { return doc{"description": "", "parent_region_id": nil} }},
		{plural: "services", singular: "service", required: []string{"type"}, defaults: func() doc { return doc{"enabled": true} }},
		{plural: "endpoints", singular: "endpoint", required: []string{"service_id", "interface", "url"},
			defaults: func() doc { return doc{"enabled": true, "region_id": Region, "region": Region} }},
	}
}

// locked makes h run alone: the service is small, and its callers few.
func (s *Service) locked(h rest.Handler) rest.Handler {
	return func(r *http.Request) (*rest.Response, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return h(r)
	}
}

func (s *Service) routes() {
	s.Handle("GET /{$}", func(r *http.Request) (*rest.Response, error) {
		return &rest.Response{Status: http.StatusMultipleChoices, Body: doc{"versions": doc{"values": []doc{version(r)}}}}, nil
	})
	s.Handle("GET /v3", func(r *http.Request) (*rest.Response, error) { return rest.OK(doc{"version": version(r)}) })
	s.Handle("POST /v3/auth/tokens", s.locked(s.postToken))
	s.Handle("GET /v3/auth/tokens", s.locked(s.getToken)) // and HEAD
	s.Handle("DELETE /v3/auth/tokens", s.locked(s.deleteToken))
	s.Handle("GET /v3/OS-REVOKE/events", s.locked(s.revocations))
	s.Handle("GET /v3/auth/catalog", s.locked(func(r *http.Request) (*rest.Response, error) {
		c, err := s.caller(r)
		if err != nil {
			return nil, err
		}
		return rest.OK(doc{"catalog": s.catalog(c.Project), "links": links(r)})
	}))
	s.Handle("GET /v3/auth/projects", s.locked(func(r *http.Request) (*rest.Response, error) {
		c, err := s.caller(r)
		if err != nil {
			return nil, err
		}
		return s.projectsOf(r, c.User)
	}))
	s.Handle("GET /v3/auth/domains", s.locked(func(r *http.Request) (*rest.Response, error) {
		if _, err := s.caller(r); err != nil {
			return nil, err
		}
		return rest.OK(doc{"domains": []doc{}, "links": links(r)})
	}))
	s.Handle("GET /v3/users/{id}/projects", s.locked(func(r *http.Request) (*rest.Response, error) {
		c, err := s.caller(r)
		if err != nil {
			return nil, err
		}
		if c.User != r.PathValue("id") && !c.admin() {
			return nil, rest.Errf(http.StatusForbidden, "You are not authorized to see another user's projects.")
		}
		return s.projectsOf(r, r.PathValue("id"))
	}))
	s.Handle("POST /v3/users/{id}/password", s.locked(s.changePassword))
	for _, k := range kinds() {
		s.Handle("GET /v3/"+k.plural, s.locked(func(r *http.Request) (*rest.Response, error) { return s.list(r, k) }))
		s.Handle("POST /v3/"+k.plural, s.locked(func(r *http.Request) (*rest.Response, error) { return s.create(r, k) }))
		s.Handle("GET /v3/"+k.plural+"/{id}", s.locked(func(r *http.Request) (*rest.Response, error) { return s.show(r, k) }))
		s.Handle("PATCH /v3/"+k.plural+"/{id}", s.locked(func(r *http.Request) (*rest.Response, error) { return s.update(r, k) }))
		s.Handle("DELETE /v3/"+k.plural+"/{id}", s.locked(func(r *http.Request) (*rest.Response, error) { return s.destroy(r, k) }))
	}
	s.grantRoutes()
}

func version(r *http.Request) doc {
	return doc{"id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z",
		"links":       []doc{{"rel": "self", "href": rest.Base(r) + "/v3/"}},
		"media-types": []doc{{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}}}
}

func links(r *http.Request) doc {
	return doc{"self": rest.Base(r) + r.URL.RequestURI(), "next": nil, "previous": nil}
}

// view adds the link of a resource.
func view(r *http.Request, k kind, d doc) doc {
	out := maps.Clone(d)
	out["links"] = doc{"self": rest.Base(r) + "/v3/" + k.plural + "/" + str(d, "id")}
	return out
}

// list shows what the caller may see: an admin all, another the domains, roles, regions and services, and of projects
// and users the own ones.
func (s *Service) list(r *http.Request, k kind) (*rest.Response, error) {
	c, err := s.caller(r)
	if err != nil {
		return nil, err
	}
	out := []doc{}
	for _, id := range s.st.Order[k.plural] {
		d := s.st.Docs[k.plural][id]
		if (c.admin() || s.maySee(c, k, id)) && matches(d, r.URL.Query()) {
			out = append(out, view(r, k, d))
		}
	}
	return rest.OK(doc{k.plural: out, "links": links(r)})
}

func (s *Service) maySee(c caller, k kind, id string) bool {
	switch k.plural {
	case "projects":
		return slices.ContainsFunc(s.st.Grants, func(g grant) bool { return g.User == c.User && g.Project == id })
	case "users":
		return id == c.User
	case "groups":
		return false
	}
	return true
}

// matches applies the filters that Keystone has: equality on attributes of text or truth; others are ignored there too.
func matches(d doc, q map[string][]string) bool {
	for key, vals := range q {
		have, ok := d[key]
		if !ok || len(vals) == 0 {
			continue
		}
		switch have := have.(type) {
		case string:
			if have != vals[0] {
				return false
			}
		case bool:
			want := vals[0] != "0" && vals[0] != "false" && vals[0] != "False"
			if have != want {
				return false
			}
		}
	}
	return true
}

func (s *Service) find(k kind, id string) (doc, error) {
	d, ok := s.st.Docs[k.plural][id]
	if !ok {
		return nil, rest.Errf(http.StatusNotFound, "Could not find %s: %s.", k.singular, id)
	}
	return d, nil
}

func (s *Service) show(r *http.Request, k kind) (*rest.Response, error) {
	c, err := s.caller(r)
	if err != nil {
		return nil, err
	}
	d, err := s.find(k, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if !c.admin() && !s.maySee(c, k, str(d, "id")) {
		return nil, rest.Errf(http.StatusForbidden, "You are not authorized to see this %s.", k.singular)
	}
	return rest.OK(doc{k.singular: view(r, k, d)})
}

func (s *Service) body(r *http.Request, k kind) (doc, error) {
	var req map[string]doc
	if err := rest.ReadJSON(r, &req); err != nil {
		return nil, err
	}
	d, ok := req[k.singular]
	if !ok {
		return nil, rest.Errf(http.StatusBadRequest, "The body must be an object with the key %q.", k.singular)
	}
	return d, nil
}

func (s *Service) create(r *http.Request, k kind) (*rest.Response, error) {
	if err := s.requireAdmin(r); err != nil {
		return nil, err
	}
	in, err := s.body(r, k)
	if err != nil {
		return nil, err
	}
	d := k.defaults()
	maps.Copy(d, in)
	for _, key := range k.required {
		if str(d, key) == "" {
			return nil, rest.Errf(http.StatusBadRequest, "%s: %q is a required property.", k.singular, key)
		}
	}
	if err := s.checkUnique(k, d, ""); err != nil {
		return nil, err
	}
	if k.plural != "regions" || str(d, "id") == "" {
		d["id"] = randomHex(16)
	}
	if err := s.takePassword(k, d); err != nil {
		return nil, err
	}
	if region, ok := in["region"].(string); ok && k.plural == "endpoints" && in["region_id"] == nil {
		d["region_id"] = region
	}
	s.put(k.plural, d)
	if err := s.save(); err != nil {
		return nil, err
	}
	return rest.Created(doc{k.singular: view(r, k, d)})
}

func (s *Service) checkUnique(k kind, d doc, self string) error {
	if len(k.unique) == 0 {
		return nil
	}
	for id, other := range s.st.Docs[k.plural] {
		same := id != self
		for _, key := range k.unique {
			same = same && other[key] == d[key]
		}
		if same {
			return rest.Errf(http.StatusConflict, "Conflict occurred attempting to store %s - Duplicate entry found with name %v.", k.singular, d["name"])
		}
	}
	return nil
}

// takePassword moves a user's password out of what is shown.
func (s *Service) takePassword(k kind, d doc) error {
	pw, ok := d["password"]
	delete(d, "password")
	if k.plural != "users" || !ok || pw == nil {
		return nil
	}
	text, ok := pw.(string)
	if !ok {
		return rest.Errf(http.StatusBadRequest, "user: password must be a string.")
	}
	s.st.Passwords[str(d, "id")] = hashPassword(text)
	return nil
}

func (s *Service) update(r *http.Request, k kind) (*rest.Response, error) {
	if err := s.requireAdmin(r); err != nil {
		return nil, err
	}
	in, err := s.body(r, k)
	if err != nil {
		return nil, err
	}
	old, err := s.find(k, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	d := maps.Clone(old)
	maps.Copy(d, in)
	d["id"] = old["id"]
	if err := s.checkUnique(k, d, str(d, "id")); err != nil {
		return nil, err
	}
	_, newPassword := d["password"]
	if err := s.takePassword(k, d); err != nil {
		return nil, err
	}
	if k.plural == "users" && (newPassword || !enabled(d)) {
		s.st.RevokedBefore[str(d, "id")] = s.deps.Now()
	}
	s.put(k.plural, d)
	if err := s.save(); err != nil {
		return nil, err
	}
	return rest.OK(doc{k.singular: view(r, k, d)})
}

func (s *Service) destroy(r *http.Request, k kind) (*rest.Response, error) {
	if err := s.requireAdmin(r); err != nil {
		return nil, err
	}
	d, err := s.find(k, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	id := str(d, "id")
	if k.plural == "domains" && enabled(d) {
		return nil, rest.Errf(http.StatusForbidden, "Cannot delete a domain that is enabled, please disable it first.")
	}
	s.remove(k.plural, id)
	if k.plural == "users" {
		s.st.RevokedBefore[id] = s.deps.Now()
	}
	delete(s.st.Passwords, id)
	s.st.Grants = slices.DeleteFunc(s.st.Grants, func(g grant) bool {
		return g.User == id || g.Project == id || g.Role == id || g.Domain == id
	})
	if err := s.save(); err != nil {
		return nil, err
	}
	return rest.NoContent()
}

func (s *Service) changePassword(r *http.Request) (*rest.Response, error) {
	var req struct {
		User struct {
			Password string `json:"password"`
			Original string `json:"original_password"`
		} `json:"user"`
	}
	if err := rest.ReadJSON(r, &req); err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	if !passwordIs(s.st.Passwords[id], req.User.Original) {
		return nil, rest.Errf(http.StatusUnauthorized, "The original password is not right.")
	}
	if req.User.Password == "" {
		return nil, rest.Errf(http.StatusBadRequest, "user: password must not be empty.")
	}
	s.st.Passwords[id] = hashPassword(req.User.Password)
	s.st.RevokedBefore[id] = s.deps.Now()
	if err := s.save(); err != nil {
		return nil, fmt.Errorf("change password: %w", err)
	}
	return rest.NoContent()
}
