package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []float64
		want   spread
	}{
		{"none", nil, spread{}},
		{"one", []float64{3}, spread{3, 3, 3, 1}},
		{"between two values", []float64{4, 1, 3, 2}, spread{2.5, 1.75, 3.25, 4}},
		{"one outlier moves no quartile", []float64{1, 2, 3, 4, 1000}, spread{3, 2, 4, 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, spreadOf(c.values)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Ratios are taken round by round: what disturbs both sides of a round cancels out.
func TestRatios(t *testing.T) {
	if diff := cmp.Diff([]float64{0.5, 0.5}, ratios([]float64{5, 1}, []float64{10, 2})); diff != "" {
		t.Error(diff)
	}
}

func TestChosen(t *testing.T) {
	all, err := chosen("")
	if err != nil || len(all) != len(sections) {
		t.Errorf("all: %v, %v", names(all), err)
	}
	two, err := chosen("ports,traffic")
	if diff := cmp.Diff([]string{"traffic", "ports"}, names(two)); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if _, err := chosen("trafic"); err == nil {
		t.Error("a section that is not there was taken")
	}
}

// What further ports cost is the ratio to the bare programs with them, divided by that without: a machine that is slower by then, and the bare
// programs with it, is no cost.
func TestCostOfFurtherPorts(t *testing.T) {
	at := func(bare, weft float64) []kindResult {
		ways := []way{{name: "bare"}, {name: "weft", against: "bare"}}
		return []kindResult{compared(ways, kinds[0], 1, map[string][]float64{"bare": {bare, bare}, "weft": {weft, weft}})}
	}
	var b strings.Builder
	printScale(&b, &labResult{Scale: &scaleResult{Ports: 1000, Before: at(10, 9), After: at(5, 4.05)}})
	if want := "stream: 90.0% of what it was before"; !strings.Contains(b.String(), want) {
		t.Errorf("it lacks %q:\n%s", want, b.String())
	}
}
