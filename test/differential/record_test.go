package differential

import (
	"bufio"
	"encoding/json"
	"os"
	"testing"
)

// record is what Neutron answered in a run before, by request. With it a change of Weft can be compared again in seconds, without
// Neutron, which takes minutes.
type record struct {
	path  string
	known map[string]told
}

// told is one answer as it is kept: what is compared of it, in common names.
type told struct {
	Request       string
	Status        int
	Type, Message string
}

// readRecord reads a file of answers; ok is false where there is none yet.
func readRecord(t *testing.T, path string) (r *record, ok bool) {
	t.Helper()
	r = &record{path, map[string]told{}}
	f, err := os.Open(path)
	if err != nil {
		return r, false
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var a told
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		r.known[a.Request] = a
	}
	return r, true
}

// answer is what was recorded for a request; nil if it was not sent then.
func (r *record) answer(q request) *answer {
	a, ok := r.known[q.String()]
	if !ok {
		return nil
	}
	return &answer{status: a.Status, text: a.Message, body: object{"NeutronError": object{"type": a.Type, "message": a.Message}}}
}

// add appends answers to the file.
func (r *record) add(t *testing.T, answers []told) {
	t.Helper()
	f, err := os.OpenFile(r.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	e := json.NewEncoder(f)
	for _, a := range answers {
		if err := e.Encode(a); err != nil {
			t.Fatal(err)
		}
	}
}
