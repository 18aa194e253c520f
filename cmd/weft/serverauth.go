package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/weft-cloud/weft/internal/config"
	"github.com/weft-cloud/weft/internal/server/identity"
	"github.com/weft-cloud/weft/internal/server/policy"
)

// policyEvery is how often the policy files are looked at for changes.
const policyEvery = 5 * time.Second

// gate says who calls and what they may do.
type gate struct {
	auth   identity.Authenticator
	policy *policy.Engine
	follow *policy.Follower
	// revoked follows Keystone's revocations until its context ends.
	revoked func(context.Context) error
}

func newGate(cfg *config.Server, log *slog.Logger) (*gate, error) {
	read := func() ([]policy.File, error) { return policy.ReadFiles(cfg.Policy.File, cfg.Policy.Dirs) }
	files, err := read()
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
	g := &gate{auth: identity.NoAuth{}, policy: engine,
		follow: &policy.Follower{Engine: engine, Read: read, Every: policyEvery, Log: log}, revoked: func(context.Context) error { return nil }}
	if cfg.AuthStrategy == "noauth" {
		return g, nil
	}
	client, err := identity.NewClient(cfg.Keystone.Credentials)
	if err != nil {
		return nil, fmt.Errorf("[keystone_authtoken]: %w", err)
	}
	keystone := identity.New(identity.Deps{Config: cfg.Keystone, Client: client, Now: time.Now, Log: log})
	g.auth, g.revoked = keystone, keystone.Follow
	return g, nil
}
