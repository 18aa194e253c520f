package policy

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/server/identity"
)

// question is put to oslo.policy and to this package.
type question struct {
	Rules  map[string]any    `json:"rules"`
	Rule   string            `json:"rule"`
	Target map[string]string `json:"target"`
	Creds  map[string]any    `json:"creds"`
}

// askOslo runs testdata/oslo.py, or skips the test where oslo.policy is not installed (Debian: python3-oslo.policy).
func askOslo(t *testing.T, modules string, in, out any) {
	t.Helper()
	askScript(t, "oslo.py", modules, in, out)
}

// askScript runs a script of testdata, or skips the test where the modules that it needs are not installed.
func askScript(t *testing.T, script, modules string, in, out any) {
	t.Helper()
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import "+modules).Run(); err != nil {
		t.Skipf("%s cannot be imported by %s; nothing to compare with", modules, python)
	}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-B", "testdata/"+script)
	cmd.Stdin = bytes.NewReader(b)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	answer, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, stderr.String())
	}
	if err := json.Unmarshal(answer, out); err != nil {
		t.Fatal(err)
	}
}

// caller and its creds, as Neutron's context would give them.
func testCaller(project string, roles ...string) (*identity.Caller, map[string]any) {
	c := &identity.Caller{UserID: "u1", UserName: "ann", ProjectID: project, ProjectName: "pn", UserDomainID: "d1", Roles: roles, IsAdminProject: true}
	return c, map[string]any{
		"user_id": "u1", "user_name": "ann", "user_domain_id": "d1", "project_id": project, "tenant_id": project, "project_name": "pn",
		"roles": roles, "is_admin": false, "is_admin_project": true,
	}
}

// answer is what this package says to a question. Rules that cannot be read deny, as with oslo.policy; New refuses them.
func answer(q question, c *identity.Caller) bool {
	e := &ruleset{rules: map[string]rule{}, defaultRule: "default", newOnly: true, keep: 1, sets: map[string]*Set{}}
	for name, r := range q.Rules {
		var k check
		var err error
		switch r := r.(type) {
		case string:
			k, err = parse(r)
		case []any:
			k, err = parseList(r)
		}
		if err != nil {
			k = always(false)
		}
		e.rules[name] = rule{check: k}
	}
	return e.compile(c).Allows(q.Rule, Attrs(q.Target))
}

func TestAgainstOsloPolicy(t *testing.T) {
	rules := []any{
		"", "@", "!", "role:admin", "role:MEMBER", "role:%(r)s", "not role:admin", "not not role:member", "(role:member)", "((role:member) )",
		"role:admin or role:member and !", "role:member and ! or @", "(role:admin or role:member) and !", "not role:admin and role:member",
		"role:member or not role:member and !", "rule:a and rule:b", "rule:none", "rule:default", "project_id:%(project_id)s", "project_id:%(nope)s",
		"tenant_id:%(project_id)s", "user_id:%(owner)s", "user_id:u1", "user_id:u2", "roles:member", "roles:admin", "True:%(flag)s", "False:%(flag)s",
		"None:None", "'x':%(x)s", `"x":%(x)s`, "5:5", "is_admin:True", "is_admin:False", "is_admin_project:True", "nothing:x", "user_id:%%", "'%':%%",
		"field:networks:shared=True", "field:networks:shared=False", "field:port:device_owner=~^network:", "field:port:device_owner=~work", "field:x:nope=1",
		"role:admin AND @", "role:admin Or @", "NOT @", "role:member and", "or @", "(role:member", "role:member)", "role:member role:admin", "@ and ( @", "()",
		"(not field:x:a=* and not field:x:b=*) or role:admin", "  ", " @ ",
		[]any{}, []any{[]any{}}, []any{"role:admin", "role:member"}, []any{[]any{"role:admin", "role:member"}}, []any{[]any{"role:member", "@"}, "!"}, []any{""}, []any{"!"},
	}
	target := map[string]string{"project_id": "p1", "owner": "u1", "flag": "True", "x": "x", "r": "Member", "shared": "True", "device_owner": "network:dhcp", "a": "*"}
	caller, creds := testCaller("p1", "Member", "reader")
	var qs []question
	for _, r := range rules {
		qs = append(qs, question{Rules: map[string]any{"it": r, "a": "role:member", "b": "@", "default": "role:reader", "context_is_admin": "!"}, Rule: "it", Target: target, Creds: creds})
	}
	qs = append(qs, question{Rules: map[string]any{"default": "@"}, Rule: "missing", Target: target, Creds: creds})
	for i := range 400 {
		r := expressions().Example(i)
		qs = append(qs, question{Rules: map[string]any{"it": r, "a": "role:member", "b": "role:nobody or !", "default": "role:reader", "context_is_admin": "!"}, Rule: "it", Target: target, Creds: creds})
	}
	var want []bool
	askOslo(t, "oslo_policy.policy", qs, &want)
	yes := 0
	for i, q := range qs {
		if got := answer(q, caller); got != want[i] {
			t.Errorf("rule %q: %v, oslo.policy says %v", q.Rules["it"], got, want[i])
		}
		if want[i] {
			yes++
		}
	}
	if yes < len(qs)/10 || yes > len(qs)*9/10 {
		t.Errorf("%d of %d questions answered yes: they prove little", yes, len(qs))
	}
}

// expressions makes rules of tokens in an order that is mostly, not always, a sentence of the language.
func expressions() *rapid.Generator[string] {
	leaf := rapid.SampledFrom([]string{"role:member", "role:admin", "@", "!", "rule:a", "rule:b", "project_id:%(project_id)s", "user_id:%(nope)s", "rule:none"})
	var rec func(depth int) *rapid.Generator[string]
	rec = func(depth int) *rapid.Generator[string] {
		return rapid.Custom(func(t *rapid.T) string {
			n := rapid.IntRange(0, 6).Draw(t, "kind")
			if depth == 0 {
				n = 0
			}
			switch n {
			case 1, 2:
				return rec(depth-1).Draw(t, "l") + " and " + rec(depth-1).Draw(t, "r")
			case 3, 4:
				return rec(depth-1).Draw(t, "l") + " or " + rec(depth-1).Draw(t, "r")
			case 5:
				return "not " + rec(depth-1).Draw(t, "n")
			case 6:
				return "(" + rec(depth-1).Draw(t, "p") + rapid.SampledFrom([]string{")", ")", ")", ")", ")", ")", ")", "", "))"}).Draw(t, "end")
			}
			return leaf.Draw(t, "leaf")
		})
	}
	return rec(4)
}

// later are rules of Neutron's that its Zed release does not have yet.
var later = map[string]bool{
	"create_default_security_group_rule": true, "get_default_security_group_rule": true, "delete_default_security_group_rule": true, // 2023.2
	"create_port:hints": true, "get_port:hints": true, "update_port:hints": true, // 2023.2
}
