package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/weft-cloud/weft/internal/lab/rest"
)

// tokenLife is Keystone's default.
const tokenLife = time.Hour

// claims is the contents of a token: signed, so that it outlives a restart, and resolved anew at each use, so that a
// grant taken away is gone at once.
type claims struct {
	User    string    `json:"u"`
	Project string    `json:"p,omitempty"`
	Domain  string    `json:"d,omitempty"`
	System  bool      `json:"s,omitempty"`
	Methods []string  `json:"m"`
	Audit   string    `json:"a"`
	Issued  time.Time `json:"i"`
	Expires time.Time `json:"e"`
}

func (s *Service) sign(c claims) string {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // a struct of strings and times
	}
	return "weft." + base64.RawURLEncoding.EncodeToString(append(s.mac(b), b...))
}

func (s *Service) mac(b []byte) []byte {
	h := hmac.New(sha256.New, []byte(s.st.Key))
	h.Write(b)
	return h.Sum(nil)[:16]
}

// verify reads a token; ok is false for one that is forged, expired or revoked.
func (s *Service) verify(token string) (c claims, ok bool) {
	enc, ok := strings.CutPrefix(token, "weft.")
	if !ok {
		return c, false
	}
	b, err := base64.RawURLEncoding.DecodeString(enc)
	if err != nil || len(b) < 16 || !hmac.Equal(b[:16], s.mac(b[16:])) || json.Unmarshal(b[16:], &c) != nil {
		return c, false
	}
	if _, void := s.st.Revoked[c.Audit]; void || !s.deps.Now().Before(c.Expires) || c.Issued.Before(s.st.RevokedBefore[c.User]) {
		return c, false
	}
	u, ok := s.st.Docs["users"][c.User]
	return c, ok && enabled(u)
}

// caller is who sends a request.
type caller struct {
	claims
	roles []string // names
}

func (c caller) admin() bool { return slices.Contains(c.roles, "admin") }

// Identity is who a token speaks for.
type Identity struct {
	User, Project string
	Roles         []string
}

// Who looks a token up for a service of this process; ok is false for one that is not good.
func (s *Service) Who(token string) (Identity, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.verify(token)
	if !ok {
		return Identity{}, false
	}
	id := Identity{User: c.User, Project: c.Project}
	for _, role := range s.rolesOf(c) {
		id.Roles = append(id.Roles, str(role, "name"))
	}
	return id, true
}

// caller authenticates the request by its X-Auth-Token.
func (s *Service) caller(r *http.Request) (caller, error) {
	c, ok := s.verify(r.Header.Get("X-Auth-Token"))
	if !ok {
		return caller{}, rest.Errf(http.StatusUnauthorized, "The request you have made requires authentication.")
	}
	var names []string
	for _, role := range s.rolesOf(c) {
		names = append(names, str(role, "name"))
	}
	return caller{c, names}, nil
}

func (s *Service) requireAdmin(r *http.Request) error {
	c, err := s.caller(r)
	if err != nil {
		return err
	}
	if !c.admin() {
		return rest.Errf(http.StatusForbidden, "You are not authorized to perform the requested action: it needs the role admin.")
	}
	return nil
}

// implied are the roles that a role brings with it (Keystone's bootstrap).
func implied(role string) []string {
	switch role {
	case "admin":
		return []string{"manager", "member", "reader"}
	case "manager":
		return []string{"member", "reader"}
	case "member":
		return []string{"reader"}
	}
	return nil
}

// rolesOf are the roles in the claims' scope, implied ones included.
func (s *Service) rolesOf(c claims) []doc {
	var out []doc
	have := map[string]bool{}
	add := func(id string) {
		if d, ok := s.st.Docs["roles"][id]; ok && !have[id] {
			have[id] = true
			out = append(out, doc{"id": id, "name": d["name"]})
		}
	}
	for _, g := range s.st.Grants {
		if g.User != c.User || g.Project != c.Project || g.Domain != c.Domain || g.System != c.System {
			continue
		}
		add(g.Role)
		for _, name := range implied(str(s.st.Docs["roles"][g.Role], "name")) {
			add(s.named("roles", name))
		}
	}
	return out
}

// timeFormat is Keystone's: UTC with six digits of the second.
const timeFormat = "2006-01-02T15:04:05.000000Z"

// describe is the token as clients see it.
func (s *Service) describe(c claims, catalog bool) doc {
	u := s.st.Docs["users"][c.User]
	t := doc{
		"methods": c.Methods, "audit_ids": []string{c.Audit},
		"issued_at": c.Issued.UTC().Format(timeFormat), "expires_at": c.Expires.UTC().Format(timeFormat),
		"user": doc{"id": c.User, "name": u["name"], "domain": s.domainRef(str(u, "domain_id")), "password_expires_at": nil},
	}
	switch {
	case c.Project != "":
		p := s.st.Docs["projects"][c.Project]
		t["project"] = doc{"id": c.Project, "name": p["name"], "domain": s.domainRef(str(p, "domain_id"))}
		t["is_domain"] = false
	case c.Domain != "":
		t["domain"] = s.domainRef(c.Domain)
	case c.System:
		t["system"] = doc{"all": true}
	default:
		return t
	}
	t["roles"] = s.rolesOf(c)
	if catalog {
		t["catalog"] = s.catalog(c.Project)
	}
	return t
}

func (s *Service) domainRef(id string) doc {
	return doc{"id": id, "name": s.st.Docs["domains"][id]["name"]}
}

// catalog is the service catalogue; $(project_id)s in a URL is the project's id.
func (s *Service) catalog(project string) []doc {
	out := []doc{}
	for _, svc := range s.st.Order["services"] {
		eps := []doc{}
		for _, id := range s.st.Order["endpoints"] {
			e := s.st.Docs["endpoints"][id]
			if str(e, "service_id") != svc || !enabled(e) {
				continue
			}
			url := strings.NewReplacer("$(project_id)s", project, "%(project_id)s", project, "$(tenant_id)s", project, "%(tenant_id)s", project).Replace(str(e, "url"))
			eps = append(eps, doc{"id": id, "interface": e["interface"], "region": e["region_id"], "region_id": e["region_id"], "url": url})
		}
		d := s.st.Docs["services"][svc]
		if enabled(d) {
			out = append(out, doc{"id": svc, "type": d["type"], "name": d["name"], "endpoints": eps})
		}
	}
	return out
}

// named picks a resource by id or by name and domain, as in authentication requests.
type named struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Domain *struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"domain"`
	Password string `json:"password"`
}

func (s *Service) resolve(kind string, n *named) (doc, bool) {
	if n.ID != "" {
		d, ok := s.st.Docs[kind][n.ID]
		return d, ok
	}
	domain := defaultDomain
	if n.Domain != nil {
		if domain = n.Domain.ID; domain == "" {
			domain = s.named("domains", n.Domain.Name)
		}
	}
	for _, id := range s.st.Order[kind] {
		d := s.st.Docs[kind][id]
		if str(d, "name") == n.Name && (kind == "domains" || str(d, "domain_id") == domain) {
			return d, true
		}
	}
	return nil, false
}

type authRequest struct {
	Auth struct {
		Identity struct {
			Methods  []string `json:"methods"`
			Password struct {
				User named `json:"user"`
			} `json:"password"`
			Token struct {
				ID string `json:"id"`
			} `json:"token"`
		} `json:"identity"`
		Scope json.RawMessage `json:"scope"`
	} `json:"auth"`
}

func (s *Service) postToken(r *http.Request) (*rest.Response, error) {
	var req authRequest
	if err := rest.ReadJSON(r, &req); err != nil {
		return nil, err
	}
	now := s.deps.Now()
	c, err := s.authenticate(&req, now)
	if err != nil {
		return nil, err
	}
	if err := s.scope(&c, req.Auth.Scope); err != nil {
		return nil, err
	}
	_, nocatalog := r.URL.Query()["nocatalog"]
	return &rest.Response{Status: http.StatusCreated, Body: doc{"token": s.describe(c, !nocatalog)},
		Header: map[string]string{"X-Subject-Token": s.sign(c), "Vary": "X-Auth-Token"}}, nil
}

// authenticate checks the credentials by the methods named.
func (s *Service) authenticate(req *authRequest, now time.Time) (claims, error) {
	unauthorized := rest.Errf(http.StatusUnauthorized, "The request you have made requires authentication.")
	c := claims{Methods: req.Auth.Identity.Methods, Audit: randomHex(11), Issued: now, Expires: now.Add(tokenLife)}
	if len(c.Methods) == 0 {
		return c, rest.Errf(http.StatusBadRequest, "auth.identity.methods must name password or token.")
	}
	for _, m := range c.Methods {
		switch m {
		case "password":
			u, ok := s.resolve("users", &req.Auth.Identity.Password.User)
			if !ok || !enabled(u) || !passwordIs(s.st.Passwords[str(u, "id")], req.Auth.Identity.Password.User.Password) {
				return c, unauthorized
			}
			c.User = str(u, "id")
		case "token":
			old, ok := s.verify(req.Auth.Identity.Token.ID)
			if !ok {
				return c, unauthorized
			}
			// A token made of a token does not live longer than that (Keystone: rescoping).
			c.User, c.Expires = old.User, old.Expires
			c.Methods = slices.Compact(slices.Sorted(slices.Values(append(c.Methods, old.Methods...))))
		default:
			return c, rest.Errf(http.StatusUnauthorized, "The authentication method %s is not supported: use password or token.", m)
		}
	}
	return c, nil
}

func (s *Service) scope(c *claims, raw json.RawMessage) error {
	var sc struct {
		Project *named `json:"project"`
		Domain  *named `json:"domain"`
		System  *struct {
			All bool `json:"all"`
		} `json:"system"`
	}
	if len(raw) == 0 || string(raw) == `"unscoped"` || string(raw) == "null" {
		return nil
	}
	if err := json.Unmarshal(raw, &sc); err != nil {
		return rest.Errf(http.StatusBadRequest, "auth.scope: %v.", err)
	}
	denied := rest.Errf(http.StatusUnauthorized, "The user has no role in the scope asked for, or there is no such scope.")
	switch {
	case sc.Project != nil:
		p, ok := s.resolve("projects", sc.Project)
		if !ok || !enabled(p) {
			return denied
		}
		c.Project = str(p, "id")
	case sc.Domain != nil:
		d, ok := s.resolve("domains", sc.Domain)
		if !ok || !enabled(d) {
			return denied
		}
		c.Domain = str(d, "id")
	case sc.System != nil && sc.System.All:
		c.System = true
	default:
		return nil
	}
	if len(s.rolesOf(*c)) == 0 {
		return denied
	}
	return nil
}

// subject is the token a request is about, which its sender may look into: the sender's own, or any for an admin or a
// service.
func (s *Service) subject(r *http.Request) (claims, error) {
	who, err := s.caller(r)
	if err != nil {
		return claims{}, err
	}
	c, ok := s.verify(r.Header.Get("X-Subject-Token"))
	if !ok {
		return c, rest.Errf(http.StatusNotFound, "This is not a recognized token.")
	}
	if who.User != c.User && !who.admin() && !slices.Contains(who.roles, "service") {
		return c, rest.Errf(http.StatusForbidden, "You are not authorized to look at another user's token.")
	}
	return c, nil
}

func (s *Service) getToken(r *http.Request) (*rest.Response, error) {
	c, err := s.subject(r)
	if err != nil {
		return nil, err
	}
	_, nocatalog := r.URL.Query()["nocatalog"]
	return &rest.Response{Status: http.StatusOK, Body: doc{"token": s.describe(c, !nocatalog)},
		Header: map[string]string{"X-Subject-Token": r.Header.Get("X-Subject-Token"), "Vary": "X-Auth-Token"}}, nil
}

func (s *Service) deleteToken(r *http.Request) (*rest.Response, error) {
	c, err := s.subject(r)
	if err != nil {
		return nil, err
	}
	s.st.Revoked[c.Audit] = revoked{s.deps.Now(), c.Expires}
	if err := s.save(); err != nil {
		return nil, err
	}
	return rest.NoContent()
}

// revocations tells administrators and services what was revoked since a moment (OS-REVOKE): tokens by their audit ids, and all of a user's.
func (s *Service) revocations(r *http.Request) (*rest.Response, error) {
	who, err := s.caller(r)
	if err != nil {
		return nil, err
	}
	if !who.admin() && !slices.Contains(who.roles, "service") {
		return nil, rest.Errf(http.StatusForbidden, "You are not authorized to perform the requested action: identity:list_revoke_events.")
	}
	var since time.Time
	if text := r.URL.Query().Get("since"); text != "" {
		if since, err = time.Parse(time.RFC3339, text); err != nil {
			return nil, rest.Errf(http.StatusBadRequest, "since: %q is no time such as 2026-01-02T03:04:05.000000Z.", text)
		}
	}
	events := []doc{}
	event := func(key, id string, at time.Time) {
		if text := at.UTC().Format(timeFormat); !at.Before(since) {
			events = append(events, doc{key: id, "issued_before": text, "revoked_at": text})
		}
	}
	for audit, r := range s.st.Revoked {
		event("audit_id", audit, r.At)
	}
	for user, at := range s.st.RevokedBefore {
		event("user_id", user, at)
	}
	return &rest.Response{Status: http.StatusOK, Body: doc{"events": events, "links": doc{"next": nil, "previous": nil, "self": r.URL.Path}}}, nil
}
