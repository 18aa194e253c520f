package ebpf

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
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
