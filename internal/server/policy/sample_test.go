package policy

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSampleChangesNothing: with every line uncommented the rules are those of enforce_new_defaults.
func TestSampleChangesNothing(t *testing.T) {
	var b bytes.Buffer
	if err := WriteSample(&b); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(b.String(), "\n#\"", "\n\"")
	file := File{Name: "sample", Text: []byte(text)}
	rules := func(opts Options) map[string]string {
		m := map[string]string{}
		for n, r := range engine(t, opts).now.Load().rules {
			m[n] = r.check.String()
		}
		return m
	}
	want := rules(Options{EnforceNewDefaults: true})
	if d := cmp.Diff(want, rules(Options{Files: []File{file}})); d != "" || len(want) < 250 {
		t.Errorf("%d rules; %s", len(want), d)
	}
}
