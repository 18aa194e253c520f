// Package direction keeps the architecture: which package may import which. The rules are those of docs/architecture.md.
package direction

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/weft-cloud/weft/"

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

// rule says what packages below a path must not import, directly or through others.
type rule struct {
	from string
	not  []string
	why  string
}

var rules = []rule{
	{"internal/model", []string{"internal/"}, "model is the language of all and knows nobody"},
	{"internal/model", []string{"github.com/", "golang.org/", "google.golang.org/"}, "model needs the standard library only"},
	{"internal/hostplan", []string{"internal/server", "internal/agent", "internal/dataplane/ebpf", "internal/dataplane/ovs", "internal/linux", "internal/wire", "log/slog", "os", "net/http", "time"}, "hostplan is pure"},
	{"internal/forward", []string{"internal/server", "internal/agent", "internal/dataplane/ebpf", "internal/dataplane/ovs", "internal/linux", "internal/wire", "log/slog", "net/http"}, "forward is pure"},
	{"internal/server/rules", []string{"net/http", "google.golang.org/grpc", "database/sql", "internal/server/api", "internal/dataplane/ebpf", "internal/agent"}, "rules know no HTTP, gRPC, SQL or data plane"},
	{"internal/server/world", []string{"net/http", "google.golang.org/grpc", "internal/server/api", "internal/server/rules"}, "world knows objects only"},
	{"internal/server", []string{"internal/agent", "internal/dataplane/ebpf", "internal/dataplane/ovs", "internal/linux", "internal/lab"}, "the server never imports the agent's side"},
	{"internal/agent", []string{"internal/server", "internal/lab"}, "the agent never imports the server's side"},
	{"internal/dataplane/ebpf", []string{"internal/dataplane/ovs", "internal/server", "internal/agent", "internal/lab"}, "planes do not know each other, nor who drives them"},
	{"internal/dataplane/ovs", []string{"internal/dataplane/ebpf", "internal/server", "internal/agent", "internal/lab"}, "planes do not know each other, nor who drives them"},
	{"internal/dptest", []string{"internal/dataplane/ebpf", "internal/dataplane/ovs", "internal/linux", "internal/server", "internal/agent"}, "the suite of all planes knows none of them"},
	{"internal/linux", []string{"internal/server", "internal/agent", "internal/dataplane", "internal/lab"}, "linux wraps the kernel and nothing of ours"},
	{"cmd/weft", []string{"github.com/rogpeppe/go-internal/testscript", "pgregory.net/rapid", "go.uber.org/goleak", "github.com/google/go-cmp", "internal/dptest"}, "the shipped binary links no test helper"},
}

// kernel lists the only packages that may import what touches the kernel.
var kernel = rule{not: []string{"github.com/cilium/ebpf", "github.com/vishvananda/netlink", "github.com/vishvananda/netns", "github.com/google/nftables"}}

var kernelMay = []string{"internal/linux", "internal/dataplane/ebpf", "internal/dataplane/ovs"}

func TestDirection(t *testing.T) {
	packages := list(t)
	for _, r := range rules {
		for _, p := range packages {
			if !below(p.ImportPath, module+r.from) {
				continue
			}
			deps := p.Deps
			if r.from == "internal/hostplan" || r.from == "internal/forward" {
				deps = p.Imports // the standard library itself reaches os and time
			}
			for _, d := range deps {
				if forbidden(d, r.not) && !below(d, module+r.from) {
					t.Errorf("%s must not depend on %s: %s", p.ImportPath, d, r.why)
				}
			}
		}
	}
}

func TestOnlyAFewTouchTheKernel(t *testing.T) {
	for _, p := range list(t) {
		may := false
		for _, m := range kernelMay {
			may = may || below(p.ImportPath, module+m)
		}
		for _, d := range p.Imports {
			if !may && forbidden(d, kernel.not) {
				t.Errorf("%s imports %s; only %s may touch the kernel", p.ImportPath, d, strings.Join(kernelMay, ", "))
			}
		}
	}
}

func below(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/")
}

func forbidden(dep string, not []string) bool {
	for _, n := range not {
		if strings.HasPrefix(n, "internal/") {
			n = module + n
		}
		if strings.HasSuffix(n, "/") && strings.HasPrefix(dep, n) || below(dep, n) {
			return true
		}
	}
	return false
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", module+"...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 5 {
		t.Fatalf("only %d packages found", len(all))
	}
	return all
}
