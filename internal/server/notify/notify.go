// Package notify tells other services what happened here: Nova, that an instance's port is ready, gone or changed.
//
// What there is to tell lies in the store's outbox, where the change that caused it put it in the same commit. It is
// delivered at least once, oldest first, and forgotten only after Nova has answered. The package must not know how
// events come about (rules do), nor keep any of its own.
package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/weft-cloud/weft/internal/config"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/identity"
	"github.com/weft-cloud/weft/internal/server/store"
)

// Outbox is where undelivered intents are; every store.Store is one.
type Outbox interface {
	Intents(ctx context.Context, limit int) ([]store.Intent, error)
	DoneIntents(ctx context.Context, ids []model.UUID) error
}

// Deps is what a Nova needs. All are required.
type Deps struct {
	Config config.Nova
	Outbox Outbox
	// Client reaches Keystone and Nova; see identity.NewClient.
	Client *http.Client
	Now    func() time.Time
	Log    *slog.Logger
}

// Nova delivers events to Nova. Run is its only goroutine.
type Nova struct {
	Deps
	login login
}

// Bounds of one request, of one answer, and of the waits between attempts.
const (
	maxEvents = 256
	maxAnswer = 4 << 20 // bytes
	minWait   = time.Second
	maxWait   = time.Minute
)

// New makes a Nova.
func New(d Deps) *Nova { return &Nova{Deps: d} }

// Run delivers what is in the outbox and what comes into it, until ctx is done. While Nova or Keystone cannot be
// reached it tries again, ever more seldom, and loses nothing.
func (n *Nova) Run(ctx context.Context) error {
	wait := minWait
	for {
		more, err := n.deliver(ctx)
		pause := max(n.Config.EventsInterval, 10*time.Millisecond)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			n.Log.Warn("Nova was not told of ports; it will be", "error", err, "again", wait)
			pause, wait = wait, min(2*wait, maxWait)
		case more:
			continue
		default:
			wait = minWait
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
	}
}

// deliver tells Nova of the oldest events and forgets them. more: there may be others.
func (n *Nova) deliver(ctx context.Context) (more bool, err error) {
	intents, err := n.Outbox.Intents(ctx, maxEvents)
	if err != nil {
		return false, fmt.Errorf("read the outbox: %w", err)
	}
	var events []model.NovaEvent
	var ids []model.UUID
	for _, i := range intents {
		if i.Kind != model.IntentNova {
			continue // another's business
		}
		ids = append(ids, i.ID)
		var e model.NovaEvent
		if err := json.Unmarshal(i.Body, &e); err != nil {
			n.Log.Error("an event for Nova cannot be read and is dropped", "intent", i.ID, "error", err)
			continue
		}
		events = append(events, e)
	}
	if len(events) > 0 {
		if err := n.send(ctx, events); err != nil {
			return false, err
		}
	}
	if len(ids) == 0 {
		return false, nil
	}
	if err := n.Outbox.DoneIntents(ctx, ids); err != nil {
		return false, fmt.Errorf("empty the outbox: %w", err)
	}
	return len(intents) == maxEvents, nil
}

// send is POST /os-server-external-events. An answer that says that Nova does not know the instances, or cannot read
// the events, is an answer: they will not get better.
func (n *Nova) send(ctx context.Context, events []model.NovaEvent) error {
	body, err := json.Marshal(map[string]any{"events": events})
	if err != nil {
		return fmt.Errorf("encode events: %w", err)
	}
	for try := 0; ; try++ {
		token, endpoint, err := n.session(ctx)
		if err != nil {
			return err
		}
		code, answer, _, err := n.request(ctx, endpoint+"/os-server-external-events", body, token)
		switch {
		case err != nil:
			return fmt.Errorf("tell Nova: %w", err)
		case code == http.StatusUnauthorized && try == 0:
			n.login = login{} // Keystone has withdrawn it
			continue
		case code == http.StatusOK:
		case code == http.StatusMultiStatus, code == http.StatusNotFound:
			n.Log.Debug("Nova does not know all instances of these events", "events", len(events), "answer", string(answer))
		case code == http.StatusBadRequest:
			n.Log.Error("Nova refuses events, they are dropped", "events", len(events), "answer", string(answer))
		default:
			n.login = login{} // the endpoint may have moved
			return fmt.Errorf("tell Nova: %s answers %d", endpoint, code)
		}
		n.Log.Debug("told Nova", "events", len(events))
		return nil
	}
}

// request is one POST of JSON.
func (n *Nova) request(ctx context.Context, url string, body []byte, token string) (int, []byte, http.Header, error) {
	if n.Config.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, n.Config.Timeout)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if token != "" {
		req.Header.Set("X-Auth-Token", token)
	}
	resp, err := n.Client.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, answer, resp.Header, err
}

// login is a token and what came with it.
type login struct {
	token, endpoint string
	expires         time.Time
}

// session is a good token and Nova's endpoint.
func (n *Nova) session(ctx context.Context) (token, endpoint string, err error) {
	if n.login.token != "" && n.login.expires.After(n.Now().Add(time.Minute)) {
		return n.login.token, n.login.endpoint, nil
	}
	c := &n.Config.Credentials
	body, err := identity.LoginBody(c)
	if err != nil {
		return "", "", fmt.Errorf("log in for Nova: %w", err)
	}
	code, answer, header, err := n.request(ctx, c.AuthURL+"/v3/auth/tokens", body, "")
	if err != nil {
		return "", "", fmt.Errorf("log in for Nova: %w", err)
	}
	if code != http.StatusCreated {
		return "", "", fmt.Errorf("log in for Nova: Keystone answers %d; check auth_url, username, password and project, or the application credential, in [nova]", code)
	}
	l, err := n.parseLogin(answer)
	if err != nil {
		return "", "", fmt.Errorf("log in for Nova: %w", err)
	}
	if l.token = header.Get("X-Subject-Token"); l.token == "" {
		return "", "", errors.New("log in for Nova: Keystone's answer has no X-Subject-Token")
	}
	n.login = l
	return l.token, l.endpoint, nil
}

// parseLogin finds the token's end and Nova's endpoint (catalogue type "compute") in Keystone's answer.
func (n *Nova) parseLogin(answer []byte) (login, error) {
	var a struct {
		Token struct {
			ExpiresAt time.Time `json:"expires_at"`
			Catalog   []struct {
				Type      string
				Endpoints []struct{ Interface, Region, URL string }
			}
		}
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return login{}, fmt.Errorf("read Keystone's answer: %w", err)
	}
	l := login{expires: a.Token.ExpiresAt, endpoint: strings.TrimRight(n.Config.URL, "/")}
	want := strings.TrimSuffix(n.Config.Interface, "URL")
	for _, s := range a.Token.Catalog {
		for _, e := range s.Endpoints {
			if l.endpoint == "" && s.Type == "compute" && e.Interface == want && (n.Config.Region == "" || e.Region == n.Config.Region) {
				l.endpoint = strings.TrimRight(e.URL, "/")
			}
		}
	}
	if l.endpoint == "" {
		return l, fmt.Errorf("the catalogue has no %s endpoint of type compute in region %q; set [nova] region_name and endpoint_type, or nova_url", want, n.Config.Region)
	}
	return l, nil
}
