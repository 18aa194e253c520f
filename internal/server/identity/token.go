package identity

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// token is what Keystone says of a token.
type token struct {
	caller Caller
	// rules bound what an application credential is for; nil: no bounds.
	rules []accessRule
	bound bool
	// ids are those by which Keystone may revoke it: its own (audit), the user's, project's, domains', roles' and trust's.
	ids []string
}

// accessRule is one request that an application credential allows.
type accessRule struct {
	method string
	path   *regexp.Regexp
}

type named struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Domain struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"domain"`
}

// body is the answer to GET /v3/auth/tokens (Identity API v3), as far as it is needed.
type body struct {
	Token struct {
		User           *named          `json:"user"`
		Project        *named          `json:"project"`
		Domain         *named          `json:"domain"`
		System         map[string]bool `json:"system"`
		Roles          []named         `json:"roles"`
		IsAdminProject *bool           `json:"is_admin_project"`
		ExpiresAt      time.Time       `json:"expires_at"`
		AuditIDs       []string        `json:"audit_ids"`
		Trust          *struct {
			ID      string `json:"id"`
			Trustor named  `json:"trustor_user"`
			Trustee named  `json:"trustee_user"`
		} `json:"OS-TRUST:trust"`
		AppCredential *struct {
			AccessRules *[]struct {
				Method  string `json:"method"`
				Path    string `json:"path"`
				Service string `json:"service"`
			} `json:"access_rules"`
		} `json:"application_credential"`
	} `json:"token"`
}

// parseToken reads Keystone's answer.
func parseToken(text []byte) (*token, error) {
	var b body
	if err := json.Unmarshal(text, &b); err != nil {
		return nil, fmt.Errorf("read Keystone's answer: %w", err)
	}
	t := b.Token
	if t.User == nil || t.User.ID == "" || t.ExpiresAt.IsZero() {
		return nil, fmt.Errorf("read Keystone's answer: user or expires_at is missing")
	}
	c := Caller{
		UserID: t.User.ID, UserName: t.User.Name, UserDomainID: t.User.Domain.ID, UserDomainName: t.User.Domain.Name,
		IsAdminProject: t.IsAdminProject == nil || *t.IsAdminProject, Expires: t.ExpiresAt,
	}
	if p := t.Project; p != nil {
		c.ProjectID, c.ProjectName, c.ProjectDomainID, c.ProjectDomainName = p.ID, p.Name, p.Domain.ID, p.Domain.Name
	}
	if d := t.Domain; d != nil {
		c.DomainID, c.DomainName = d.ID, d.Name
	}
	if t.System["all"] {
		c.SystemScope = "all"
	}
	for _, r := range t.Roles {
		c.Roles = append(c.Roles, r.Name)
	}
	out := &token{caller: c, ids: b.ids()}
	if t.AppCredential != nil && t.AppCredential.AccessRules != nil {
		out.bound = true
		for _, r := range *t.AppCredential.AccessRules {
			if r.Service == "network" {
				out.rules = append(out.rules, accessRule{r.Method, pathPattern(r.Path)})
			}
		}
	}
	return out, nil
}

// ids are what a revocation of the token may name.
func (b *body) ids() []string {
	t := &b.Token
	ids := append([]string{t.User.ID, t.User.Domain.ID}, t.AuditIDs...)
	if p := t.Project; p != nil {
		ids = append(ids, p.ID, p.Domain.ID)
	}
	if d := t.Domain; d != nil {
		ids = append(ids, d.ID)
	}
	if r := t.Trust; r != nil {
		ids = append(ids, r.ID, r.Trustor.ID, r.Trustee.ID)
	}
	for _, r := range t.Roles {
		ids = append(ids, r.ID)
	}
	return ids
}

// allows reports whether the token may be used for the request at all.
func (t *token) allows(r *http.Request) bool {
	return !t.bound || slices.ContainsFunc(t.rules, func(a accessRule) bool {
		return a.method == r.Method && a.path.MatchString(r.URL.Path)
	})
}

// pathPattern makes the pattern of an access rule's path: {name} and * stand for one part of a path or
// for some of its letters, at least one, ** for any number of parts.
func pathPattern(path string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`\A`)
	for path != "" {
		switch {
		case strings.HasPrefix(path, "**"):
			b.WriteString(`.*`)
			path = path[2:]
		case path[0] == '*':
			b.WriteString(`[^/]+`)
			path = path[1:]
		case path[0] == '{' && strings.Contains(path, "}"):
			b.WriteString(`[^/]+`)
			path = path[strings.Index(path, "}")+1:]
		default:
			n := strings.IndexAny(path[1:], "*{") + 1
			if n == 0 {
				n = len(path)
			}
			b.WriteString(regexp.QuoteMeta(path[:n]))
			path = path[n:]
		}
	}
	b.WriteString(`\z`)
	return regexp.MustCompile(b.String())
}
