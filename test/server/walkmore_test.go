package server

import "slices"

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
