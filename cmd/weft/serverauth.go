package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/weft-cloud/weft/internal/config"
	"github.com/weft-cloud/weft/internal/server/identity"
	"github.com/weft-cloud/weft/internal/server/policy"
	"github.com/weft-cloud/weft/internal/server/rules"
)

// gate says who calls and what they may do.
type gate struct {
	auth   identity.Authenticator
	policy *policy.Engine
}

func newGate(cfg *config.Server, log *slog.Logger) (*gate, error) {
	files, err := policy.ReadFiles(cfg.Policy.File, cfg.Policy.Dirs)
	if err != nil {
		return nil, err
	}
	engine, notices, err := policy.New(policy.Options{Files: files, DefaultRule: cfg.Policy.DefaultRule,
		EnforceScope: cfg.Policy.EnforceScope, EnforceNewDefaults: cfg.Policy.EnforceNewDefaults})
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	for _, n := range notices {
		log.Warn("policy", "notice", n)
	}
	g := &gate{auth: identity.NoAuth{}, policy: engine}
	if cfg.AuthStrategy == "noauth" {
		return g, nil
	}
	client, err := identity.NewClient(cfg.Keystone.Credentials)
	if err != nil {
		return nil, fmt.Errorf("[keystone_authtoken]: %w", err)
	}
	g.auth = identity.New(identity.Deps{Config: cfg.Keystone, Client: client, Now: time.Now, Log: log})
	return g, nil
}

// Authenticate implements api.Identity.
func (g *gate) Authenticate(r *http.Request) (*rules.Actor, error) {
	c, err := g.auth.Authenticate(r)
	if err != nil {
		return nil, err
	}
	set := g.policy.Compile(c)
	return &rules.Actor{Project: c.ProjectID, User: c.UserID, Roles: c.Roles, Admin: set.Admin(), AdvSvc: set.Service()}, nil
}

func (g *gate) set(by *rules.Actor) *policy.Set {
	return g.policy.Compile(&identity.Caller{UserID: by.User, ProjectID: by.Project, Roles: by.Roles, IsAdmin: by.Admin, IsAdminProject: true})
}

// Allows implements api.Policy.
func (g *gate) Allows(by *rules.Actor, action string, project *string) bool {
	if project == nil {
		return g.set(by).Allows(action, nil)
	}
	return g.set(by).Allows(action, policy.Project(*project))
}

// Sees implements api.Policy.
func (g *gate) Sees(by *rules.Actor, attribute string) bool { return g.set(by).Allows(attribute, nil) }
