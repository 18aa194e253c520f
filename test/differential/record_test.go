package differential

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/weft-cloud/weft/internal/server/api"
)

// record is what Neutron answered once, by resource.
type record map[string]*recording

// recording is what Neutron answered to one resource's requests, in the order in which they were sent.
type recording struct {
	Path string
	// Attributes are those that the API described then, as attributes writes them.
	Attributes []string
	// Share is of how many percent of the requests there are answers.
	Share   int
	Answers []told
	// next are the answers that were not yet given, by request.
	next map[string][]told
}

// told is one answer as it is kept: what is compared of it, in common names.
type told struct {
	Request       string
	Status        int
	Type, Message string
}

// attributes are a resource's attributes with what clients may do with each.
func attributes(d api.Description) []string {
	out := make([]string, len(d.Attributes))
	for i, a := range d.Attributes {
		out[i] = fmt.Sprintf("%s %t %t %t", a.Name, a.Post, a.Put, a.Required)
	}
	return out
}

// readRecord reads a file that add wrote; of a resource that it has twice, what was written last.
func readRecord(t *testing.T, path string) record {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	out := record{}
	for d := json.NewDecoder(z); ; {
		r := &recording{Share: 100, next: map[string][]told{}}
		if err := d.Decode(r); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, a := range r.Answers {
			r.next[a.Request] = append(r.next[a.Request], a)
		}
		out[r.Path] = r
	}
}

// answer is what Neutron said to a request, each time that it was sent; nil if it was not.
func (r *recording) answer(q request) *answer {
	if r == nil {
		return nil
	}
	left := r.next[q.String()]
	if len(left) == 0 {
		return nil
	}
	a := left[0]
	r.next[q.String()] = left[1:]
	out := &answer{status: a.Status, text: a.Message}
	if a.Type != "" {
		out.body = object{"NeutronError": object{"type": a.Type, "message": a.Message}}
	}
	return out
}

// anew is how the answers are recorded anew.
const anew = `record them anew (20 minutes; needs Debian's neutron-server, see docs/api.md):
    rm test/differential/testdata/refusals.gz; scripts/deps neutron
    WEFT_TEST_NEUTRON=1 WEFT_TEST_NEUTRON_RECORD=testdata/refusals.gz go test -v -timeout 2h -run 'TestRefusals$' ./test/differential`

// fits tests that the requests which a resource gives are those that were recorded. An attribute that is new, or of which clients
// may do something else since, brings requests that nobody has asked Neutron: they are counted and told, and nothing fails. Anything else that changes the requests does.
func (r *recording) fits(t *testing.T, d api.Description, seed uint64, all []request) {
	t.Helper()
	if r == nil {
		t.Logf("NOT COMPARED: what Neutron says of %s was not recorded (%d requests); %s", d.Path, len(all), anew)
		return
	}
	all = slices.DeleteFunc(slices.Clone(all), func(q request) bool { return !among(q, seed, r.Share) })
	now := attributes(d)
	var changed []string
	for _, a := range slices.Concat(now, r.Attributes) {
		name, _, _ := strings.Cut(a, " ")
		if slices.Contains(now, a) != slices.Contains(r.Attributes, a) && !slices.Contains(changed, name) {
			changed = append(changed, name)
		}
	}
	left := map[string]int{}
	for _, a := range r.Answers {
		left[a.Request]++
	}
	news, gone, strange := 0, 0, ""
	for _, q := range all {
		if left[q.String()]--; left[q.String()] >= 0 {
			continue
		}
		news++
		if !slices.ContainsFunc(changed, q.mentions) {
			strange = q.String()
		}
	}
	for q, n := range left {
		if gone += max(n, 0); n > 0 && changed == nil {
			strange = q
		}
	}
	switch {
	case strange != "":
		t.Errorf("of the requests of %s %d are not among those that were recorded, and %d recorded ones are not sent any more, for one:\n    %s\n%s", d.Path, news, gone, strange, anew)
	case changed != nil:
		t.Logf("NOT COMPARED: %d requests of %s, because of the attributes %s, which are others since Neutron's answers were recorded; %s", news, d.Path, strings.Join(changed, ", "), anew)
	}
}

// mentions reports whether a request is about an attribute.
func (r request) mentions(attribute string) bool {
	text := r.String()
	return strings.Contains(text, `"`+attribute+`"`) || strings.Contains(text, "?"+attribute+"=") || strings.Contains(text, "="+attribute+"&")
}

// add appends what was recorded to a file.
func (r *recording) add(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	e := json.NewEncoder(z)
	e.SetEscapeHTML(false)
	if err := errors.Join(e.Encode(r), z.Close()); err != nil {
		t.Fatal(err)
	}
}
