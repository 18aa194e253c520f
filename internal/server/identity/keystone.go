package identity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/weft-cloud/weft/internal/config"
)

// Bounds of what is kept and accepted.
const (
	cacheSize   = 16384   // good tokens
	badSize     = 1024    // tokens known to be bad
	maxToken    = 8 << 10 // bytes of a token
	maxAnswer   = 4 << 20 // bytes of Keystone's answer
	badTime     = 30 * time.Second
	renewBefore = time.Minute              // the service's own token is renewed so long before its end
	refusedTime = retryAfter * time.Second // Keystone's refusal of the service's own user is believed for so long
)

// Deps is what a Keystone needs. All are required.
type Deps struct {
	Config config.Keystone
	// Client reaches Keystone; see NewClient.
	Client *http.Client
	Now    func() time.Time
	Log    *slog.Logger
}

// Keystone asks Keystone (Identity API v3) about each token, as the service's own user, and believes the answer for
// Config.CacheTime and never past the token's end. Requests with one and the same token wait for one and the same
// question. What Keystone revokes meanwhile is forgotten while Follow runs. Safe for concurrent use; it has no goroutine of its own.
type Keystone struct {
	cfg       config.Keystone
	client    *http.Client
	now       func() time.Time
	log       *slog.Logger
	good, bad *cache
	questions singleflight.Group
	own       ownToken
	warned    atomic.Int64 // when warn last did, in nanoseconds of the Unix epoch
}

// New makes a Keystone. It does not yet ask anything.
func New(deps Deps) *Keystone {
	return &Keystone{cfg: deps.Config, client: deps.Client, now: deps.Now, log: deps.Log, good: newCache(cacheSize), bad: newCache(badSize)}
}

// Challenge implements Authenticator.
func (k *Keystone) Challenge() string {
	uri := k.cfg.PublicURL
	if uri == "" {
		uri = k.cfg.AuthURL
	}
	return `Keystone uri="` + uri + `"`
}

// Authenticate implements Authenticator: X-Auth-Token says who calls and X-Service-Token, if there is one, which service
// calls for him. A service with one of the configured roles may use a user's token past its end and outside of its access rules.
func (k *Keystone) Authenticate(r *http.Request) (*Caller, error) {
	user, service := r.Header.Get("X-Auth-Token"), r.Header.Get("X-Service-Token")
	if user == "" {
		user = r.Header.Get("X-Storage-Token") // Keystone's middleware takes it, too
	}
	if user == "" {
		return nil, unauthorized()
	}
	var s *Service
	forUser := false // a service carries on what the user began
	if service != "" {
		st, err := k.validate(r.Context(), service, false)
		if err != nil {
			return nil, err
		}
		forUser = slices.ContainsFunc(st.caller.Roles, func(role string) bool { return slices.Contains(k.cfg.ServiceTokenRoles, role) })
		if k.cfg.ServiceTokenRequired && !forUser {
			k.log.Info("service token has none of the service roles", "userID", st.caller.UserID)
			return nil, unauthorized()
		}
		s = st.caller.asService()
	}
	t, err := k.validate(r.Context(), user, forUser)
	if err != nil {
		return nil, err
	}
	// The rules say what the user may ask for, not what a service needs for it. Keystone's middleware lets any good token in X-Service-Token lift
	// them, also the bound one itself.
	if !forUser && !t.allows(r) {
		k.log.Info("application credential has no access rule for the request", "userID", t.caller.UserID)
		return nil, unauthorized()
	}
	c := t.caller
	c.Service = s
	return &c, nil
}

func (c *Caller) asService() *Service {
	return &Service{
		UserID: c.UserID, UserName: c.UserName, UserDomainID: c.UserDomainID, UserDomainName: c.UserDomainName,
		ProjectID: c.ProjectID, ProjectName: c.ProjectName, ProjectDomainID: c.ProjectDomainID, ProjectDomainName: c.ProjectDomainName,
		Roles: c.Roles,
	}
}

// errBad is what a question answers of a token that is not good.
var errBad = errors.New("token is not valid")

// validate says what a token is, from memory or by asking.
func (k *Keystone) validate(ctx context.Context, text string, allowExpired bool) (*token, error) {
	text = strings.TrimSpace(text)
	if text == "" || len(text) > maxToken || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, unauthorized()
	}
	key := tokenKey(sha256.Sum256([]byte(text)))
	if k.cfg.CacheTime > 0 {
		if t, ok := k.good.get(key, k.now()); ok {
			return t, nil
		}
		if _, ok := k.bad.get(key, k.now()); ok && !allowExpired {
			return nil, unauthorized()
		}
	}
	question := string(key[:])
	if allowExpired {
		question += "+"
	}
	// The answer is for everybody who waits, so the first one's going away must not end the question.
	ch := k.questions.DoChan(question, func() (any, error) {
		return k.ask(context.WithoutCancel(ctx), key, text, allowExpired)
	})
	select {
	case <-ctx.Done():
		return nil, unavailable()
	case res := <-ch:
		if errors.Is(res.Err, errBad) {
			return nil, unauthorized()
		}
		if res.Err != nil {
			return nil, unavailable()
		}
		return res.Val.(*token), nil
	}
}

// ask asks Keystone about a token and remembers the answer.
func (k *Keystone) ask(ctx context.Context, key tokenKey, text string, allowExpired bool) (*token, error) {
	// The question before this one may have been answered since the caller looked.
	if t, ok := k.good.get(key, k.now()); ok {
		return t, nil
	}
	t, err := k.fetch(ctx, text, allowExpired)
	now := k.now()
	if err == nil && !allowExpired && !t.caller.Expires.After(now) {
		err = errBad
	}
	switch {
	case errors.Is(err, errBad):
		if k.cfg.CacheTime > 0 && !allowExpired {
			k.bad.put(key, nil, now.Add(min(badTime, k.cfg.CacheTime)))
		}
		return nil, err
	case err != nil:
		k.warn(now, err)
		return nil, err
	}
	ends := now.Add(k.cfg.CacheTime)
	if t.caller.Expires.Before(ends) {
		ends = t.caller.Expires
	}
	if ends.After(now) {
		k.good.put(key, t, ends)
	}
	return t, nil
}

// warn tells of a Keystone that cannot be asked, every 10 seconds at most.
func (k *Keystone) warn(now time.Time, err error) {
	last := k.warned.Load()
	if now.UnixNano()-last < int64(10*time.Second) || !k.warned.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	k.log.Warn("keystone cannot be asked about tokens; requests are refused with 503", "error", err)
}

// fetch is GET /v3/auth/tokens.
func (k *Keystone) fetch(ctx context.Context, text string, allowExpired bool) (*token, error) {
	path := "/v3/auth/tokens?nocatalog=1"
	if allowExpired {
		path += "&allow_expired=1"
	}
	a, err := k.get(ctx, path, http.Header{
		"X-Subject-Token": {text},
		// Keystone shows tokens with access rules only to those who say that they will keep them.
		"Openstack-Identity-Access-Rules": {"1"},
	})
	if err != nil {
		return nil, fmt.Errorf("validate a token: %w", err)
	}
	switch a.status {
	case http.StatusOK:
		return parseToken(a.body)
	case http.StatusNotFound:
		return nil, errBad
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, fmt.Errorf("validate a token: Keystone answers %d to user %s; give him the role admin or service in his project", a.status, k.cfg.Who())
	default:
		return nil, fmt.Errorf("validate a token: Keystone answers %d", a.status)
	}
}

// get is a GET as the service's own user. If Keystone does not know our own token any more, a new one is got, once.
func (k *Keystone) get(ctx context.Context, path string, header http.Header) (*answer, error) {
	rejected := ""
	for try := 0; ; try++ {
		own, err := k.ownToken(ctx, rejected)
		if err != nil {
			return nil, err
		}
		header.Set("X-Auth-Token", own)
		a, err := k.do(ctx, http.MethodGet, k.cfg.AuthURL+path, nil, header)
		if err != nil || a.status != http.StatusUnauthorized || try > 0 {
			return a, err
		}
		rejected = own
	}
}

// answer is an HTTP answer, read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request, again and again (Config.Retries) while it does not get through or Keystone says that it is busy.
// A question that timed out is not asked again: whoever waits has waited long enough.
func (k *Keystone) do(ctx context.Context, method, url string, body []byte, header http.Header) (*answer, error) {
	pause := 100 * time.Millisecond
	for try := 0; ; try++ {
		a, err := k.once(ctx, method, url, body, header)
		again := err == nil && (a.status >= 500 || a.status == http.StatusTooManyRequests) ||
			err != nil && !errors.Is(err, context.DeadlineExceeded)
		if !again || try >= k.cfg.Retries {
			return a, err
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, ctx.Err()
		case <-t.C:
		}
		pause *= 2
	}
}

func (k *Keystone) once(ctx context.Context, method, url string, body []byte, header http.Header) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, k.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = header.Clone()
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := k.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read Keystone's answer: %w", err)
	}
	return &answer{resp.StatusCode, resp.Header, b}, nil
}

// jsonMap is an object of a request's body.
type jsonMap map[string]any

func (m jsonMap) encode() ([]byte, error) { return json.Marshal(m) }
