package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-cloud/weft/internal/server/identity"
)

func engine(t testing.TB, opts Options) *Engine {
	t.Helper()
	e, notices, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range notices {
		t.Log(n)
	}
	return e
}

func caller(project string, roles ...string) *identity.Caller {
	return &identity.Caller{UserID: "u", ProjectID: project, Roles: roles, IsAdminProject: true}
}

func lines(text ...string) Options {
	return Options{Files: []File{{Name: "policy.yaml", Text: []byte(strings.Join(text, "\n") + "\n")}}}
}

// Who may do what, by Neutron's defaults; the cases are those that clients meet.
func TestDefaults(t *testing.T) {
	mine, strange := Attrs{"project_id": "p1"}, Attrs{"project_id": "p2"}
	onMine := Attrs{"project_id": "p2", "network:project_id": "p1"}
	member, reader, admin := caller("p1", "member", "reader"), caller("p1", "reader"), caller("p0", "admin")
	older := caller("p1", "_member_")
	byDefault, newDefaults := engine(t, Options{}), engine(t, Options{EnforceNewDefaults: true})
	for _, tc := range []struct {
		name    string
		by      *identity.Caller
		action  string
		on      Attrs
		old     bool // allowed by default
		newOnly bool // allowed with enforce_new_defaults
	}{
		{"member creates a network", member, "create_network", mine, true, true},
		{"reader creates a network", reader, "create_network", mine, true, false},
		{"an old role creates a network", older, "create_network", mine, true, false},
		{"member creates a shared network", member, "create_network:shared", mine, false, false},
		{"admin creates a shared network", admin, "create_network:shared", mine, true, true},
		{"member updates his network", member, "update_network", mine, true, true},
		{"member updates another's network", member, "update_network", strange, false, false},
		{"admin updates another's network", admin, "update_network", strange, true, true},
		{"reader updates his network", reader, "update_network", mine, true, false},
		{"member sees provider attributes", member, "get_network:provider:network_type", mine, false, false},
		{"member sees a shared network", member, "get_network", Attrs{"project_id": "p2", "shared": "True"}, true, true},
		{"member sees an external network", member, "get_network", Attrs{"project_id": "p2", "router:external": "True"}, true, true},
		{"member sees another's network", member, "get_network", strange, false, false},
		{"member binds a port", member, "create_port:binding:host_id", mine, false, false},
		{"network owner sets fixed IPs", member, "create_port:fixed_ips", onMine, true, true},
		{"member sets a subnet on a shared network", member, "create_port:fixed_ips:subnet_id", Attrs{"project_id": "p1", "network:project_id": "p2", "network:shared": "True"}, true, true},
		{"member sets an address on a shared network", member, "create_port:fixed_ips:ip_address", Attrs{"project_id": "p1", "network:project_id": "p2", "network:shared": "True"}, false, false},
		{"member makes a network's device on another's network", member, "create_port:device_owner", Attrs{"device_owner": "network:dhcp", "network:project_id": "p2"}, false, false},
		{"member makes an instance's port there", member, "create_port:device_owner", Attrs{"device_owner": "compute:nova", "network:project_id": "p2"}, true, true},
		{"network owner sees a port on it", member, "get_port", onMine, true, false},
		{"network owner deletes a port on it", member, "delete_port", onMine, true, false},
		{"member creates a distributed router", member, "create_router:distributed", mine, false, false},
		{"member lists agents", member, "get_agent", nil, false, false},
		{"group's owner sees its rules", member, "get_security_group_rule", Attrs{"project_id": "p2", "security_group:project_id": "p1"}, true, true},
		{"router's owner forwards a port", member, "create_floatingip_port_forwarding", Attrs{"ext_parent:project_id": "p1"}, true, true},
		{"member shares with one project", member, "create_rbac_policy:target_tenant", Attrs{"target_tenant": "p3", "target_project": "p3"}, true, true},
		{"member shares with all", member, "create_rbac_policy:target_tenant", Attrs{"target_tenant": "*", "target_project": "*"}, false, false},
		{"unknown action on his own", member, "frobnicate", mine, true, true},
		{"unknown action on another's", member, "frobnicate", strange, false, false},
		{"admin is no owner", admin, "update_trunk", strange, true, false},
		{"nobody", caller(""), "update_network", Attrs{}, false, false},
		{"nobody and nobody's", caller(""), "update_network", Attrs{"project_id": ""}, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := byDefault.Compile(tc.by).Allows(tc.action, tc.on); got != tc.old {
				t.Errorf("%v, want %v", got, tc.old)
			}
			if got := newDefaults.Compile(tc.by).Allows(tc.action, tc.on); got != tc.newOnly {
				t.Errorf("with enforce_new_defaults %v, want %v", got, tc.newOnly)
			}
		})
	}
}

func TestScope(t *testing.T) {
	reach := Visibility{Own: true, Shared: true, External: true, NetworkOwner: true, ParentOwner: true}
	everything := reach
	everything.All = true
	for _, tc := range []struct {
		name, resource string
		by             *identity.Caller
		opts           Options
		want           Visibility
	}{
		{"admin", "network", caller("p", "admin"), Options{}, Visibility{All: true}},
		{"member", "network", caller("p", "member"), Options{}, Visibility{Own: true, Shared: true, External: true}},
		{"service", "network", caller("p", "advsvc"), Options{}, everything},
		{"member, ports", "port", caller("p", "member"), Options{}, Visibility{Own: true, NetworkOwner: true}},
		{"reader, new, ports", "port", caller("p", "reader"), Options{EnforceNewDefaults: true}, Visibility{Own: true}},
		{"member, new, ports", "port", caller("p", "member"), Options{EnforceNewDefaults: true}, Visibility{}},
		{"member, agents", "agent", caller("p", "member"), Options{}, Visibility{}},
		{"anybody, groups", "security_group", caller("p"), Options{}, reach},
		{"anybody, rules", "security_group_rule", caller("p"), Options{}, Visibility{Own: true, ParentOwner: true}},
		{"no project", "network", caller(""), Options{}, Visibility{Shared: true, External: true}},
		{"own rule", "network", caller("p", "member"), lines(`get_network: "role:member and project_id:%(project_id)s and not rule:shared"`), Visibility{Ask: true}},
		{"closed", "network", caller("p", "member"), lines(`get_network: "!"`), Visibility{}},
		{"admin, closed", "network", caller("p", "admin"), lines(`get_network: "!"`), Visibility{All: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, engine(t, tc.opts).Compile(tc.by).Scope(tc.resource)); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestScopeAgreesWithShows: Scope and Shows are two ways to say which objects a caller sees.
func TestScopeAgreesWithShows(t *testing.T) {
	rules := []Options{{}, {EnforceNewDefaults: true}, lines(`get_network: "@"`, `get_port: "!"`), lines(`get_network: "not rule:shared"`, `get_port: "role:member and not rule:network_device"`)}
	for i, opts := range rules {
		for _, who := range [][]string{{"admin"}, {"member", "reader"}, {"reader"}, {"advsvc"}, nil} {
			for _, project := range []string{"p", ""} {
				s := engine(t, opts).Compile(caller(project, who...))
				for _, res := range []string{"network", "port", "subnet", "security_group", "security_group_rule", "agent", "floatingip_port_forwarding"} {
					v := s.Scope(res)
					for _, o := range []Attrs{
						{"project_id": "p"}, {"project_id": "q"}, {"project_id": ""}, {"project_id": "q", "shared": "True"}, {"project_id": "q", "router:external": "True"},
						{"project_id": "q", "network:project_id": "p"}, {"project_id": "q", "network:shared": "True"}, {"project_id": "p", "device_owner": "network:dhcp"},
						{"ext_parent:project_id": "p"}, {"project_id": "q", "security_group:project_id": "p"}, {"device_owner": "compute:x", "project_id": "q"},
					} {
						_, nested := o["ext_parent:project_id"]
						_, rule := o["security_group:project_id"]
						if rule && res != "security_group_rule" || nested && res != "floatingip_port_forwarding" {
							continue // no such object
						}
						shared := o["shared"] == "True" || o["network:shared"] == "True"
						mine := func(attr string) bool { return o[attr] == project && project != "" }
						got := v.All || v.Own && mine("project_id") || v.Shared && shared || v.External && o["router:external"] == "True" ||
							v.NetworkOwner && mine("network:project_id") || v.ParentOwner && (mine("ext_parent:project_id") || mine("security_group:project_id")) ||
							v.Ask && s.Shows(res, o)
						if want := s.Shows(res, o); got != want {
							t.Errorf("rules %d, %v of %q, %s %v: scope %+v says %v, Shows %v", i, who, project, res, o, v, got, want)
						}
					}
				}
			}
		}
	}
}

func TestMask(t *testing.T) {
	for _, tc := range []struct {
		name, resource string
		by             *identity.Caller
		opts           Options
		want           Mask
	}{
		{"admin", "network", caller("p", "admin"), Options{}, Mask{}},
		{"member, network", "network", caller("p", "member"), Options{}, Mask{Hidden: []string{"provider:network_type", "provider:physical_network", "provider:segmentation_id", "segments"}}},
		{"member, new", "router", caller("p", "member"), Options{EnforceNewDefaults: true}, Mask{Hidden: []string{"distributed", "ha"}}},
		{"reader, new", "network", caller("p", "reader"), Options{EnforceNewDefaults: true},
			Mask{Hidden: []string{"provider:network_type", "provider:physical_network", "provider:segmentation_id", "segments"}, Ask: []string{"router:external"}}},
		{"a rule of the file's", "subnet", caller("p", "member"), lines(`get_subnet:name: "role:nobody"`), Mask{Hidden: []string{"name", "segment_id"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, engine(t, tc.opts).Compile(tc.by).Mask(tc.resource)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestEnforce(t *testing.T) {
	s := engine(t, Options{}).Compile(caller("p", "member"))
	for _, tc := range []struct {
		name, action string
		attrs        []string
		on           Attrs
		want         string
	}{
		{"allowed", "create_network", nil, nil, ""},
		{"one attribute", "create_network", []string{"provider:network_type"}, nil, "(rule:create_network and rule:create_network:provider:network_type) is disallowed by policy"},
		{"the action itself", "update_network", nil, Attrs{"project_id": "x"}, "rule:update_network is disallowed by policy"},
		{"two", "create_network", []string{"shared", "segments"}, nil, "((rule:create_network and rule:create_network:shared) and rule:create_network:segments) is disallowed by policy"},
		{"parts", "create_router", []string{"external_gateway_info", "external_gateway_info:network_id", "external_gateway_info:enable_snat"}, Attrs{"project_id": "p"},
			"(rule:create_router and (rule:create_router:external_gateway_info and (rule:create_router:external_gateway_info:network_id and rule:create_router:external_gateway_info:enable_snat))) is disallowed by policy"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := ""
			if err := s.Enforce(tc.action, tc.attrs, tc.on); err != nil {
				got = err.Error()
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestEnforceScope(t *testing.T) {
	sys := &identity.Caller{UserID: "u", SystemScope: "all", Roles: []string{"admin", "reader"}}
	for _, tc := range []struct {
		name string
		opts Options
		want bool
	}{
		{"not asked for", Options{EnforceNewDefaults: true}, true},
		{"asked for", Options{EnforceNewDefaults: true, EnforceScope: true}, false},
		{"asked for, but administrators pass", Options{EnforceScope: true}, true},
	} {
		s := engine(t, tc.opts).Compile(sys)
		if got := s.Allows("create_network", nil); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
		if got := s.Scope("network").All; got != tc.want {
			t.Errorf("%s: sees all %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestFiles(t *testing.T) {
	for _, tc := range []struct {
		name  string
		lines []string
		err   string
		by    *identity.Caller
		// what is then allowed on an object of p
		allowed, denied string
	}{
		{name: "JSON", lines: []string{`{"create_network": "role:netops", "get_port": [["role:x", "role:y"], ["role:netops"]]}`}, by: caller("p", "netops"), allowed: "create_network get_port", denied: "create_network:shared"},
		{name: "overrides need no older default", lines: []string{`create_network: "role:netops"`}, by: caller("p", "member"), denied: "create_network"},
		{name: "helper", lines: []string{`netops: "role:netops or rule:admin_only"`, `create_network: "rule:netops"`}, by: caller("p", "netops"), allowed: "create_network"},
		{name: "the administrator renamed", lines: []string{`context_is_admin: "role:boss"`}, by: caller("p", "boss"), allowed: "create_network:shared get_agent"},
		{name: "a renamed administrator's old role", lines: []string{`context_is_admin: "role:boss"`}, by: caller("p", "admin"), denied: "create_network:shared get_agent"},
		{name: "empty rule", lines: []string{`create_network:shared: ""`}, by: caller("p"), allowed: "create_network:shared"},
		{name: "is_admin", lines: []string{`create_network: "is_admin:True"`}, by: caller("p", "member"), denied: "create_network"},
		{name: "only comments", lines: []string{"# nothing"}, by: caller("p"), allowed: "create_network"},
		{name: "nothing", by: caller("p"), allowed: "create_network"},
		{name: "parenthesis", lines: []string{"", `get_port: "(role:admin or role:x"`}, err: `policy.yaml:2: get_port: rule "(role:admin or role:x": a ) is missing`},
		{name: "no check", lines: []string{`get_port: "admin"`}, err: `policy.yaml:1: get_port: rule "admin": "admin" is no check; write kind:value, as role:admin or rule:admin_only`},
		{name: "unquoted", lines: []string{`get_port: !`}, err: `policy.yaml:1: get_port: the rule is neither text nor a list; put it in quotes: "@" for everybody, "!" for nobody`},
		{name: "a number", lines: []string{`get_port: 1`}, err: `policy.yaml:1: get_port: the rule is neither text nor a list; put it in quotes: "@" for everybody, "!" for nobody`},
		{name: "no mapping", lines: []string{`- get_port`}, err: `policy.yaml:1: the file is no mapping of names to rules; write lines as "get_port": "rule:admin_or_owner"`},
		{name: "remote", lines: []string{`get_port: "http://x/%(name)s"`}, err: `policy.yaml:1: get_port: rule "http://x/%(name)s": "http://x/%(name)s" asks another server, which is not supported; decide by role or attribute`},
		{name: "circle", lines: []string{`a: "rule:b"`, `b: "not rule:a"`}, err: "refers to itself; break the circle"},
		{name: "pattern", lines: []string{`get_port: "field:ports:name=~("`}, err: "the pattern cannot be read"},
		{name: "percent", lines: []string{`get_port: "user_id:%(user_id)"`}, err: "has a % that starts no attribute; write %(name)s, or %% for the sign itself"},
		{name: "two faults", lines: []string{`a: "x"`, `b: "y"`}, err: "policy.yaml:2: b:"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, _, err := New(lines(tc.lines...))
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("error %v\nwant …%s", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			s := e.Compile(tc.by)
			for a := range strings.FieldsSeq(tc.allowed) {
				if !s.Allows(a, Project("p")) {
					t.Errorf("%s is denied", a)
				}
			}
			for a := range strings.FieldsSeq(tc.denied) {
				if s.Allows(a, Project("p")) {
					t.Errorf("%s is allowed", a)
				}
			}
		})
	}
}

func TestNotices(t *testing.T) {
	_, got, err := New(lines(`get_prot: "rule:admin_only"`, `get_port: "rule:amdin_only"`, `get_port:name: "@"`))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"policy rule get_prot stands for nothing that Weft does, and no rule refers to it",
		"policy.yaml:2: get_port refers to rule:amdin_only, which is not defined; rule:default holds in its place",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestReadFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("policy.yaml", `create_network: "!"`)
	write("d/10.yaml", `create_network: "@"`)
	write("d/.hidden", `create_network: "!"`)
	files, err := ReadFiles(filepath.Join(dir, "policy.yaml"), []string{filepath.Join(dir, "d"), filepath.Join(dir, "none")})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 2 || !engine(t, Options{Files: files}).Compile(caller("p")).Allows("create_network", nil) {
		t.Errorf("%d files, and the later does not win", len(files))
	}
	if files, err = ReadFiles(filepath.Join(dir, "absent.yaml"), nil); err != nil || len(files) != 0 {
		t.Errorf("absent file: %v, %v", files, err)
	}
}

// TestCompileTellsCallersApart: whoever differs in anything that a rule can ask gets a Set of his own.
func TestCompileTellsCallersApart(t *testing.T) {
	e := engine(t, Options{})
	seen := map[*Set]int{}
	callers := []*identity.Caller{
		caller("p", "a"), caller("p", "b"), caller("q", "a"), caller("p", "a", "b"), caller("p", "ab"), caller("p"),
		{UserID: "v", ProjectID: "p", Roles: []string{"a"}}, {ProjectID: "p", Roles: []string{"a"}, Service: &identity.Service{Roles: []string{"s"}}},
		{ProjectID: "p", Roles: []string{"a"}}, {ProjectID: "p", Roles: []string{"a"}, IsAdmin: true}, {DomainID: "p", Roles: []string{"a"}},
	}
	for i, c := range callers {
		if j, ok := seen[e.Compile(c)]; ok {
			t.Errorf("callers %d and %d share a set", i, j)
		}
		seen[e.Compile(c)] = i
	}
	if len(seen) != len(callers) {
		t.Errorf("%d sets for %d callers: nobody's was handed out again", len(seen), len(callers))
	}
}

func TestCacheIsBounded(t *testing.T) {
	e := engine(t, lines(`context_is_admin: "role:admin"`))
	rs := e.now.Load()
	rs.keep = 8
	for i := range 20 {
		e.Compile(caller(fmt.Sprint(i)))
	}
	if len(rs.sets) != rs.keep {
		t.Errorf("%d sets, want %d", len(rs.sets), rs.keep)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "@", "role:admin or (not rule:x and project_id:%(project_id)s)", "field:a:b=~^x", "'a':%(b)s%%", "((((", "not not !"} {
		f.Add(s)
	}
	target := Attrs{"project_id": "p", "b": "a"}
	f.Fuzz(func(t *testing.T, rule string) {
		c, err := parse(rule)
		if (err == nil) != (c != nil) {
			t.Fatalf("check %v and error %v", c, err)
		}
		if err != nil {
			return
		}
		// A rule, printed and read again, is the same rule.
		again, err := parse(c.String())
		if err != nil {
			if strings.ContainsAny(rule, "()") {
				return // parentheses inside a check's text are taken off its ends when printed behind another
			}
			t.Fatalf("%q prints as %q: %v", rule, c.String(), err)
		}
		k := &compiler{engine: &ruleset{}, creds: creds{"project_id": {"p"}, "roles": {"admin"}}, done: map[string]check{}}
		if a, b := eval(k.fold(c), target), eval(k.fold(again), target); a != b {
			t.Errorf("%q: %v, printed and read again %v", rule, a, b)
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	e := engine(b, Options{})
	c := caller("p", "member", "reader")
	for b.Loop() {
		compile(e.now.Load(), c)
	}
}

func BenchmarkAllows(b *testing.B) {
	e := engine(b, Options{})
	c, t := caller("p", "member", "reader"), Attrs{"project_id": "p"}
	for b.Loop() {
		if !e.Compile(c).Allows("update_port", t) {
			b.Fatal("denied")
		}
	}
}
