package differential

import (
	"cmp"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/weft-cloud/weft/internal/server/api"
)

// TestRecordedRefusals compares with what Neutron answered when TestRefusals was last recorded (testdata/refusals.gz, or
// WEFT_TEST_NEUTRON_REPLAY), and needs no Neutron. It fails at a difference that deliberate does not explain, and if the requests are others than
// those recorded.
func TestRecordedRefusals(t *testing.T) {
	recorded := readRecord(t, cmp.Or(os.Getenv("WEFT_TEST_NEUTRON_REPLAY"), "testdata/refusals.gz"))
	p, s := startWeft(t)
	m := &matrix{p: p, play: recorded, share: setting("WEFT_TEST_NEUTRON_SHARE", 100), seed: uint64(setting("WEFT_TEST_NEUTRON_SEED", 1))}
	if testing.Short() {
		m.share = min(m.share, shortShare)
	}
	m.run(t, s)
	for path := range recorded {
		if !m.seen[path] {
			t.Errorf("%s was recorded, and is not compared any more; %s", path, anew)
		}
	}
}

// shortShare is how many percent of the requests are compared with -short.
const shortShare = 10

// TestUnlike: a record fits what it was made of, a new attribute is told, and other requests than the recorded ones are a fault.
func TestUnlike(t *testing.T) {
	is := func(names ...string) (api.Description, []request) {
		d := api.Description{Path: "things", Name: "thing", Plural: "things"}
		for _, name := range names {
			d.Attributes = append(d.Attributes, api.AttributeDescription{Name: name, Post: true, Put: true})
		}
		w := &cloud{by: map[string]sample{"things": {path: "things", send: object{"name": "x"}}}}
		return d, newCases(w, d, 1).all()
	}
	d, all := is("name", "kind", "size")
	r := &recording{Path: d.Path, Attributes: attributes(d), Share: 100}
	for _, q := range all {
		r.Answers = append(r.Answers, told{Request: q.String()})
	}
	for _, c := range []struct {
		what        string
		attributes  []string
		drop, add   bool
		fault, news bool
	}{
		{"the same", []string{"name", "kind", "size"}, false, false, false, false},
		{"a new attribute", []string{"name", "kind", "size", "colour"}, false, false, false, true},
		{"an attribute less", []string{"name", "kind"}, false, false, false, true},
		{"a request less", []string{"name", "kind", "size"}, true, false, true, false},
		{"a request more", []string{"name", "kind", "size"}, false, true, true, false},
		{"a request more beside a new attribute", []string{"name", "kind", "size", "colour"}, false, true, true, false},
	} {
		d, all := is(c.attributes...)
		if c.drop {
			all = slices.Delete(all, 3, 4)
		}
		if c.add {
			all = append(all, request{who: "admin", method: "PUT", path: "/things/x"})
		}
		if fault, news := r.unlike(d, 1, all); (fault != "") != c.fault || (news != "") != c.news {
			t.Errorf("%s: fault %q, news %q", c.what, fault, news)
		}
	}
}

// TestRefuses: a refusal is a fault of the client's, in the form that faults have, and nothing else.
func TestRefuses(t *testing.T) {
	for _, c := range []struct {
		status int
		text   string
		want   bool
	}{
		{400, `{"NeutronError": {"type": "HTTPBadRequest", "message": "no", "detail": ""}}`, true},
		{401, `{"error": {"code": 401, "title": "Unauthorized", "message": "no"}}`, true},
		{500, `{"NeutronError": {"type": "HTTPInternalServerError", "message": "no", "detail": ""}}`, false},
		{200, `{"network": {}}`, false},
		{302, ``, false},
		{400, `{"NeutronError": {"type": "", "message": "no", "detail": ""}}`, false},
		{400, `{"NeutronError": {"type": "HTTPBadRequest", "message": "", "detail": ""}}`, false},
		{404, `{"error": {"code": 404, "title": "Not Found", "message": "no"}}`, false},
		{404, `404 page not found`, false},
	} {
		a := &answer{status: c.status, text: c.text}
		_ = json.Unmarshal([]byte(c.text), &a.body) // nil says it
		if a.refuses() != c.want {
			t.Errorf("%d %s: %t", c.status, c.text, !c.want)
		}
	}
}
