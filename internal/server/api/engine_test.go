package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
)

// names are the names in a list answer, in order.
func (e *env) names(path string) []string {
	e.t.Helper()
	code, out := e.do(http.MethodGet, path, nil)
	if code != http.StatusOK {
		e.t.Fatalf("GET %s: %d %v", path, code, out)
	}
	var names []string
	for k, list := range out {
		if strings.HasSuffix(k, "_links") {
			continue
		}
		for _, o := range list.([]any) {
			names = append(names, o.(object)["name"].(string))
		}
	}
	return names
}

func TestListFiltersAndSorting(t *testing.T) {
	e := newEnv(t, nil)
	for i, name := range []string{"c", "a", "d", "b", ""} {
		e.create("network", object{"name": name, "admin_state_up": i%2 == 0, "description": fmt.Sprint("d", i/2)})
	}
	for _, tt := range []struct{ name, query, want string }{
		{"by name", "sort_key=name&sort_dir=asc", ",a,b,c,d"},
		{"descending", "sort_key=name&sort_dir=desc", "d,c,b,a,"},
		{"two keys", "sort_key=description&sort_dir=desc&sort_key=name&sort_dir=asc", ",b,d,a,c"},
		{"repeated values are alternatives", "name=a&name=d&sort_key=name&sort_dir=asc", "a,d"},
		{"boolean", "admin_state_up=False&sort_key=name&sort_dir=asc", "a,b"},
		{"both booleans", "admin_state_up=False&admin_state_up=true&name=a&name=c&sort_key=name&sort_dir=asc", "a,c"},
		{"empty text", "name=", ""},
		{"description", "description=d1&sort_key=name&sort_dir=asc", "b,d"},
		{"limit", "sort_key=name&sort_dir=asc&limit=2", ",a"},
		{"limit 0 is no limit", "sort_key=name&sort_dir=asc&limit=0", ",a,b,c,d"},
		{"nothing", "name=zzz", "-"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e.t = t
			got := strings.Join(e.names("/networks?"+tt.query), ",")
			if tt.want == "-" {
				tt.want = ""
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	e.t = t
	e.refused(400, "HTTPBadRequest", "GET", "/networks?sort_key=subnets&sort_dir=asc", nil)
	e.refused(400, "HTTPBadRequest", "GET", "/networks?sort_key=name&sort_dir=up", nil)
	e.refused(400, "InvalidInput", "GET", "/networks?admin_state_up=maybe", nil)
}

// TestPaging walks pages forwards and backwards by their links, in every order, and expects each row once.
func TestPaging(t *testing.T) {
	e := newEnv(t, nil)
	net := e.create("network", object{"name": "n"})["id"].(string)
	for i := range 23 {
		e.create("port", object{"network_id": net, "name": fmt.Sprintf("p%02d", i), "device_id": fmt.Sprint("dev", i%3)})
	}
	for _, query := range []string{"", "sort_key=name&sort_dir=asc", "sort_key=device_id&sort_dir=desc", "network_id=" + net, "device_id=dev1&device_id=dev2"} {
		t.Run(query, func(t *testing.T) {
			e.t = t
			all := e.names("/ports?" + query)
			if again := e.walk("/ports?limit=5&"+query, "next"); !slices.Equal(all, again) {
				t.Errorf("pages %v\nlist  %v", again, all)
			}
			_, out := e.do("GET", "/ports?"+query, nil)
			list := out["ports"].([]any)
			last := list[len(list)-1].(object)["id"].(string)
			back := e.walk("/ports?limit=5&page_reverse=True&marker="+last+"&"+query, "previous")
			// Pages come in order, each page's rows too: the last page first.
			slices.Sort(back)
			want := slices.Clone(all[:len(all)-1])
			slices.Sort(want)
			if !slices.Equal(want, back) {
				t.Errorf("backwards %v\nwant      %v", back, want)
			}
		})
	}
}

// walk follows the links of pages and returns all names.
func (e *env) walk(path, rel string) []string {
	var names []string
	for range 20 {
		_, out := e.do("GET", path, nil)
		for _, o := range out["ports"].([]any) {
			names = append(names, o.(object)["name"].(string))
		}
		next := ""
		links, _ := out["ports_links"].([]any)
		for _, l := range links {
			if l.(object)["rel"] == rel {
				next = l.(object)["href"].(string)
			}
		}
		if next == "" {
			return names
		}
		path = strings.TrimPrefix(next, "http://controller:9696/v2.0")
	}
	e.t.Fatal("pages have no end")
	return nil
}

func TestTags(t *testing.T) {
	e := newEnv(t, nil)
	n := e.create("network", object{"name": "n"})["id"].(string)
	m := e.create("network", object{"name": "m"})["id"].(string)
	e.must(200, "PUT", "/networks/"+n+"/tags", object{"tags": []string{"b", "a"}})
	e.must(201, "PUT", "/networks/"+m+"/tags/b", nil)
	if got := e.must(200, "GET", "/networks/"+n, nil)["tags"]; !cmp.Equal(got, []any{"a", "b"}) {
		t.Errorf("tags %v", got)
	}
	for query, want := range map[string]string{
		"tags=a": "n", "tags=a,b": "n", "tags=b": "m n", "tags-any=a,c": "n", "not-tags=a,b": "m", "not-tags-any=a": "m", "tags=c": "",
	} {
		got := e.names("/networks?" + query)
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", query, got, want)
		}
	}
	e.refused(404, "TagNotFound", "DELETE", "/networks/"+n+"/tags/zzz", nil)
	e.refused(404, "TagResourceNotFound", "PUT", "/networks/nope/tags/x", nil)
	e.refused(400, "InvalidInput", "PUT", "/networks/"+n+"/tags/"+strings.Repeat("x", 256), nil)
	e.must(201, "PUT", "/networks/"+n+"/tags/"+strings.Repeat("x", 255), nil)
	e.must(204, "DELETE", "/networks/"+n+"/tags", nil)
}

func TestBodies(t *testing.T) {
	e := newEnv(t, nil)
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
		typ                      string
	}{
		{"empty", "POST", "/networks", ``, 400, "HTTPBadRequest"},
		{"not JSON", "POST", "/networks", `{"network": `, 400, "HTTPBadRequest"},
		{"two values", "POST", "/networks", `{"network": {}} {}`, 400, "HTTPBadRequest"},
		{"a list", "POST", "/networks", `[]`, 400, "HTTPBadRequest"},
		{"invalid UTF-8", "POST", "/networks", "{\"network\": {\"name\": \"\xff\"}}", 400, "HTTPBadRequest"},
		{"too deep", "POST", "/networks", strings.Repeat(`{"network":`, 50) + "1" + strings.Repeat("}", 50), 400, "HTTPBadRequest"},
		{"unknown attributes", "POST", "/networks", `{"network": {"b": 1, "a": 2}}`, 400, "HTTPBadRequest"},
		{"name is a number", "POST", "/networks", `{"network": {"name": 5}}`, 400, "HTTPBadRequest"},
		{"name is null", "POST", "/networks", `{"network": {"name": null}}`, 400, "HTTPBadRequest"},
		{"the last of two counts", "POST", "/networks", `{"network": {"name": 5, "name": "x"}}`, 201, ""},
		{"escapes", "POST", "/networks", `{"network": {"name": "\u00e9\ud83d\ude00\n\"\\"}}`, 201, ""},
		{"read-only", "POST", "/networks", `{"network": {"status": "DOWN"}}`, 400, "HTTPBadRequest"},
		{"bulk not a list", "POST", "/networks", `{"networks": {}}`, 400, "HTTPBadRequest"},
		{"negative MTU", "POST", "/networks", `{"network": {"mtu": -1}}`, 400, "HTTPBadRequest"},
		{"huge MTU", "POST", "/networks", `{"network": {"mtu": 9000}}`, 400, "InvalidInput"},
		{"unknown collection", "POST", "/things", `{}`, 404, "HTTPNotFound"},
		{"too long a path", "GET", "/networks/a/b/c/d", ``, 404, "HTTPNotFound"},
		{"method", "PATCH", "/networks", ``, 405, "HTTPMethodNotAllowed"},
		{"creation of agents", "POST", "/agents", `{"agent": {}}`, 405, "HTTPMethodNotAllowed"},
		{"suffix", "GET", "/networks.json", ``, 200, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, answer, _ := e.raw(tt.method, "/v2.0"+tt.path, []byte(tt.body), nil)
			if code != tt.status || !strings.Contains(string(answer), tt.typ) {
				t.Errorf("%d %s, want %d %s", code, answer, tt.status, tt.typ)
			}
		})
	}
	if got := e.names("/networks?sort_key=name&sort_dir=asc"); !slices.Equal(got, []string{"x", "é😀\n\"\\"}) {
		t.Errorf("names %q", got)
	}
	code, _, _ := e.raw("POST", "/v2.0/networks", make([]byte, 9<<20), nil)
	if code != http.StatusRequestEntityTooLarge {
		t.Errorf("9 MiB: %d", code)
	}
}

// What has two names is found fault with by the elder, as in Neutron.
func TestReadOnlyProject(t *testing.T) {
	e := newEnv(t, nil)
	path := "/v2.0/networks/" + e.create("network", object{"name": "n"})["id"].(string)
	if code, b, _ := e.raw("PUT", path, []byte(`{"network": {"project_id": "admin-project"}}`), nil); code != 400 || !strings.Contains(string(b), "read-only attribute tenant_id") {
		t.Errorf("%d %s", code, b)
	}
	if code, b, _ := e.raw("PUT", "/v2.0/routers/"+e.create("router", object{"name": "r"})["id"].(string), []byte(`{"routers": []}`), nil); code != 400 || !strings.Contains(string(b), "Bulk operation not supported") {
		t.Errorf("%d %s", code, b)
	}
}

func TestIfMatch(t *testing.T) {
	e := newEnv(t, nil)
	n := e.create("network", object{"name": "n"})
	path := "/v2.0/networks/" + n["id"].(string)
	body := []byte(`{"network": {"name": "m"}}`)
	match := func(h string) map[string]string { return map[string]string{"If-Match": h} }
	if code, b, _ := e.raw("PUT", path, body, match("revision_number=0")); code != 412 {
		t.Errorf("stale: %d %s", code, b)
	}
	if code, b, _ := e.raw("PUT", path, body, match("nonsense")); code != 400 {
		t.Errorf("nonsense: %d %s", code, b)
	}
	for _, two := range []string{`"revision_number=1", "revision_number=2"`, `"revision_number=x"`, `revision_number=`} {
		if code, b, _ := e.raw("PUT", path, body, match(two)); code != 400 || !strings.Contains(string(b), "Bad if-match request") {
			t.Errorf("%s: %d %s", two, code, b)
		}
	}
	if code, b, _ := e.raw("PUT", path, body, match(`"a", "revision_number=0"`)); code != 412 {
		t.Errorf("stale among others: %d %s", code, b)
	}
	if code, b, _ := e.raw("PUT", path, body, match(fmt.Sprintf("revision_number= %v", n["revision_number"]))); code != 200 {
		t.Errorf("current: %d %s", code, b)
	}
	if code, b, _ := e.raw("DELETE", path, nil, match(fmt.Sprintf("revision_number=%v", n["revision_number"]))); code != 412 {
		t.Errorf("stale deletion: %d %s", code, b)
	}
	_, _, h := e.raw("GET", path, nil, nil)
	if code, b, after := e.raw("PUT", path, []byte(`{"network": {"name": "k"}}`), match(h.Get("Etag"))); code != 200 || after.Get("Etag") == h.Get("Etag") {
		t.Errorf("with the ETag %s of its answer: %d %s, then %s", h.Get("Etag"), code, b, after.Get("Etag"))
	}
	if code, b, _ := e.raw("DELETE", path, nil, match(h.Get("Etag"))); code != 412 {
		t.Errorf("deletion by an old ETag: %d %s", code, b)
	}
	shared := "/v2.0/networks/" + e.create("network", object{"name": "s", "shared": true})["id"].(string)
	if code, b, _ := e.as("somebody").raw("PUT", shared, body, match("revision_number=0")); code != 403 {
		t.Errorf("stale, of another's network: %d %s", code, b)
	}
	if code, b, _ := e.raw("PUT", path, []byte(`{"network": {"name": 7}}`), match("revision_number=0")); code != 400 {
		t.Errorf("stale, and a bad value: %d %s", code, b)
	}
	if code, b, _ := e.raw("DELETE", path, nil, match("*")); code != 204 {
		t.Errorf("deletion of any revision: %d %s", code, b)
	}
}

func TestQuotaAndBulk(t *testing.T) {
	e := newEnv(t, func(c *rules.Config) { c.Quotas[model.KindNetwork] = 3 })
	e.create("network", object{"name": "one"})
	bulk := object{"networks": []object{{"name": "a"}, {"name": "b"}, {"name": "c"}}}
	fault := e.refused(409, "OverQuota", "POST", "/networks", bulk)
	if fault["message"] != "Quota exceeded for resources: ['network']." {
		t.Errorf("message %v", fault["message"])
	}
	if got := e.names("/networks"); !slices.Equal(got, []string{"one"}) {
		t.Errorf("a refused bulk left %v", got)
	}
	bulk["networks"] = []object{{"name": "a"}, {"name": "b", "provider:network_type": "flat", "provider:physical_network": "nope"}}
	e.refused(400, "InvalidInput", "POST", "/networks", bulk)
	if got := e.names("/networks"); len(got) != 1 {
		t.Errorf("a refused bulk left %v", got)
	}
	member := e.as("other")
	member.create("network", object{"name": "theirs"})
}

// TestMembersView is what a member of another project sees and may do.
func TestMembersView(t *testing.T) {
	e := newEnv(t, nil)
	e.host("h1", "192.0.2.1", "dvr_snat")
	net := e.create("network", object{"name": "admin's"})["id"].(string)
	e.create("subnet", object{"network_id": net, "ip_version": 4, "cidr": "10.0.0.0/24"})
	ext := e.create("network", object{"name": "ext", "router:external": true})["id"].(string)
	m := e.as("m")
	if got := m.names("/networks"); !slices.Equal(got, []string{"ext"}) {
		t.Errorf("networks %v", got)
	}
	m.refused(404, "NetworkNotFound", "GET", "/networks/"+net, nil)
	m.refused(404, "NetworkNotFound", "PUT", "/networks/"+net, object{"network": object{"name": "mine"}})
	m.refused(403, "PolicyNotAuthorized", "DELETE", "/networks/"+ext, nil)
	m.refused(404, "NetworkNotFound", "POST", "/ports", object{"port": object{"network_id": net}})
	m.refused(403, "HTTPForbidden", "POST", "/ports", object{"port": object{"network_id": ext}})
	m.refused(403, "PolicyNotAuthorized", "POST", "/networks", object{"network": object{"shared": true}})
	own := m.create("network", object{"name": "own", "shared": false})
	if _, has := own["provider:network_type"]; has {
		t.Error("a member sees provider attributes")
	}
	p := m.create("port", object{"network_id": own["id"]})
	m.refused(403, "PolicyNotAuthorized", "PUT", "/ports/"+p["id"].(string), object{"port": object{"binding:host_id": "h1"}})
	m.refused(403, "PolicyNotAuthorized", "POST", "/ports", object{"port": object{"network_id": own["id"], "binding:host_id": "h1"}})
	if got := len(m.names("/ports")); got != 1 {
		t.Errorf("%d ports", got)
	}
	if code, out := m.do("GET", "/agents", nil); code != 200 || len(out["agents"].([]any)) != 0 {
		t.Errorf("agents: %d %v", code, out)
	}
}

func TestExtraDHCPOptionsMerge(t *testing.T) {
	e := newEnv(t, nil)
	opt := func(name string, value any) object { return object{"opt_name": name, "opt_value": value} }
	p := e.create("port", object{"network_id": e.network("n"), "extra_dhcp_opts": []object{opt("mtu", "1400"), opt("domain-name", "a")}})
	p = e.must(200, "PUT", "/ports/"+p["id"].(string), object{"port": object{"extra_dhcp_opts": []object{opt("mtu", nil), opt("domain-name", "b"), opt("tftp-server", "x")}}})
	var got []string
	for _, o := range p["extra_dhcp_opts"].([]any) {
		got = append(got, o.(object)["opt_name"].(string)+"="+o.(object)["opt_value"].(string))
	}
	if want := []string{"domain-name=b", "tftp-server=x"}; !slices.Equal(got, want) {
		t.Errorf("options %v, want %v", got, want)
	}
}

// TestPanicInRule: it is a 500 for that request alone, whoever else writes at the same time, and leaves nothing behind.
func TestPanicInRule(t *testing.T) {
	e := newEnv(t, nil)
	const clients = 16
	e.panics.Store(true)
	var work sync.WaitGroup
	codes := make([]int, clients)
	answers := make([][]byte, clients)
	for i := range clients {
		work.Go(func() {
			codes[i], answers[i], _ = e.raw("POST", "/v2.0/networks", []byte(`{"network": {"name": "n"}}`), nil)
		})
	}
	work.Wait()
	created := 0
	for i, code := range codes {
		switch code {
		case http.StatusCreated:
			created++
		case http.StatusInternalServerError:
			var fault struct {
				NeutronError struct{ Type, Message string }
			}
			if err := json.Unmarshal(answers[i], &fault); err != nil || fault.NeutronError.Type != "HTTPInternalServerError" || strings.Contains(string(answers[i]), "identifier") {
				t.Errorf("the fault is %s", answers[i])
			}
		default:
			t.Errorf("%d %s", code, answers[i])
		}
	}
	if created != clients-1 {
		t.Errorf("%d of %d creations went through, want all but one", created, clients)
	}
	if n := len(e.list("/networks")); n != created {
		t.Errorf("%d networks are there, %d were made", n, created)
	}
	e.network("afterwards")
}
