package ebpf

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// Every program loads, with all switches off as on a real host; how many instructions it has, and how many the verifier
// walked, is kept, so that a change in cost is seen.
func TestInstructions(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: BPF programs are loaded")
	}
	coll, err := load(options{})
	if err != nil {
		t.Fatalf("%+v", err)
	}
	defer coll.Close()
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(coll.Programs)) {
		info, err := coll.Programs[name].Info()
		if err != nil {
			t.Fatal(err)
		}
		n, _ := info.VerifiedInstructions()
		ins, err := info.Instructions()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%-14s %6d instructions, %7d walked by this kernel's verifier", name, len(ins), n)
		if n > 500_000 {
			t.Errorf("%s: the verifier walks %d instructions, of 1,000,000 that it may", name, n)
		}
	}
	spec, err := loadWeft()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Programs)) {
		lines = append(lines, fmt.Sprintf("%-14s %6d", name, len(spec.Programs[name].Instructions)))
	}
	got := strings.Join(lines, "\n") + "\n"
	const golden = "testdata/instructions.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("instructions per program changed (-want +got); go test -update accepts:\n%s", diff)
	}
}
