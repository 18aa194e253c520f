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
const anew = `record them anew (half an hour; needs Debian's neutron-server, see docs/api.md):
    rm test/differential/testdata/refusals.gz; scripts/deps neutron
    WEFT_TEST_NEUTRON=1 WEFT_TEST_NEUTRON_RECORD=testdata/refusals.gz go test -v -timeout 2h -run 'TestRefusals$' ./test/differential`

// unlike says how the requests that a resource gives are others than those that were recorded. An attribute that is new, or of which
// clients may do something else since, brings requests that nobody has asked Neutron: they are counted, and that is news. Anything else that
// changes the requests is a fault. Both are empty where nothing changes.
func (r *recording) unlike(d api.Description, seed uint64, all []request) (fault, news string) {
	if r == nil {
		return "", fmt.Sprintf("what Neutron says of %s was not recorded (%d requests)", d.Path, len(all))
	}
	changed := r.changed(d)
	lost := len(r.Attributes) > len(d.Attributes) // others are wrong together then
	left := map[string]int{}
	for _, a := range r.Answers {
		left[a.Request]++
	}
	asked, gone, strange := 0, 0, ""
	for _, q := range all {
		if !among(q, seed, r.Share) {
			continue
		}
		if left[q.String()]--; left[q.String()] >= 0 {
			continue
		}
		asked++
		if !lost && !slices.ContainsFunc(changed, q.mentions) {
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
		return fmt.Sprintf("of the requests of %s %d are not among those that were recorded, and %d recorded ones are not sent any more, for one:\n    %s", d.Path, asked, gone, strange), ""
	case changed != nil:
		return "", fmt.Sprintf("%d requests of %s, because of the attributes %s, which are others since Neutron's answers were recorded", asked, d.Path, strings.Join(changed, ", "))
	}
	return "", ""
}

// changed are the names of attributes that are not as they were.
func (r *recording) changed(d api.Description) []string {
	now := attributes(d)
	var out []string
	for _, a := range slices.Concat(now, r.Attributes) {
		name, _, _ := strings.Cut(a, " ")
		if slices.Contains(now, a) != slices.Contains(r.Attributes, a) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
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
