package api_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-cloud/weft/internal/server/api"
	"github.com/weft-cloud/weft/internal/server/policy"
	"github.com/weft-cloud/weft/internal/server/world"
)

// collections are all that can be listed.
var collections = []string{
	"networks", "subnets", "ports", "routers", "agents", "availability_zones", "security-groups", "security-group-rules", "address-groups",
	"rbac-policies", "quotas", "subnetpools", "address-scopes", "floatingips", "floatingip_pools", "segments", "network_segment_ranges",
	"qos/policies", "qos/rule-types", "trunks", "metering/metering-labels", "metering/metering-label-rules", "flavors", "service_profiles",
	"service-providers", "log/logs", "log/loggable-resources", "local_ips", "ndp_proxies", "network-ip-availabilities",
	"default-security-group-rules", "extensions",
}

// reloaded demands that a server which starts on the store of e answers every list as e does.
func (e *env) reloaded(t *testing.T) {
	t.Helper()
	before := make(map[string]object, len(collections))
	for _, path := range collections {
		code, out := e.do("GET", "/"+path, nil)
		if code != 200 {
			t.Fatalf("GET %s: %d %v", path, code, out)
		}
		before[path] = out
	}
	w, err := world.Open(context.Background(), world.Config{Store: e.store, Log: slog.New(slog.DiscardHandler), Now: time.Now, Random: randomUUID})
	if err != nil {
		t.Fatal(err)
	}
	engine, _, err := policy.New(policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	again := *e
	again.handler = api.New(api.Deps{Writer: w, Rules: e.rules, Identity: headerIdentity{}, Policy: engine, Log: slog.New(slog.DiscardHandler), NewID: randomUUID})
	for _, path := range collections {
		_, after := again.do("GET", "/"+path, nil)
		if d := cmp.Diff(before[path], after); d != "" {
			t.Errorf("%s after a restart (-before +after):\n%s", path, d)
		}
	}
}
