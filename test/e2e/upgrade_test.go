package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// otherBuild builds the binary as a later release may be: the maps of its data plane have another layout.
func otherBuild(t *testing.T) string {
	t.Helper()
	plane, err := filepath.Abs("../../internal/dataplane/ebpf")
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(plane, "weft_bpfel.o"): filepath.Join(plane, "next_bpfel_test.o")}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	overlay, path := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "weft")
	if err := os.WriteFile(overlay, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := output(exec.Command("go", "build", "-overlay", overlay, "-o", path, "../../cmd/weft")); err != nil {
		t.Fatal(err)
	}
	return path
}

// installed is a copy of the binary under test that an upgrade may replace; the test uses it from now on.
func installed(t *testing.T) (replace func(by string)) {
	t.Helper()
	own := binary()
	path := filepath.Join(t.TempDir(), "weft")
	replace = func(by string) {
		t.Helper()
		if by == "" {
			by = own
		}
		b, err := os.ReadFile(by)
		if err == nil {
			err = os.WriteFile(path+".new", b, 0o755) //nolint:gosec // a program
		}
		if err == nil {
			err = os.Rename(path+".new", path)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	replace("")
	t.Setenv(binaryEnv, path)
	return replace
}

// layout is the directory of a host's pinned maps; there is one once a takeover is through.
func layout(t *testing.T, host string) (dir string) {
	t.Helper()
	eventually(t, func() string {
		found, err := filepath.Glob("/sys/fs/bpf/weft-lab/" + host + "/v*")
		if err != nil || len(found) != 1 {
			return "pinned maps of " + host + " are not of one layout"
		}
		dir = found[0]
		return ""
	})
	return dir
}
