package guest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// nova serves three documents as Nova does; user data that is empty is not there.
func nova(t *testing.T, userData string) string {
	t.Helper()
	mux := http.NewServeMux()
	for path, body := range map[string]string{
		"meta_data.json": `{"uuid":"u-1","name":"web","hostname":"web.novalocal","keys":[{"name":"k","type":"ssh","data":"ssh-ed25519 AAAA k"},{"name":"c","type":"x509","data":"no"}]}`,
		"network_data.json": `{"links":[{"id":"tap1","mtu":1450,"ethernet_mac_address":"fa:16:3e:00:00:01"}],
			"networks":[{"id":"network0","type":"ipv4_dhcp","link":"tap1"},{"id":"network1","type":"ipv6_slaac","link":"tap1"}]}`,
		"user_data": userData,
	} {
		if body != "" {
			mux.HandleFunc("/"+path, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(body)) }) //nolint:errcheck // a test
		}
	}
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL + "/"
}

// settleWith fetches and uses the documents; it returns the home directory and the console.
func settleWith(t *testing.T, userData string) (string, string, error) {
	t.Helper()
	if os.Geteuid() != 0 || os.Getenv("WEFT_TEST_PRIVILEGED") == "0" {
		t.Skip("needs root: sets a host name, changes the user")
	}
	con := &syncBuffer{}
	client := &http.Client{Timeout: 2 * time.Second}
	defer client.CloseIdleConnections()
	md, err := fetchMetadata(context.Background(), client, nova(t, userData))
	if err != nil {
		t.Fatal(err)
	}
	if len(md.network.Networks) != 2 || md.network.Links[0].MTU != 1450 {
		t.Errorf("network data %+v", md.network)
	}
	home := t.TempDir()
	err = md.settle(context.Background(), &console{w: con, boot: time.Now()}, home)
	return home, con.String(), err
}

func TestScript(t *testing.T) {
	before, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	home, con, err := settleWith(t, "#!/bin/sh\nhostname\nid -u\ncat hostname .ssh/authorized_keys\necho wrong >&2\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"user data: web.novalocal\n", "user data: 65534\n", "user data: ssh-ed25519 AAAA k\n", "user data: wrong\n", "user data: done\n", "1 keys authorized"} {
		if !strings.Contains(con, want) {
			t.Errorf("the console lacks %q:\n%s", want, con)
		}
	}
	if keys, err := os.ReadFile(filepath.Join(home, ".ssh/authorized_keys")); err != nil || string(keys) != "ssh-ed25519 AAAA k\n" {
		t.Errorf("%v %q", err, keys)
	}
	if now, err := os.Hostname(); err != nil || now != before {
		t.Errorf("the machine is called %q now, %v", now, err)
	}
}

func TestScriptFails(t *testing.T) {
	if _, con, err := settleWith(t, "#!/bin/sh\necho so far\nexit 3\n"); err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(con, "so far") {
		t.Errorf("%v\n%s", err, con)
	}
}

// TestOtherUserData: what is no script is kept and not run; without any, nothing is.
func TestOtherUserData(t *testing.T) {
	if _, con, err := settleWith(t, "#cloud-config\n"); err != nil || !strings.Contains(con, "only scripts") {
		t.Errorf("%v\n%s", err, con)
	}
	if _, con, err := settleWith(t, ""); err != nil || strings.Contains(con, "user data") {
		t.Errorf("%v\n%s", err, con)
	}
}
