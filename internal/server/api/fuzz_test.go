package api_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

// FuzzRequest sends anything: no method, path, query or body may be answered with a 500 or with what is not JSON.
func FuzzRequest(f *testing.F) {
	b, err := os.ReadFile("testdata/neutron-zed.json")
	if err != nil {
		f.Fatal(err)
	}
	var file struct{ Calls []recorded }
	if err := json.Unmarshal(b, &file); err != nil {
		f.Fatal(err)
	}
	for _, c := range file.Calls {
		body, _ := json.Marshal(c.Request)
		f.Add(c.Method, "/v2.0"+c.Path, string(body), "")
	}
	f.Add("PUT", "/v2.0/networks/%2f%zz/tags/%", `{"tags": [null]}`, "revision_number=x")
	f.Add("GET", "/v2.0/ports?fixed_ips=ip_address%3Dx&fixed_ips=y&limit=-1&marker=&sort_key=&page_reverse", "", "")
	e := newEnv(f, nil)
	e.host("peer-host1", "192.0.2.1", "dvr_snat")
	net := e.network("n")
	e.subnet(net, "10.0.0.0/24", nil)
	f.Fuzz(func(t *testing.T, method, path, body, match string) {
		e.t = t
		path = strings.ReplaceAll(path, "b3ab7c08-b0a5-4731-b88e-ebcc3c104bc0", net)
		body = strings.ReplaceAll(body, "b3ab7c08-b0a5-4731-b88e-ebcc3c104bc0", net)
		code, answer, ok := e.any(method, path, body, match)
		if !ok {
			t.Skip("not a request")
		}
		if code >= 500 && code != 503 {
			t.Fatalf("%s %s %s: %d %s", method, path, body, code, answer)
		}
		if len(answer) > 0 && !json.Valid(answer) {
			t.Fatalf("%s %s %s: not JSON: %q", method, path, body, answer)
		}
	})
}

// FuzzJSON compares the parser with encoding/json on what both take.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a": [1, -2.5e3, "x\u00e9\ud83d\ude00\n", null, true, {}]}`, `[]`, `"\ud800"`, `01`, `{"a":1,"a":2}`} {
		f.Add(s)
	}
	e := newEnv(f, nil)
	f.Fuzz(func(t *testing.T, name string) {
		e.t = t
		body, _ := json.Marshal(object{"network": object{"name": name}})
		code, answer, _ := e.raw("POST", "/v2.0/networks", body, nil)
		if code != 201 {
			if code != 400 {
				t.Fatalf("%d %s", code, answer)
			}
			return
		}
		var out struct{ Network struct{ ID, Name string } }
		defer func() { e.raw("DELETE", "/v2.0/networks/"+out.Network.ID, nil, nil) }() // there are only so many VNIs
		if err := json.Unmarshal(answer, &out); err != nil || out.Network.Name != strings.ToValidUTF8(name, "\ufffd") && !strings.Contains(out.Network.Name, "\ufffd") {
			t.Fatalf("%q came back as %q (%v)", name, out.Network.Name, err)
		}
	})
}

// TestInvariants makes random calls and checks after each that nothing dangles and nothing is used twice.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := newEnv(t, func(c *rules.Config) {
			c.RouterDistributed = true
			c.VNIRanges = []rules.Range{{Min: 1, Max: 4}}
		})
		e.host("ctl", "192.0.2.1", model.ModeDVRSNAT)
		m := &machine{e: e, rt: rt, ids: map[string][]string{}}
		for range rapid.IntRange(1, 40).Draw(rt, "calls") {
			m.step()
			if bad := broken(e.writer.Snapshot()); bad != "" {
				rt.Fatalf("after %v: %s", m.log, bad)
			}
		}
	})
}

// machine makes calls on objects that it made before.
type machine struct {
	e   *env
	rt  *rapid.T
	ids map[string][]string
	log []string
}

func (m *machine) some(kind string) string {
	if len(m.ids[kind]) == 0 {
		return "00000000-0000-4000-8000-000000000000"
	}
	return rapid.SampledFrom(m.ids[kind]).Draw(m.rt, kind)
}

func (m *machine) make(kind string, attrs object) {
	if code, out := m.call("POST", "/"+kind+"s", object{kind: attrs}); code == 201 {
		m.ids[kind] = append(m.ids[kind], out[kind].(object)["id"].(string))
	}
}

func (m *machine) call(method, path string, body any) (int, object) {
	code, out := m.e.do(method, path, body)
	text, _ := json.Marshal(body)
	m.log = append(m.log, method+" "+path+" "+string(text))
	if code >= 500 && code != 503 {
		m.rt.Fatalf("%v: %d %v", m.log, code, out)
	}
	return code, out
}

func (m *machine) step() {
	draw := func(values ...string) string { return rapid.SampledFrom(values).Draw(m.rt, "value") }
	switch draw("network", "subnet", "subnet", "port", "port", "router", "interface", "interface", "gateway", "remove", "delete", "update") {
	case "network":
		m.make("network", object{"router:external": draw("true", "false")})
	case "subnet":
		cidr := draw("10.0.0.0/29", "10.0.0.0/30", "10.0.1.0/29", "fd00::/64", "fd00:1::/64")
		attrs := object{"network_id": m.some("network"), "cidr": cidr, "ip_version": 4}
		if strings.HasPrefix(cidr, "fd") {
			attrs["ip_version"] = 6
			if mode := draw("", "slaac", "dhcpv6-stateful"); mode != "" {
				attrs["ipv6_address_mode"], attrs["ipv6_ra_mode"] = mode, mode
			}
		}
		m.make("subnet", attrs)
	case "port":
		attrs := object{"network_id": m.some("network"), "binding:host_id": draw("", "ctl", "nowhere")}
		if draw("any", "fixed") == "fixed" {
			attrs["fixed_ips"] = []object{{"ip_address": draw("10.0.0.3", "10.0.1.4", "fd00::7")}}
		}
		m.make("port", attrs)
	case "router":
		m.make("router", object{"distributed": draw("true", "false")})
	case "interface":
		m.call("PUT", "/routers/"+m.some("router")+"/add_router_interface", object{"subnet_id": m.some("subnet")})
	case "gateway":
		var info any
		if draw("set", "clear") == "set" {
			info = object{"network_id": m.some("network")}
		}
		m.call("PUT", "/routers/"+m.some("router"), object{"router": object{"external_gateway_info": info}})
	case "remove":
		m.call("PUT", "/routers/"+m.some("router")+"/remove_router_interface", object{"subnet_id": m.some("subnet")})
	case "delete":
		kind := draw("network", "subnet", "port", "router")
		m.call("DELETE", "/"+kind+"s/"+m.some(kind), nil)
	case "update":
		m.call("PUT", "/ports/"+m.some("port"), object{"port": object{"fixed_ips": []object{{"subnet_id": m.some("subnet")}}}})
	}
}

// broken says what is wrong with a world; "" if nothing is.
func broken(w *world.World) string {
	type address struct {
		subnet model.SubnetID
		addr   string
	}
	used, macs := map[address]bool{}, map[string]bool{}
	for p := range w.Ports.All() {
		if w.Networks.Get(p.NetworkID) == nil {
			return "a port without network"
		}
		if k := p.NetworkID.String() + p.MAC.String(); macs[k] || p.MAC.IsZero() {
			return "a MAC twice on a network"
		} else {
			macs[k] = true
		}
		for _, f := range p.FixedIPs {
			s := w.Subnets.Get(f.SubnetID)
			if s == nil || s.NetworkID != p.NetworkID || !s.CIDR.Contains(f.Address) {
				return "an address outside of its subnet"
			}
			if k := (address{f.SubnetID, f.Address.String()}); used[k] {
				return "an address twice"
			} else {
				used[k] = true
			}
		}
		if id, err := model.ParseUUID(p.DeviceID); err == nil && strings.HasPrefix(p.DeviceOwner, "network:router") && w.Routers.Get(model.RouterID{UUID: id}) == nil {
			return "a router's port without router"
		}
	}
	for r := range w.Routers.All() {
		if g := w.Ports.Get(r.GatewayPort); !r.GatewayPort.IsZero() && (g == nil || g.DeviceID != r.ID.String()) {
			return "a router whose gateway port is gone"
		}
	}
	carriers := map[world.Carrier]bool{}
	for s := range w.Segments.All() {
		c := world.Carrier{Type: s.NetworkType, Physnet: s.Physnet, ID: s.SegmentationID}
		if carriers[c] || w.Networks.Get(s.NetworkID) == nil {
			return "a segment twice, or without network"
		}
		carriers[c] = true
	}
	for s := range w.Subnets.All() {
		if w.Networks.Get(s.NetworkID) == nil {
			return "a subnet without network"
		}
	}
	return ""
}
