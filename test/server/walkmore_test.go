package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"testing"

	"github.com/weft-cloud/weft/test/rig"
)

// others puts a compute and a volume service into the catalogue that have no quotas: the client asks them, too, whatever
// quota it is to show or set.
func others(t *testing.T, s *rig.Server) {
	t.Helper()
	stub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(object{"quota_set": object{"id": path.Base(r.URL.Path)}})
	}))
	t.Cleanup(stub.Close)
	token, err := s.Token(t.Context(), "admin", rig.AdminPassword, "admin")
	if err != nil {
		t.Fatal(err)
	}
	post := func(kind, name string, o object) string {
		body, err := json.Marshal(object{name: o})
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Keystone+"/v3/"+kind, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"X-Auth-Token": {token}, "Content-Type": {"application/json"}}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var made map[string]struct{ ID string }
		if err := json.NewDecoder(resp.Body).Decode(&made); err != nil || resp.StatusCode != http.StatusCreated {
			t.Fatalf("POST %s: %d %v", kind, resp.StatusCode, err)
		}
		return made[name].ID
	}
	for kind, below := range map[string]string{"compute": "/v2.1", "volumev3": "/v3"} {
		id := post("services", "service", object{"type": kind, "name": kind})
		post("endpoints", "endpoint", object{"service_id": id, "interface": "public", "url": stub.URL + below, "region": "RegionOne"})
	}
}

// when runs f if the API offers an extension.
func (w *walk) when(alias string, f func()) {
	if slices.Contains(w.offers, alias) {
		f()
		return
	}
	w.t.Logf("%s is not offered", alias)
}

// rest is what not every cloud offers.
func (w *walk) rest() {
	w.when("metering", func() {
		w.show("network meter create m1")
		w.list(1, "network meter list")
		w.show("network meter show m1")
		r := w.show("network meter rule create m1 --source-ip-prefix 192.0.2.0/24 --ingress")
		w.list(1, "network meter rule list")
		w.show("network meter rule show %v", r["id"])
		w.do("network meter rule delete %v", r["id"])
		w.do("network meter delete m1")
	})
	w.when("flavors", func() {
		w.show("network flavor create f1 --service-type L3_ROUTER_NAT")
		w.do("network flavor set f1 --description changed")
		w.has(object{"description": "changed"}, "network flavor show f1")
		w.list(1, "network flavor list")
		p := w.show("network flavor profile create --driver neutron.services.l3_router.service_providers.dvr.DvrDriver --description one")
		w.do("network flavor add profile f1 %v", p["id"])
		w.do("network flavor remove profile f1 %v", p["id"])
		w.list(1, "network flavor profile list")
		w.do("network flavor profile delete %v", p["id"])
		w.do("network flavor delete f1")
		w.list(1, "network service provider list")
	})
	w.when("local_ip", func() {
		w.show("local ip create --name l1 --network n1")
		w.do("local ip set l1 --description changed")
		w.has(object{"description": "changed"}, "local ip show l1")
		w.list(1, "local ip list")
		a := w.show("local ip association create l1 p1")
		w.list(1, "local ip association list l1")
		w.do("local ip association delete l1 %v", a["fixed_port_id"])
		w.do("local ip delete l1")
	})
	w.when("logging", func() {
		w.list(1, "network loggable resources list")
		w.show("network log create log1 --resource-type security_group --event DROP")
		w.do("network log set log1 --description changed")
		w.has(object{"Description": "changed"}, "network log show log1")
		w.list(1, "network log list")
		w.do("network log delete log1")
	})
	w.when("auto-allocated-topology", func() {
		// It needs a default external network and default pools.
		w.do("network set outside --default")
		w.show("subnet pool create auto4 --pool-prefix 10.200.0.0/16 --default-prefix-length 26 --default --share")
		w.show("subnet pool create auto6 --pool-prefix fd00:200::/48 --default-prefix-length 64 --default --share")
		w.show("network auto allocated topology create --check-resources")
		w.do("network set outside --no-default")
		w.do("subnet pool delete auto4 auto6")
	})
}

// quotas sets, shows and lists quotas. This client has no command that resets them.
func (w *walk) quotas() {
	w.has(object{"networks": 100, "ports": 500}, "quota show --default admin")
	w.do("quota set admin --networks 77 --floating-ips 5")
	w.has(object{"networks": 77, "floating-ips": 5, "ports": 500}, "quota show admin")
	found := false
	for _, row := range w.list(1, "quota list --network") {
		found = found || fmt.Sprint(row["Networks"]) == "77"
	}
	if !found {
		w.t.Error("openstack quota list --network: no project has 77 networks")
	}
	for _, row := range w.list(5, "quota list --network --detail --project admin") {
		if row["Resource"] == "routers" && (fmt.Sprint(row["In Use"]) != "1" || fmt.Sprint(row["Limit"]) != "10") {
			w.t.Errorf("openstack quota list --detail: routers: %v", row)
		}
	}
}

// remove takes down what is left, from the outside in.
func (w *walk) remove() {
	w.do("router unset r1 --external-gateway")
	w.do("router remove subnet r1 s1")
	w.do("router remove port r1 p4")
	w.do("router delete r1")
	w.do("port delete p1 p2 p3")
	w.do("subnet delete s6")
	w.do("network delete n1 n2 outside")
}
