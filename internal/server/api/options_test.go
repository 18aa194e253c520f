package api_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weft-cloud/weft/internal/server/api"
	"github.com/weft-cloud/weft/internal/server/policy"
)

// TestOptions is what the options of the API change.
func TestOptions(t *testing.T) {
	e := newEnv(t, nil)
	engine, _, err := policy.New(policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	forwarded := map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "cloud", "X-Forwarded-Prefix": "/network"}
	bulk := `{"networks": [{"name": "a"}, {"name": "b"}]}`
	for _, tt := range []struct {
		name         string
		deps         api.Deps
		method, path string
		body         string
		headers      map[string]string
		code         int
		says         string
	}{
		{"proxy headers are not believed", api.Deps{}, "GET", "/", "", forwarded, 200, `"http://example.com/v2.0/"`},
		{"proxy headers are believed", api.Deps{ProxyHeaders: true}, "GET", "/", "", forwarded, 200, `"https://cloud/network/v2.0/"`},
		{"link prefix wins", api.Deps{ProxyHeaders: true, LinkPrefix: "https://net/"}, "GET", "/", "", forwarded, 200, `"https://net/v2.0/"`},
		{"bulk", api.Deps{}, "POST", "/v2.0/networks", bulk, nil, 201, `"b"`},
		{"no bulk", api.Deps{NoBulk: true}, "POST", "/v2.0/networks", bulk, nil, 400, "Bulk operation not supported"},
		{"no bulk, one", api.Deps{NoBulk: true}, "POST", "/v2.0/networks", `{"network": {"name": "c"}}`, nil, 201, `"c"`},
		{"body", api.Deps{MaxBody: 1024}, "POST", "/v2.0/networks", `{"network": {"name": "` + strings.Repeat("d", 1024) + `"}}`, nil, 413, "max_request_body_size"},
		{"filter unknown", api.Deps{}, "GET", "/v2.0/networks?colour=red", "", nil, 400, "colour"},
		{"filter passed over", api.Deps{LooseFilters: true}, "GET", "/v2.0/networks?colour=red&name=c", "", nil, 200, `"c"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := tt.deps
			d.Writer, d.Rules, d.Identity, d.Policy, d.Log, d.NewID = e.writer, e.rules, headerIdentity{}, engine, slog.New(slog.DiscardHandler), randomUUID
			r := httptest.NewRequest(tt.method, tt.path, bytes.NewReader([]byte(tt.body)))
			r.Header.Set("X-Project-Id", "p")
			for k, v := range tt.headers {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			api.New(d).ServeHTTP(w, r)
			if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.says) || !json.Valid(w.Body.Bytes()) {
				t.Errorf("answered %d %s; want %d and %s", w.Code, w.Body, tt.code, tt.says)
			}
		})
	}
}
