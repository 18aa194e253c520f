package identity

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/weft-cloud/weft/internal/config"
)

// ownToken is the token as whose owner Keystone is asked.
type ownToken struct {
	logins singleflight.Group

	mu      sync.Mutex // guards the rest
	text    string
	expires time.Time
	refusal error     // Keystone's last word, if it refused our name or password
	until   time.Time // when that is asked again
}

// errRefused says that Keystone refuses the service's own user.
var errRefused = errors.New("Keystone refuses; check username, password and project, or the application credential, in [keystone_authtoken]")

// known is the present token if it is good for a while and not the one that was rejected; or that Keystone refuses us, which is not asked again at
// once: many clients would have us guess at a password until Keystone locks the user out. Neither: ask.
func (o *ownToken) known(now time.Time, rejected string) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.text != "" && o.text != rejected && o.expires.After(now.Add(renewBefore)) {
		return o.text, nil
	}
	if o.refusal != nil && now.Before(o.until) {
		return "", o.refusal
	}
	return "", nil
}

func (o *ownToken) learn(now time.Time, text string, expires time.Time, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refusal = nil
	switch {
	case err == nil:
		o.text, o.expires = text, expires
	case errors.Is(err, errRefused):
		o.refusal, o.until = err, now.Add(refusedTime)
	}
}

// ownToken returns a token of the service's own user, a new one if the present one ends soon or is the one that Keystone
// has just rejected. Whoever comes while a new one is got waits for the same answer, good or bad, so that nobody waits for longer than one takes.
func (k *Keystone) ownToken(ctx context.Context, rejected string) (string, error) {
	o := &k.own
	if text, err := o.known(k.now(), rejected); text != "" || err != nil {
		return text, err
	}
	text, err, _ := o.logins.Do(rejected, func() (any, error) {
		// The login before this one may have ended since the caller looked.
		if text, err := o.known(k.now(), rejected); text != "" || err != nil {
			return text, err
		}
		text, expires, err := k.login(ctx)
		o.learn(k.now(), text, expires, err)
		return text, err
	})
	return text.(string), err
}

// LoginBody is the body of POST /v3/auth/tokens that gets a token of the user of c: by password in his project, or by an application credential, which
// has a project.
func LoginBody(c *config.Credentials) ([]byte, error) {
	user := jsonMap{"id": c.UserID}
	if c.UserID == "" {
		user = jsonMap{"name": c.Username, "domain": domain(c.UserDomainID, c.UserDomainName)}
	}
	if c.AppliesCredential() {
		by := jsonMap{"id": c.AppCredentialID, "secret": c.AppCredentialSecret.Reveal()}
		if c.AppCredentialID == "" {
			by = jsonMap{"name": c.AppCredentialName, "secret": c.AppCredentialSecret.Reveal(), "user": user}
		}
		return jsonMap{"auth": jsonMap{"identity": jsonMap{"methods": []string{"application_credential"}, "application_credential": by}}}.encode()
	}
	user["password"] = c.Password.Reveal()
	project := jsonMap{"id": c.ProjectID}
	if c.ProjectID == "" {
		project = jsonMap{"name": c.ProjectName, "domain": domain(c.ProjectDomainID, c.ProjectDomainName)}
	}
	return jsonMap{"auth": jsonMap{
		"identity": jsonMap{"methods": []string{"password"}, "password": jsonMap{"user": user}},
		"scope":    jsonMap{"project": project},
	}}.encode()
}

// login is POST /v3/auth/tokens.
func (k *Keystone) login(ctx context.Context) (string, time.Time, error) {
	c := &k.cfg.Credentials
	req, err := LoginBody(c)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("log in as %s: %w", c.Who(), err)
	}
	a, err := k.do(ctx, http.MethodPost, k.cfg.AuthURL+"/v3/auth/tokens?nocatalog=1", req, http.Header{})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("log in as %s: %w", c.Who(), err)
	}
	switch a.status {
	case http.StatusCreated, http.StatusOK:
	case http.StatusUnauthorized:
		return "", time.Time{}, fmt.Errorf("log in as %s: %w", c.Who(), errRefused)
	case http.StatusNotFound:
		return "", time.Time{}, fmt.Errorf("log in as %s: there is no Identity API v3 at %s; check auth_url in [keystone_authtoken]", c.Who(), k.cfg.AuthURL)
	default:
		return "", time.Time{}, fmt.Errorf("log in as %s: Keystone answers %d", c.Who(), a.status)
	}
	t, err := parseToken(a.body)
	text := a.header.Get("X-Subject-Token")
	if err == nil && text == "" {
		err = errors.New("header X-Subject-Token is missing")
	}
	if err != nil {
		return "", time.Time{}, fmt.Errorf("log in as %s: %w", c.Who(), err)
	}
	return text, t.caller.Expires, nil
}

func domain(id, name string) jsonMap {
	if id != "" {
		return jsonMap{"id": id}
	}
	return jsonMap{"name": name}
}

// NewClient makes an HTTP client with the certificates of c. It follows no redirects: a token goes to auth_url and
// nowhere else.
func NewClient(c config.Credentials) (*http.Client, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 16
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.Insecure}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read cafile: %w", err)
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("cafile %s holds no certificate in PEM form", c.CAFile)
		}
	}
	if c.CertFile == "" && c.KeyFile != "" {
		return nil, fmt.Errorf("keyfile %s is set without certfile; set the certificate whose key it is, too", c.KeyFile)
	}
	if c.CertFile != "" {
		key := cmp.Or(c.KeyFile, c.CertFile) // one file may hold both
		pair, err := tls.LoadX509KeyPair(c.CertFile, key)
		if err != nil {
			return nil, fmt.Errorf("read certfile %s and keyfile %s: %w", c.CertFile, key, err)
		}
		t.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}
