package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/weft-cloud/weft/test/rig"
)

// TestNotEnforced: what no data plane carries out is told with the answer, in the log once, and in the server's status.
func TestNotEnforced(t *testing.T) {
	s := start(t, rig.Options{})
	net := create(t, s, "network", object{"name": "n"})["id"]
	ask := func() string {
		port := create(t, s, "port", object{"network_id": net})["id"].(string)
		a, err := s.Send(t.Context(), "POST", "/v2.0/trunks", strings.NewReader(`{"trunk": {"port_id": "`+port+`"}}`), http.Header{"X-Project-Id": {"rig"}})
		if err != nil || a.Status != 201 {
			t.Fatal(a, err)
		}
		return a.Header.Get("Warning")
	}
	if out := weft(t, "server", "status", "--config-file", s.ConfigFile()); strings.Contains(out, "not enforced") {
		t.Errorf("before anybody asks for anything:\n%s", out)
	}
	for range 2 {
		if w := ask(); !strings.HasPrefix(w, `299 weft "trunks: `) {
			t.Errorf("warning %q", w)
		}
	}
	if out := weft(t, "server", "status", "--config-file", s.ConfigFile()); !strings.Contains(out, "not enforced  trunks, objects: 2; ") {
		t.Errorf("status:\n%s", out)
	}
	if n := strings.Count(s.Log(), "gap=trunks"); n != 1 {
		t.Errorf("the log tells %d times:\n%s", n, s.Log())
	}
}
