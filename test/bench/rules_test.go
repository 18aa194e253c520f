package main

import (
	"context"
	"os"
	"testing"
)

// The packets that are measured arrive, for each count, and each value is a time.
func TestPolicyCosts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: BPF programs are loaded as root only")
	}
	var r labResult
	if err := policyCosts(context.Background(), nil, options{pairs: 3}, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Policies) != 4*len(policyCounts) {
		t.Fatalf("%d results", len(r.Policies))
	}
	for _, c := range r.Policies {
		t.Logf("%s %5d %-8s established %4.0f ns, decided %4.0f ns", c.Family, c.Count, c.Of, c.Established.Median, c.Decided.Median)
		if c.Established.Median <= 0 || c.Decided.Median <= 0 {
			t.Errorf("%+v", c)
		}
	}
}
