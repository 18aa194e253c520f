package identity

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/config"
	"github.com/weft-cloud/weft/internal/model"
)

// TestManyWaitForOneLogin: a Keystone that hangs at the service's own login costs each of many callers one timeout, not one after the other.
func TestManyWaitForOneLogin(t *testing.T) {
	hang := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	b := newBench(t, func(c *config.Keystone) { c.AuthURL, c.Timeout = srv.URL, 200*time.Millisecond })
	t.Cleanup(func() {
		close(hang)
		b.k.client.CloseIdleConnections()
		srv.Close()
	})
	const n = 40
	began := time.Now()
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { _, errs[i] = b.ask("X-Auth-Token", fmt.Sprint("token-", i)) })
	}
	wg.Wait()
	for _, err := range errs {
		wantKind(t, err, model.KindUnavailable)
	}
	// One after the other they would take 8 s; a second of it is the machine's.
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("%d callers waited %v for logins that end after 200 ms", n, took)
	}
}

// TestRefusedLoginIsNotRepeated: while Keystone refuses the service's own password, clients do not make it guess on.
func TestRefusedLoginIsNotRepeated(t *testing.T) {
	b := newBench(t, func(c *config.Keystone) { c.Password = config.NewSecret("wrong-hush") })
	b.token("ann", time.Hour)
	for range 10 {
		_, err := b.ask("X-Auth-Token", "ann")
		wantKind(t, err, model.KindUnavailable)
	}
	if n := b.logins.Load(); n != 1 {
		t.Errorf("%d logins of a refused user for 10 requests, want 1", n)
	}
	if strings.Contains(b.log.String(), "hush") {
		t.Errorf("the log has the password: %s", b.log.String())
	}
	b.k.cfg.Password = config.NewSecret("hush") // as if it was set right at Keystone
	b.clock.Add(retryAfter)
	if _, err := b.ask("X-Auth-Token", "ann"); err != nil {
		t.Errorf("after Retry-After: %v", err)
	}
}

// TestLoginBody: who asks Keystone is told as the operator names him, by ids or names.
func TestLoginBody(t *testing.T) {
	hush := config.NewSecret("hush")
	for _, tc := range []struct {
		name string
		c    config.Credentials
		want string
	}{
		{"names", config.Credentials{Username: "neutron", Password: hush, UserDomainName: "Default", ProjectName: "service", ProjectDomainName: "Default"},
			`{"auth":{"identity":{"methods":["password"],"password":{"user":{"domain":{"name":"Default"},"name":"neutron","password":"hush"}}},"scope":{"project":{"domain":{"name":"Default"},"name":"service"}}}}`},
		{"ids", config.Credentials{UserID: "u", Username: "neutron", Password: hush, UserDomainID: "default", ProjectID: "p", ProjectName: "service"},
			`{"auth":{"identity":{"methods":["password"],"password":{"user":{"id":"u","password":"hush"}}},"scope":{"project":{"id":"p"}}}}`},
		{"domains by id before name", config.Credentials{Username: "neutron", Password: hush, UserDomainID: "d", UserDomainName: "x", ProjectName: "service", ProjectDomainID: "e", ProjectDomainName: "y"},
			`{"auth":{"identity":{"methods":["password"],"password":{"user":{"domain":{"id":"d"},"name":"neutron","password":"hush"}}},"scope":{"project":{"domain":{"id":"e"},"name":"service"}}}}`},
		{"application credential", config.Credentials{AppCredentialID: "a", AppCredentialSecret: hush, Username: "neutron", ProjectName: "service"},
			`{"auth":{"identity":{"application_credential":{"id":"a","secret":"hush"},"methods":["application_credential"]}}}`},
		{"application credential by name", config.Credentials{AppCredentialName: "n", AppCredentialSecret: hush, Username: "neutron", UserDomainID: "default"},
			`{"auth":{"identity":{"application_credential":{"name":"n","secret":"hush","user":{"domain":{"id":"default"},"name":"neutron"}},"methods":["application_credential"]}}}`},
	} {
		got, err := LoginBody(&tc.c)
		if err != nil || string(got) != tc.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", tc.name, err, got, tc.want)
		}
	}
	b := newBench(t, func(c *config.Keystone) {
		c.AppCredentialID, c.AppCredentialSecret, c.Password = "a", hush, config.NewSecret("")
	})
	b.token("ann", time.Hour)
	if _, err := b.ask("X-Auth-Token", "ann"); err != nil {
		t.Error(err)
	}
}
