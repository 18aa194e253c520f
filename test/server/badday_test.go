package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/test/rig"
)

// TestDiskFull fills the disk under a server: writes are refused with 503, reads go on from memory and say so, and when
// there is space again it goes on by itself. Nothing that was acknowledged is lost.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it mounts a small file system")
	}
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=16m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s := start(t, rig.Options{Config: rig.Config{"database": {"connection": "sqlite:///" + filepath.Join(disk, "weft.db")},
		"quotas": {"quota_port": "-1", "quota_network": "-1", "quota_subnet": "-1", "quota_router": "-1"}}})
	outside := create(t, s, "network", object{"name": "outside", "router:external": true})["id"].(string)
	create(t, s, "subnet", object{"network_id": outside, "ip_version": 4, "cidr": "203.0.113.0/24"})
	c := newClient(s, 0, 1)
	ballast := filepath.Join(disk, "ballast")
	for range 2 {
		if err := fillUp(ballast, 256<<10); err != nil {
			t.Fatal(err)
		}
		for began := c.answered[http.StatusServiceUnavailable]; c.answered[http.StatusServiceUnavailable] < began+20; {
			if c.step(t.Context(), outside); len(c.things) > 20_000 {
				t.Fatal("the disk does not get full")
			}
		}
		degraded(t, s, outside)
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		create(t, s, "network", object{"name": "after"})
		if a := read(t, s, outside); a.Header.Get("X-Weft-Store") != "" {
			t.Errorf("with space again: X-Weft-Store: %s", a.Header.Get("X-Weft-Store"))
		}
		for range 50 {
			c.step(t.Context(), outside)
		}
		account(t, s, c)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	account(t, s, c)
}

// fillUp makes a file that leaves only so much space on its file system.
func fillUp(path string, leave int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.Copy(f, zeros{})
	if !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("fill up the disk: %w", err)
	}
	return f.Truncate(max(0, n-leave))
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func read(t *testing.T, s *rig.Server, network string) *rig.Answer {
	t.Helper()
	a, err := s.Send(t.Context(), "GET", "/v2.0/networks/"+network, nil, nil)
	if err != nil || a.Status != http.StatusOK {
		t.Fatalf("a read: %v, %+v", err, a)
	}
	return a
}

// degraded expects what a server does whose store cannot be written.
func degraded(t *testing.T, s *rig.Server, network string) {
	t.Helper()
	if a := read(t, s, network); a.Header.Get("X-Weft-Store") != "unreachable" {
		t.Errorf("a read from memory does not say so: %v", a.Header)
	}
	big := `{"network": {"name": "refused", "description": "` + strings.Repeat("x", 250) + `"}}`
	for range 2000 { // what is small may still fit somewhere
		a, err := s.Send(t.Context(), "POST", "/v2.0/networks", strings.NewReader(big), nil)
		if err != nil {
			t.Fatal(err)
		}
		if a.Status == http.StatusCreated {
			continue
		}
		if a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" || !bytes.Contains(a.Body, []byte("nothing was done")) {
			t.Errorf("a write: %d %v %s", a.Status, a.Header, a.Body)
		}
		return
	}
	t.Error("no write is refused")
}

// account holds a client's account against what there is.
func account(t *testing.T, s *rig.Server, clients ...*client) {
	t.Helper()
	w := list(t, s)
	for _, c := range clients {
		c.check(w)
		c.checkMore(w)
		for _, text := range c.wrong {
			t.Error(text)
		}
		c.wrong = nil
	}
	for _, bad := range w.broken() {
		t.Error(bad)
	}
}

// TestLargeBodies sends bodies of 100 MB, with and without a length, several at once, and is refused without the server
// keeping them or making others wait.
func TestLargeBodies(t *testing.T) {
	s := start(t, rig.Options{})
	before := resident(t, s)
	var work sync.WaitGroup
	for i := range 6 {
		work.Go(func() {
			body := io.MultiReader(strings.NewReader(`{"network": {"name": "`), io.LimitReader(letters{}, 100<<20), strings.NewReader(`"}}`))
			r, err := http.NewRequestWithContext(t.Context(), "POST", s.API+"/v2.0/networks", body)
			if err != nil {
				t.Error(err)
				return
			}
			r.ContentLength = -1
			if i%2 == 0 {
				r.ContentLength = 100<<20 + 25
			}
			resp, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				return // the server has hung up while the body was still being sent, which is its right
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("a body of 100 MB: %s", resp.Status)
			}
		})
	}
	create(t, s, "network", object{"name": "small"})
	work.Wait()
	if grown := resident(t, s) - before; grown > 150<<20 {
		t.Errorf("the server has grown by %d MB", grown>>20)
	}
	a, err := s.Send(t.Context(), "POST", "/v2.0/networks", io.LimitReader(letters{}, 9<<20), nil)
	if err == nil && (a.Status != http.StatusRequestEntityTooLarge || !bytes.Contains(a.Body, []byte("max_request_body_size"))) {
		t.Errorf("a body of 9 MB: %d %s", a.Status, a.Body)
	}
	create(t, s, "network", object{"name": "after"})
}

type letters struct{}

func (letters) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

func resident(t *testing.T, s *rig.Server) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// TestKeystoneAway: a token that is known goes on to be believed, whoever else comes is told to come again, and nobody is
// let in unseen.
func TestKeystoneAway(t *testing.T) {
	s := start(t, rig.Options{Identity: true})
	token, err := s.Token(t.Context(), "admin", rig.AdminPassword, "admin")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(token string) *rig.Answer {
		a, err := s.Send(t.Context(), "GET", "/v2.0/networks", nil, http.Header{"X-Auth-Token": {token}})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := ask("nonsense"); a.Status != http.StatusUnauthorized || a.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("a bad token: %d %v", a.Status, a.Header)
	}
	if a := ask(token); a.Status != http.StatusOK {
		t.Fatalf("a good token: %d %s", a.Status, a.Body)
	}
	fresh, err := s.Token(t.Context(), "admin", rig.AdminPassword, "admin")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.StopIdentity(); err != nil {
		t.Fatal(err)
	}
	if a := ask(token); a.Status != http.StatusOK {
		t.Errorf("a token that was checked before: %d %s", a.Status, a.Body)
	}
	if a := ask(fresh); a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
		t.Errorf("a token that nobody can check: %d %v %s", a.Status, a.Header, a.Body)
	}
}

// TestBackupAndRestoreUnderLoad makes backups while clients write, restores one, and sees that an agent is held until the
// operator lets it go.
func TestBackupAndRestoreUnderLoad(t *testing.T) {
	s := start(t, rig.Options{Config: rig.Config{"quotas": {"quota_port": "-1", "quota_network": "-1", "quota_subnet": "-1", "quota_router": "-1"}}})
	if err := s.Agent("host1", "127.0.0.21", nil); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, s, func(st status) bool { return len(st.Agents) == 1 && st.Agents[0].Connected && !st.Agents[0].Held })
	outside := create(t, s, "network", object{"name": "outside", "router:external": true})["id"].(string)
	create(t, s, "subnet", object{"network_id": outside, "ip_version": 4, "cidr": "203.0.113.0/24"})
	clients := []*client{newClient(s, 0, 7), newClient(s, 1, 7), newClient(s, 2, 7)}
	for range 40 {
		clients[0].step(t.Context(), outside)
	}
	before := list(t, s)
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	for _, c := range clients[1:] {
		work.Go(func() {
			for ctx.Err() == nil {
				c.step(t.Context(), outside)
			}
		})
	}
	file := func(n int) string { return filepath.Join(filepath.Dir(s.ConfigFile()), fmt.Sprint("backup-", n)) }
	for n := range 4 {
		weft(t, "backup", "--config-file", s.ConfigFile(), file(n))
		if out := weft(t, "store", "inspect", file(n)); !strings.Contains(out, "whole") {
			t.Errorf("backup %d: %s", n, out)
		}
	}
	stop()
	work.Wait()
	account(t, s, clients...)
	old := serverState(t, s)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	weft(t, "restore", "--config-file", s.ConfigFile(), "--keep", file(9), file(0))
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := list(t, s)
	for _, bad := range after.broken() {
		t.Errorf("after the restore: %s", bad)
	}
	for _, th := range clients[0].things { // it has not worked since before the first backup
		if was, is := before.find(th), after.find(th); (was == nil) != (is == nil) || was != nil && was["id"] != is["id"] {
			t.Errorf("%s was there: %v; after the restore: %v", th.name, was != nil, is != nil)
		}
	}
	st := awaitStatus(t, s, func(st status) bool { return len(st.Agents) == 1 && st.Agents[0].Connected && st.Agents[0].Held })
	if st.Position.Lineage == old.Position.Lineage {
		t.Errorf("the restore has kept the lineage %s", old.Position.Lineage)
	}
	if out := weft(t, "server", "release", "--config-file", s.ConfigFile(), "host1"); !strings.Contains(out, "host1") {
		t.Errorf("release: %s", out)
	}
	awaitStatus(t, s, func(st status) bool { return st.Agents[0].Connected && !st.Agents[0].Held })
	for range 20 {
		clients[0].step(t.Context(), outside)
	}
}
