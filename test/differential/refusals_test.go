package differential

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weft-cloud/weft/internal/server/api"
	"github.com/weft-cloud/weft/test/rig"
)

// TestRefusals sends both servers the requests that should be refused (refusalcases_test.go), resource by resource, and compares status,
// type and message. Each resource is a test of its own: -run 'TestRefusals/ports$' is one. It fails at a difference that deliberate
// does not explain, and prints which of those explanations nothing needed.
//
// WEFT_TEST_NEUTRON_SHARE is how many percent of the requests are sent (default 100), WEFT_TEST_NEUTRON_SEED chooses which, and which
// attributes are wrong together. WEFT_TEST_NEUTRON_RECORD is a file to which Neutron's answers are added, for TestRecordedRefusals.
func TestRefusals(t *testing.T) {
	p, s := startBoth(t)
	m := &matrix{p: p, share: setting("WEFT_TEST_NEUTRON_SHARE", 100), seed: uint64(setting("WEFT_TEST_NEUTRON_SEED", 1))}
	m.run(t, s)
}

// run compares all resources.
func (m *matrix) run(t *testing.T, s *rig.Server) {
	m.meet(t, s)
	w := newWorld(t, m)
	for _, d := range described() {
		t.Run(strings.NewReplacer("/", "|", "{", "", "}", "").Replace(d.Path), func(t *testing.T) {
			m.resource(t, w, d)
		})
	}
	t.Logf("%d requests to each; %d of them Neutron answered with a fault of its own", m.sent, m.faulty)
	for _, d := range deliberate {
		if !m.needed[d.what.String()] {
			t.Logf("not needed here: %s (%s)", d.what, d.reason)
		}
	}
}

// meet makes the people who ask, and names their projects.
func (m *matrix) meet(t *testing.T, s *rig.Server) {
	m.seen = map[string]bool{}
	g := &generator{r: rand.New(rand.NewPCG(m.seed, 0))}
	m.headers = newPeople(t, s).episode(g)
	m.headers["nobody"] = http.Header{}
	for i, project := range g.projects {
		for side := range m.p.names {
			m.p.names[side].bind([]string{"PROJECT", "OTHER"}[i], project)
		}
	}
}

// later are resources that Neutron has since other releases only.
var later = []string{"default-security-group-rules"}

// matrix compares how the two servers refuse.
type matrix struct {
	p            *pair
	headers      map[string]http.Header
	play         record // where Neutron's answers come from, if not from it
	share        int
	seed         uint64
	sent, faulty int
	needed       map[string]bool // patterns of deliberate
	seen         map[string]bool // paths of resources
}

// group is one difference, however often it was found.
type group struct {
	count         int
	first         request
	weft, neutron *answer
}

// resource sends all of a resource's requests and reports what differed.
func (m *matrix) resource(t *testing.T, w *cloud, d api.Description) {
	m.seen[d.Path] = true
	all := newCases(w, d, m.seed).all()
	recorded := m.play[d.Path]
	if m.play != nil {
		fault, news := recorded.unlike(d, m.seed, all)
		if fault != "" {
			t.Errorf("%s\n%s", fault, anew)
		}
		if news != "" {
			t.Logf("NOT COMPARED: %s; %s", news, anew)
		}
	}
	found := map[string]*group{}
	sent, written := m.sent, &recording{Path: d.Path, Attributes: attributes(d), Share: m.share}
	for _, q := range all {
		if !among(q, m.seed, m.share) {
			continue
		}
		a, ok := m.ask(t, q, recorded)
		if !ok {
			continue
		}
		written.Answers = append(written.Answers, told{q.String(), a[1].status, a[1].fault(), m.words(1, a[1])})
		if what := m.difference(q, a); what != "" {
			if found[what] == nil {
				found[what] = &group{first: q, weft: a[0], neutron: a[1]}
			}
			found[what].count++
		}
		w.undo(t, d, q, a)
	}
	if path := os.Getenv("WEFT_TEST_NEUTRON_RECORD"); path != "" && m.play == nil {
		written.add(t, path)
	}
	total := 0
	for _, what := range slices.SortedFunc(maps.Keys(found), func(a, b string) int {
		return cmp.Or(found[b].count-found[a].count, strings.Compare(a, b))
	}) {
		g := found[what]
		total += g.count
		t.Errorf("%d times %s\n  %s\n  Weft:    %d %.400s\n  Neutron: %d %.400s", g.count, what, g.first, g.weft.status, g.weft.text, g.neutron.status, g.neutron.text)
	}
	t.Logf("%s: %d of %d requests, %d answers differ, in %d ways", d.Path, m.sent-sent, len(all), total, len(found))
}

// among reports whether a request is of a share.
func among(q request, seed uint64, percent int) bool { return chance(seed, 100, "share", q) < percent }

// ask sends a request to both, or to Weft, and takes Neutron's answer from the record; ok is false where that has none.
func (m *matrix) ask(t *testing.T, q request, recorded *recording) (a [2]*answer, ok bool) {
	t.Helper()
	if m.play == nil {
		return m.both(t, q), true
	}
	n := recorded.answer(q)
	if n == nil {
		return a, false
	}
	a = m.both(t, q)
	a[1] = n
	return a, true
}

// both sends a request to both; Neutron's answer is nil if it is not there.
func (m *matrix) both(t *testing.T, q request) [2]*answer {
	t.Helper()
	var a [2]*answer
	for i := range a {
		if i == 1 && m.play != nil {
			break
		}
		var err error
		if a[i], err = m.p.send(i, q, m.headers[q.who]); err != nil {
			t.Fatalf("%s: %s: %v", []string{"Weft", "Neutron"}[i], q, err)
		}
	}
	m.sent++
	return a
}

// difference says what differs between two answers, without what is of this request alone; "" if nothing does, or deliberately.
func (m *matrix) difference(q request, a [2]*answer) string {
	w, n := a[0], a[1]
	what := q.method + " " + shape(q.path) + ": "
	if n.status >= 500 {
		m.faulty++
	}
	switch done := w.status < 300; {
	case !done && !w.refuses() && q.method != http.MethodHead: // for which there is no reason
		return what + fmt.Sprintf("no refusal: %d %q", w.status, w.text)
	case n.status >= 500:
		if !done {
			return ""
		}
		what += fmt.Sprintf("status %d %s / %d", w.status, w.fault(), n.status)
	case w.status != n.status && (done || n.status < 300):
		what += fmt.Sprintf("status %d %s / %d %s", w.status, w.fault(), n.status, n.fault())
	case done:
		return ""
	case w.status != n.status || w.fault() != n.fault():
		what += fmt.Sprintf("%d %s / %d %s", w.status, w.fault(), n.status, n.fault())
	default:
		ours, theirs := m.words(0, w), m.words(1, n)
		if ours == theirs {
			return ""
		}
		what += fmt.Sprintf("%d %s: %q / %q", w.status, w.fault(), ours, theirs)
	}
	if reason, pattern := meant(what, q, w, n); reason != "" {
		m.note(pattern)
		return ""
	}
	return quoted.ReplaceAllString(what, "'…'")
}

// refuses reports whether an answer finds fault with the request, in the form that all faults have, which a HEAD alone does not show.
func (a *answer) refuses() bool {
	o, _ := a.body.(object)
	form := "NeutronError"
	if a.status == http.StatusUnauthorized {
		form = "error"
	}
	return a.status >= 400 && a.status < 500 && len(o) == 1 && o[form] != nil && a.fault() != "" && strings.TrimSpace(a.message()) != ""
}

func (m *matrix) note(pattern string) {
	if m.needed == nil {
		m.needed = map[string]bool{}
	}
	m.needed[pattern] = true
}

var (
	// quoted is what a message repeats of the request: messages that differ in that alone are one group.
	quoted = regexp.MustCompile(`'[^']*'`)
	// own are values that a server made for itself and that no name is known for.
	own = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|([0-9a-f]{2}:){5}[0-9a-f]{2}`)
)

// words is a message in common names.
func (m *matrix) words(side int, a *answer) string {
	return own.ReplaceAllString(swap(m.p.names[side].name, sortedNames(a.message())), "OWN")
}

// set is a set of names as Python writes it.
var set = regexp.MustCompile(`\{'\w+'(, '\w+')*\}`)

// unrecognized is a message with a list whose order is by chance in Neutron (a set's).
var unrecognized = regexp.MustCompile(`^(Unrecognized attribute\(s\) ')([^']*)('.*)$`)

// sortedNames is a message with its list of attributes in order.
func sortedNames(message string) string {
	message = set.ReplaceAllStringFunc(message, func(s string) string {
		names := strings.Split(strings.Trim(s, "{}"), ", ")
		slices.Sort(names)
		return "{" + strings.Join(names, ", ") + "}"
	})
	p := unrecognized.FindStringSubmatch(message)
	if p == nil {
		return message
	}
	names := strings.Split(p[2], ", ")
	slices.Sort(names)
	return p[1] + strings.Join(names, ", ") + p[3]
}
