package dptest

import (
	"fmt"
	"testing"
)

// With as many shares as kinds of wire, each share has every case once, the shares together have it with every kind, and no kind of any
// share lacks a place or a family.
func TestShares(t *testing.T) {
	const n = 4
	type run struct {
		name string
		kind int
	}
	all, cases := map[run]int{}, Cases()
	for k := 1; k <= n; k++ {
		s, err := ParseShare(fmt.Sprintf("%d/%d", k, n))
		if err != nil {
			t.Fatal(err)
		}
		once := map[string]int{}
		for kind := range n {
			in := map[place]int{}
			size := 0
			for _, c := range cases {
				if !s.takes(c.Name, kind) {
					continue
				}
				size++
				once[c.Name]++
				all[run{c.Name, kind}]++
				if _, p, ok := placed(c.Name); ok {
					in[p]++
				}
			}
			for _, p := range places() {
				if in[p] < 20 {
					t.Errorf("share %s, kind %d: %d cases %s", s, kind, in[p], p.title(""))
				}
			}
			if part := len(cases) / n; size < part*3/4 || size > part*5/4 {
				t.Errorf("share %s, kind %d: %d of %d cases", s, kind, size, len(cases))
			}
		}
		for _, c := range cases {
			if once[c.Name] != 1 {
				t.Errorf("share %s has %q %d times", s, c.Name, once[c.Name])
			}
		}
	}
	for _, c := range cases {
		for kind := range n {
			if all[run{c.Name, kind}] != 1 {
				t.Errorf("%q is %d times with kind %d", c.Name, all[run{c.Name, kind}], kind)
			}
		}
	}
}

func TestParseShare(t *testing.T) {
	whole, err := ParseShare("")
	if err != nil || !whole.takes("anything", 3) {
		t.Errorf("the whole: %v", err)
	}
	for _, text := range []string{"0/4", "5/4", "1", "1/", "a/b", "1/4x", "-1/4", "1/0"} {
		if s, err := ParseShare(text); err == nil {
			t.Errorf("%q is taken as %s", text, s)
		}
	}
}
