// Package osclient is a small OpenStack client: a token by password, the catalogue, JSON requests.
//
// Everything that the lab does to the cloud goes through it, that is, through the public APIs, as any user's client
// would. It must not grow knowledge of what it requests.
package osclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Credentials name a user and the project to work in.
type Credentials struct {
	AuthURL  string // "http://127.0.0.1:5000/v3"
	User     string
	Password string
	Project  string
}

// Client speaks for one user in one project. It may be used by many goroutines.
type Client struct {
	cred Credentials
	http *http.Client

	mu      sync.Mutex // guards what follows
	token   string
	expires time.Time
	urls    map[string]string // by service type
	project string
}

// New returns a Client; the first request fetches the token.
func New(cred Credentials) *Client {
	return &Client{cred: cred, http: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 4}}}
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// StatusError is an answer that is no success.
type StatusError struct {
	Method, URL string
	Code        int
	// Message is the sentence in the fault, or the body.
	Message string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s %s: %d: %s", e.Method, e.URL, e.Code, e.Message)
}

// IsStatus reports whether err is an answer with that status.
func IsStatus(err error, code int) bool {
	var se *StatusError
	return errors.As(err, &se) && se.Code == code
}

// ProjectID is the id of the Client's project.
func (c *Client) ProjectID(ctx context.Context) (string, error) {
	if _, err := c.authenticate(ctx); err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.project, nil
}

// Do sends a request to the service of that type ("network"); path begins after the endpoint's URL, with a slash. in is
// the body and out takes the answer; either may be nil.
func (c *Client) Do(ctx context.Context, service, method, path string, in, out any) error {
	token, err := c.authenticate(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	base, ok := c.urls[service]
	c.mu.Unlock()
	if !ok {
		return fmt.Errorf("the service catalogue has no %q", service)
	}
	_, err = c.Send(ctx, Request{Method: method, URL: strings.TrimRight(base, "/") + path, Token: token, In: in, Out: out})
	return err
}

// Request is one HTTP request with JSON both ways.
type Request struct {
	Method, URL, Token string
	Header             map[string]string
	In, Out            any
}

// Send sends a request as it is and returns the answer's header.
func (c *Client) Send(ctx context.Context, r Request) (http.Header, error) {
	var body io.Reader
	if r.In != nil {
		b, err := json.Marshal(r.In)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", r.Method, r.URL, err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if r.Token != "" {
		req.Header.Set("X-Auth-Token", r.Token)
	}
	for k, v := range r.Header {
		req.Header.Set(k, v)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.Method, r.URL, err)
	}
	if resp.StatusCode >= 300 {
		return nil, &StatusError{Method: r.Method, URL: r.URL, Code: resp.StatusCode, Message: faultMessage(b)}
	}
	if r.Out != nil {
		if err := json.Unmarshal(b, r.Out); err != nil {
			return nil, fmt.Errorf("%s %s: the answer: %w", r.Method, r.URL, err)
		}
	}
	return resp.Header, nil
}

// faultMessage finds the sentence in a fault of any service: {"NeutronError": {"message": …}}, {"error": …}, and so on.
func faultMessage(b []byte) string {
	var fault map[string]struct{ Message string }
	if json.Unmarshal(b, &fault) == nil {
		for _, f := range fault {
			if f.Message != "" {
				return f.Message
			}
		}
	}
	return strings.TrimSpace(string(b[:min(len(b), 500)]))
}

// authenticate returns a token that is good for at least a minute.
func (c *Client) authenticate(ctx context.Context) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token != "" && time.Until(c.expires) > time.Minute {
		return c.token, nil
	}
	type m = map[string]any
	domain := m{"id": "default"}
	in := m{"auth": m{
		"identity": m{"methods": []string{"password"}, "password": m{"user": m{"name": c.cred.User, "domain": domain, "password": c.cred.Password}}},
		"scope":    m{"project": m{"name": c.cred.Project, "domain": domain}},
	}}
	var out struct {
		Token struct {
			ExpiresAt time.Time `json:"expires_at"`
			Project   struct{ ID string }
			Catalog   []struct {
				Type      string
				Endpoints []struct{ Interface, URL string }
			}
		}
	}
	h, err := c.Send(ctx, Request{Method: http.MethodPost, URL: c.cred.AuthURL + "/auth/tokens", In: in, Out: &out})
	if err != nil {
		return "", fmt.Errorf("log in as %s: %w", c.cred.User, err)
	}
	c.token, c.expires, c.project = h.Get("X-Subject-Token"), out.Token.ExpiresAt, out.Token.Project.ID
	c.urls = map[string]string{}
	for _, s := range out.Token.Catalog {
		for _, e := range s.Endpoints {
			if e.Interface == "public" {
				c.urls[s.Type] = e.URL
			}
		}
	}
	return c.token, nil
}

// Token is a token that is good for at least a minute.
func (c *Client) Token(ctx context.Context) (string, error) { return c.authenticate(ctx) }
