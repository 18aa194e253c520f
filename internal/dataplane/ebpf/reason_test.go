package ebpf

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// bpf/lib/reason.h and internal/dataplane/reason are one list.
func TestReasonsAgree(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "../reason/reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var inGo []string
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
			for _, s := range g.Specs {
				inGo = append(inGo, strings.ToLower(s.(*ast.ValueSpec).Names[0].Name))
			}
		}
	}
	src, err := os.ReadFile("../../../bpf/lib/reason.h")
	if err != nil {
		t.Fatal(err)
	}
	var inC []string
	for _, m := range regexp.MustCompile(`R_(\w+) = (\d+),`).FindAllStringSubmatch(string(src), -1) {
		if strconv.Itoa(len(inC)) != m[2] {
			t.Errorf("R_%s = %s, want %d", m[1], m[2], len(inC))
		}
		inC = append(inC, strings.ToLower(strings.ReplaceAll(m[1], "_", "")))
	}
	if diff := cmp.Diff(inGo, inC); diff != "" {
		t.Errorf("reason.go and reason.h differ (-Go +C):\n%s", diff)
	}
}

// Each header of bpf/lib stands alone.
func TestHeadersCompileAlone(t *testing.T) {
	clang, err := exec.LookPath("clang")
	if err != nil {
		t.Skip("no clang: users need none, only who changes the programs")
	}
	headers, err := filepath.Glob("../../../bpf/lib/*.h")
	if err != nil || len(headers) == 0 {
		t.Fatalf("%v, %v", headers, err)
	}
	for _, h := range headers {
		out, err := exec.Command(clang, "-target", "bpfel", "-mcpu=v3", "-O2", "-Wall", "-Werror", "-Wno-unused-function", "-Wno-unused-variable",
			"-fno-strict-aliasing", "-fsyntax-only", "-x", "c", h).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", h, err, out)
		}
	}
}
