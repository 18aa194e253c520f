package server

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/weft-cloud/weft/test/rig"
)

// newDatabase makes one with an empty schema "weft"; the test is skipped where there can be no MariaDB.
func newDatabase(t *testing.T) *rig.Database {
	t.Helper()
	d, err := rig.NewDatabase("weft")
	if errors.Is(err, rig.ErrNoDatabase) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// TestDatabaseGoesAway kills the database under the load of many clients: writes are answered 503, reads go on from
// memory and say so, and when the database is back the server goes on by itself with all that it had acknowledged.
func TestDatabaseGoesAway(t *testing.T) {
	d := newDatabase(t)
	s := start(t, rig.Options{Config: rig.Config{"database": {"connection": "mysql+pymysql://root@localhost/weft?unix_socket=" + d.Socket},
		"quotas": {"quota_port": "-1", "quota_network": "-1", "quota_subnet": "-1", "quota_router": "-1"}}})
	outside := create(t, s, "network", object{"name": "outside", "router:external": true})["id"].(string)
	create(t, s, "subnet", object{"network_id": outside, "ip_version": 4, "cidr": "203.0.113.0/24"})
	var clients []*client
	for n := range 6 {
		clients = append(clients, newClient(s, n, 11))
	}
	for range 2 {
		ctx, stop := context.WithCancel(t.Context())
		var work sync.WaitGroup
		for _, c := range clients {
			work.Go(func() {
				for ctx.Err() == nil {
					before := c.answered[http.StatusServiceUnavailable]
					if c.step(t.Context(), outside); c.answered[http.StatusServiceUnavailable] > before {
						time.Sleep(20 * time.Millisecond)
					}
				}
			})
		}
		time.Sleep(500 * time.Millisecond)
		d.Kill()
		time.Sleep(2 * time.Second)
		if a := read(t, s, outside); a.Header.Get("X-Weft-Store") != "unreachable" {
			t.Errorf("a read from memory does not say so: %v", a.Header)
		}
		a, err := s.Send(t.Context(), "POST", "/v2.0/networks", bytes.NewReader([]byte(`{"network": {"name": "refused"}}`)), nil)
		if err != nil || a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
			t.Errorf("a write without a database: %v, %+v", err, a)
		}
		if err := d.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			a, err := s.Send(t.Context(), "POST", "/v2.0/networks", bytes.NewReader([]byte(`{"network": {"name": "after"}}`)), nil)
			if err != nil {
				t.Fatal(err)
			}
			if a.Status == http.StatusCreated {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("it does not go on by itself: %d %s", a.Status, a.Body)
			}
		}
		stop()
		work.Wait()
		account(t, s, clients...)
	}
	// Where nobody changes anything, too, it is noticed that the database has gone, and that it is back.
	d.Kill()
	awaitStore(t, s, outside, "unreachable")
	if st := serverState(t, s); st.StoreError == "" {
		t.Error("the status does not say that the database is away")
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	awaitStore(t, s, outside, "")
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	account(t, s, clients...)
	if refused := list(t, s).find(&thing{kind: "network", name: "refused"}); refused != nil {
		t.Errorf("what was answered 503 was done: %v", refused)
	}
}

// awaitStore reads until the answer says this of the store.
func awaitStore(t *testing.T, s *rig.Server, network, want string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); read(t, s, network).Header.Get("X-Weft-Store") != want; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("reads never say X-Weft-Store: %q", want)
		}
	}
}
