package identity

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// overlap is how far before its last answer Keystone is asked about revocations: longer than a token takes from Keystone's word that it is good
// into memory.
const overlap = time.Minute

// revocation is one of Keystone's revocation events (Identity API v3, OS-REVOKE): tokens that have all that it names are void.
type revocation struct {
	Audit       string `json:"audit_id"`
	Chain       string `json:"audit_chain_id"`
	User        string `json:"user_id"`
	Role        string `json:"role_id"`
	Project     string `json:"project_id"`
	Domain      string `json:"domain_id"`
	DomainScope string `json:"domain_scope_id"`
	Trust       string `json:"OS-TRUST:trust_id"`
}

// mayMean reports whether a token may be void by the event. It says so of more than are, which are then asked about once more: times are
// not looked at, nor what an id is the id of.
func (r *revocation) mayMean(t *token) bool {
	for _, id := range []string{r.Audit, r.Chain, r.User, r.Role, r.Project, r.Domain, r.DomainScope, r.Trust} {
		if id != "" && !slices.Contains(t.ids, id) {
			return false
		}
	}
	return true
}

// Follow asks Keystone every Config.RevocationTime what was revoked, and forgets the tokens that this may mean, so that the next request with one asks
// Keystone about it. It returns when ctx is done. A Keystone that does not tell leaves a token good for Config.CacheTime: the log says so once.
func (k *Keystone) Follow(ctx context.Context) error {
	if k.cfg.CacheTime <= 0 || k.cfg.RevocationTime <= 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	since, told := k.now(), true
	t := time.NewTicker(k.cfg.RevocationTime)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
		at, err := k.forgetRevoked(ctx, since)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			since = at
			if !told {
				k.log.Info("keystone tells of revoked tokens again")
			}
		case told:
			k.log.Warn("keystone does not tell which tokens were revoked; such a token works until it is asked about again (token_cache_time)", "error", err)
		}
		told = err == nil
	}
}

// forgetRevoked forgets what was revoked since a moment, and returns Keystone's time.
func (k *Keystone) forgetRevoked(ctx context.Context, since time.Time) (time.Time, error) {
	after := url.Values{"since": {since.Add(-overlap).UTC().Format("2006-01-02T15:04:05.000000Z")}}
	a, err := k.get(ctx, "/v3/OS-REVOKE/events?"+after.Encode(), http.Header{})
	if err != nil {
		return time.Time{}, fmt.Errorf("ask for revocations: %w", err)
	}
	switch a.status {
	case http.StatusOK:
	case http.StatusForbidden:
		return time.Time{}, fmt.Errorf("ask for revocations: Keystone answers 403 to user %s; its policy identity:list_revoke_events must allow him", k.cfg.Who())
	default:
		return time.Time{}, fmt.Errorf("ask for revocations: Keystone answers %d", a.status)
	}
	var b struct {
		Events []revocation `json:"events"`
	}
	if err := json.Unmarshal(a.body, &b); err != nil {
		return time.Time{}, fmt.Errorf("read Keystone's revocations: %w", err)
	}
	if len(b.Events) > 0 {
		k.good.forget(func(t *token) bool {
			return slices.ContainsFunc(b.Events, func(r revocation) bool { return r.mayMean(t) })
		})
	}
	if at, err := http.ParseTime(a.header.Get("Date")); err == nil {
		return at, nil
	}
	return k.now(), nil
}
