package policy

import (
	"strconv"
	"strings"

	"github.com/weft-cloud/weft/internal/server/identity"
)

// creds is what rules may ask of a caller, by the names that Neutron's context gives them.
type creds map[string][]string

func credsOf(c *identity.Caller) creds {
	m := creds{"is_admin": {pythonBool(c.IsAdmin)}, "is_admin_project": {pythonBool(c.IsAdminProject)}, "roles": c.Roles}
	set := func(value string, names ...string) {
		if value == "" {
			return
		}
		for _, n := range names {
			m[n] = []string{value}
		}
	}
	set(c.UserID, "user_id", "user")
	set(c.UserName, "user_name")
	set(c.UserDomainID, "user_domain_id", "user_domain")
	set(c.ProjectID, "project_id", "tenant_id", "tenant")
	set(c.ProjectName, "project_name", "tenant_name")
	set(c.ProjectDomainID, "project_domain_id", "project_domain")
	set(c.DomainID, "domain_id", "domain")
	set(c.SystemScope, "system_scope", "system")
	if s := c.Service; s != nil {
		set(s.UserID, "service_user_id")
		set(s.UserDomainID, "service_user_domain_id")
		set(s.ProjectID, "service_project_id")
		set(s.ProjectDomainID, "service_project_domain_id")
		m["service_roles"] = s.Roles
	}
	return m
}

func pythonBool(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

// Attr makes creds a Target: context_is_admin and context_is_advsvc are asked with the caller as their own target.
func (m creds) Attr(name string) (string, bool) {
	if v := m[name]; len(v) == 1 {
		return v[0], true
	}
	return "", false
}

// fingerprint tells callers apart by everything that a rule can ask.
func fingerprint(c *identity.Caller) string {
	var b strings.Builder
	add := func(ss ...string) {
		for _, s := range ss {
			b.WriteString(strconv.Itoa(len(s)))
			b.WriteByte(':')
			b.WriteString(s)
		}
		b.WriteByte(';')
	}
	add(c.UserID, c.UserName, c.UserDomainID, c.ProjectID, c.ProjectName, c.ProjectDomainID, c.DomainID, c.SystemScope,
		pythonBool(c.IsAdmin), pythonBool(c.IsAdminProject))
	add(c.Roles...)
	if s := c.Service; s != nil {
		add(s.UserID, s.UserDomainID, s.ProjectID, s.ProjectDomainID)
		add(s.Roles...)
	}
	return b.String()
}
