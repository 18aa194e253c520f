package identity

import "time"

// Caller is who a request comes from. A Caller is never changed once made, and may be shared.
type Caller struct {
	UserID, UserName             string
	UserDomainID, UserDomainName string
	// The project of a project-scoped token.
	ProjectID, ProjectName             string
	ProjectDomainID, ProjectDomainName string
	// The domain of a domain-scoped token.
	DomainID, DomainName string
	// SystemScope is "all" for a system-scoped token.
	SystemScope string
	Roles       []string
	// IsAdmin is set without auth (noauth) only; otherwise policy says who is administrator (context_is_admin).
	IsAdmin bool
	// IsAdminProject is false only when Keystone says that the token's project is not the administrators'.
	IsAdminProject bool
	// Service is whom X-Service-Token names, the service that calls for the user; nil: nobody.
	Service *Service
	// Expires is when the token ends; zero: never (noauth).
	Expires time.Time
}

// Service is a service that calls on behalf of a user.
type Service struct {
	UserID, UserName, UserDomainID, UserDomainName             string
	ProjectID, ProjectName, ProjectDomainID, ProjectDomainName string
	Roles                                                      []string
}

// Scope is "system", "domain" or "project", as oslo.policy takes a token's scope.
func (c *Caller) Scope() string {
	switch {
	case c.SystemScope != "":
		return "system"
	case c.DomainID != "":
		return "domain"
	}
	return "project"
}
