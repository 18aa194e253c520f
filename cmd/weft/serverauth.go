package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/weft-cloud/weft/internal/config"
	"github.com/weft-cloud/weft/internal/server/identity"
	"github.com/weft-cloud/weft/internal/server/policy"
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
