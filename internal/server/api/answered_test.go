package api_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/server/api"
	"github.com/weft-cloud/weft/internal/server/policy"
)

// Who counts requests is told each one by the name of its collection, never by what its path names, and with the status that was sent.
func TestAnswered(t *testing.T) {
	e := newEnv(t, nil)
	engine, _, err := policy.New(policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	type answered struct {
		method, resource string
		code             int
	}
	var got []answered
	handler := api.New(api.Deps{Writer: e.writer, Rules: e.rules, Identity: headerIdentity{}, Policy: engine, Log: slog.New(slog.DiscardHandler), NewID: randomUUID,
		Answered: func(method, resource string, code int, took time.Duration) {
			if took < 0 || took > time.Minute {
				t.Errorf("it took %v", took)
			}
			got = append(got, answered{method, resource, code})
		}})
	network := e.must(201, "POST", "/networks", object{"network": object{"name": "n"}})["id"].(string)
	gone, leave := context.WithCancel(context.Background())
	leave()
	for _, x := range []struct {
		method, path, body string
		caller             string
		ctx                context.Context
		want               answered
	}{
		{"GET", "/", "", "p", nil, answered{"GET", "versions", 200}},
		{"GET", "/v2.0", "", "p", nil, answered{"GET", "versions", 200}},
		{"GET", "/v2.0/networks", "", "p", nil, answered{"GET", "networks", 200}},
		{"GET", "/v2.0/networks/" + network, "", "p", nil, answered{"GET", "networks", 200}},
		{"GET", "/v2.0/networks/" + strings.Repeat("0", 32), "", "p", nil, answered{"GET", "networks", 404}},
		{"GET", "/v2.0/security_group_rules.json", "", "p", nil, answered{"GET", "security-group-rules", 200}},
		{"GET", "/v2.0/qos/policies", "", "p", nil, answered{"GET", "qos/policies", 200}},
		{"GET", "/v2.0/extensions", "", "p", nil, answered{"GET", "extensions", 200}},
		{"POST", "/v2.0/networks", `{"network": {"name": "m"}}`, "p", nil, answered{"POST", "networks", 201}},
		{"POST", "/v2.0/networks", `{"network": {"name": 1}}`, "p", nil, answered{"POST", "networks", 400}},
		{"POST", "/v2.0/networks", `{"network": {"name": "o"}}`, "p", gone, answered{"POST", "networks", 499}},
		{"GET", "/v2.0/secrets-of-" + network, "", "p", nil, answered{"GET", "other", 404}},
		{"GET", "/v2.0/networks", "", "", nil, answered{"GET", "other", 401}},
	} {
		got = nil
		r := httptest.NewRequest(x.method, x.path, strings.NewReader(x.body))
		if x.ctx != nil {
			r = r.WithContext(x.ctx)
		}
		r.Header.Set("X-Project-Id", x.caller)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if !slices.Equal(got, []answered{x.want}) {
			t.Errorf("%s %s: told %v, want %v (sent %d)", x.method, x.path, got, x.want, w.Code)
		}
	}
}
