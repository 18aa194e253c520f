package e2e

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// state is what the lab must leave as it found it, each a sorted list of lines.
type state map[string][]string

// snapshot looks at the whole machine, which here is the tests' own.
func snapshot(t *testing.T) state {
	t.Helper()
	return state{
		"named namespaces":  lines(t, "ip", "netns", "list"),
		"links":             lines(t, "sh", "-c", "ip -o -d link show | sed 's/qlen.*//'"),
		"addresses, routes": lines(t, "sh", "-c", "ip -o address; ip route; ip -6 route"),
		"qdiscs":            lines(t, "tc", "qdisc", "show"),
		"filters":           lines(t, "bpftool", "net", "show"),
		"listeners":         lines(t, "ss", "-lntuH"),
		"mounts":            lines(t, "sh", "-c", "cut -d' ' -f5 /proc/self/mountinfo"),
		"processes":         processes(t),
		"namespaces in use": namespaces(t),
		"pinned objects":    files(t, "/sys/fs/bpf"),
		"files":             append(files(t, "/run"), files(t, "/var/lib", "weft")...),
	}
}

// after waits until everything is as before: the kernel removes namespaces a moment after their last process.
func after(t *testing.T, before state) {
	t.Helper()
	var diff string
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if diff = cmp.Diff(before, snapshot(t)); diff == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the machine is not as it was (-before +after):\n%s", diff)
		}
	}
}

func lines(t *testing.T, name string, args ...string) []string {
	t.Helper()
	out, err := output(exec.Command(name, args...))
	if err != nil {
		t.Fatal(err)
	}
	var l []string
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); line != "" {
			l = append(l, line)
		}
	}
	slices.Sort(l)
	return l
}

// processes lists the commands of all processes but this one and its short-lived children: zombies, which the first
// process of the namespace (this one) would have to collect, do not count.
func processes(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, pid := range pids(t) {
		b, err := os.ReadFile("/proc/" + pid + "/cmdline")
		if err == nil && len(b) > 0 && pid != "1" {
			out = append(out, strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	slices.Sort(out)
	return out
}

// namespaces are the network namespaces that any process is in, but for those of zombies.
func namespaces(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, pid := range pids(t) {
		if ns, err := os.Readlink("/proc/" + pid + "/ns/net"); err == nil && !slices.Contains(out, ns) {
			out = append(out, ns)
		}
	}
	slices.Sort(out)
	return out
}

func pids(t *testing.T) []string {
	t.Helper()
	ents, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range ents {
		if _, err := strconv.Atoi(e.Name()); err == nil {
			out = append(out, e.Name())
		}
	}
	return out
}

// files lists what is under root; with a prefix only entries of root that begin so.
func files(t *testing.T, root string, prefix ...string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if len(prefix) > 0 && path != root && filepath.Dir(path) == root && !strings.HasPrefix(d.Name(), prefix[0]) {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		out = append(out, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
