package config

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// texts are configuration files whose reading is compared with oslo.config's own.
func texts() []string {
	return []string{
		"",
		"[DEFAULT]\na = 1\n",
		"[DEFAULT]\r\na = 1\r\nb: 2\r\n",
		"a = 1\n",
		"[DEFAULT]\n a = 1\n",
		"[DEFAULT]\na = 1\n  2\n\t3\n\nb = x\n",
		"[DEFAULT]\na = 1\n# comment\n  2\n",
		"[DEFAULT]\na = 1\n\n  2\n",
		"[DEFAULT]\na = 1 # no comment\nb = x ; no comment\n",
		"[DEFAULT]\n;c\n#c\na:b=c\nb=c:d\n",
		"[DEFAULT]\na = \"q\"\nb = 'q'\nc = \"q'\n",
		"[DEFAULT]\na = \"\nb = ''\n",
		"[DEFAULT]\na = \"x\" \"y\"\nb = \"x\n  y\"\n",
		"[DEFAULT]\na\n", "[DEFAULT]\n= 1\n", "[DEFAULT\na=1\n", "[]\na=1\n", "[DEFAULT] x\n", "[DEFAULT] \na = 1\n",
		"[DEFAULT]\na = $b\nb = x$$y\n", "[DEFAULT]\na = \\$b\n", "[DEFAULT]\na = ${b}c $b.c\n", "[DEFAULT]\na = $nope\n",
		"[DEFAULT]\na = ${nope\nb = $1 $ $-\n", "[DEFAULT]\na = $c\n[grp]\na = $b\nb = g\n", "[DEFAULT]\na = $grp.c ${grp.b}\n[grp]\nb = y\n",
		"[GRP]\na = 1\n[grp]\nb = 2\n", "[default]\na = 1\n", "[grp]\na = 1\na = 2\nm = 1\nm = 2\n",
		"[grp]\nflag = True\n", "[grp]\nflag = oN\nn = 0x10\n", "[grp]\nflag = y\n", "[grp]\nflag =\n",
		"[grp]\nn = 1_000\n", "[grp]\nn = -5\n", "[grp]\nn = 1.5\n", "[grp]\nn = +7\n", "[grp]\nn = __1\n", "[grp]\nn =\n",
		"[grp]\nl = a, b ,c,\n", "[grp]\nl = a,,b\n", "[grp]\nl =\n", "[grp]\nl = ,\n", "[grp]\nl = a\n b,c\n",
		"[oldgroup]\nold = x\n", "[OldGroup]\nold = x\n[grp]\nnew = y\n", "[grp]\nm = $b\nm = $$\n",
		"\ufeff[DEFAULT]\na = 1\n", "[DEFAULT]\na = naïve\n",
	}
}

// probe is a table with the options of testdata/oslo.py.
type probe struct {
	set map[string]any
}

func (p *probe) table() *table {
	t := &table{}
	p.set = map[string]any{}
	put := func(o *Option, conv func(string) (any, error)) {
		key := o.Group + "." + o.Option
		p.set[key] = nil
		o.set = func(raw string) error {
			v, err := conv(raw)
			if err == nil {
				p.set[key] = v
			}
			return err
		}
	}
	text := func(s string) (any, error) { return s, nil }
	for _, g := range []string{"DEFAULT", "grp"} {
		t.in(g, ForServer)
		put(t.def("string", "a", "", "").unset(), text)
		put(t.def("string", "b", "dflt", ""), text)
		put(t.def("string", "c", "$b/c", ""), text)
	}
	put(t.def("boolean", "flag", "", "").unset(), func(s string) (any, error) { return parseBool(s) })
	put(t.def("integer", "n", "", "").unset(), func(s string) (any, error) { return parseInt(s) })
	put(t.def("list", "l", "", "").unset(), func(s string) (any, error) { return parseList(s), nil })
	m := t.multi(new([]string), "m", "")
	p.set["grp.m"] = nil
	m.setAll = func(raw []string) error { p.set["grp.m"] = raw; return nil }
	put(t.def("string", "new", "", "").unset().was("OldGroup", "old"), text)
	return t
}

// reading is what either reader makes of a text.
type reading struct {
	Error string         `json:"error"`
	Items [][3]string    `json:"items"`
	Get   map[string]any `json:"get"`
}

func readOurs(text string) reading {
	var r reading
	as, faults := parseINI(Source{Name: "x.conf", Text: []byte(text)})
	if len(faults) > 0 {
		return reading{Error: faults[0].Error()}
	}
	for _, a := range as {
		r.Items = append(r.Items, [3]string{a.section, a.key, a.value})
	}
	p := &probe{}
	t := p.table()
	v := newValues(t)
	v.add(as)
	for _, o := range t.opts {
		if f := v.resolve(o); f != nil {
			p.set[o.Group+"."+o.Option] = "ERROR"
		}
	}
	r.Get = p.set
	return r
}

// readTheirs asks oslo.config, or skips the test where it is not installed (Debian: python3-oslo.config).
func readTheirs(t *testing.T, texts []string) []reading {
	t.Helper()
	in, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import oslo_config.cfg").Run(); err != nil {
		t.Skip("oslo.config is not installed for /usr/bin/python3; nothing to compare with")
	}
	cmd := exec.Command(python, "-B", "testdata/oslo.py")
	cmd.Stdin = bytes.NewReader(in)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("oslo.py: %v\n%s", err, stderr.String())
	}
	var got []reading
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// alike makes the two readings alike in what does not count: the wording of errors, and Go's types.
func alike(t *testing.T, r reading) reading {
	t.Helper()
	if r.Error != "" {
		return reading{Error: "refused"}
	}
	b, err := json.Marshal(r.Get)
	if err != nil {
		t.Fatal(err)
	}
	var get map[string]any
	if err := json.Unmarshal(b, &get); err != nil {
		t.Fatal(err)
	}
	for k, v := range get {
		if l, ok := v.([]any); ok && len(l) == 0 {
			get[k] = nil
		}
	}
	if len(r.Items) == 0 {
		r.Items = nil
	}
	return reading{Items: r.Items, Get: get}
}

func TestAgainstOslo(t *testing.T) {
	all := append(texts(), randomTexts(300)...)
	theirs := readTheirs(t, all)
	for i, text := range all {
		if d := cmp.Diff(alike(t, theirs[i]), alike(t, readOurs(text))); d != "" {
			t.Errorf("%q (-oslo.config +ours):\n%s", text, d)
		}
	}
}

// randomTexts makes texts out of the pieces that the rules are about, the same ones in each run.
func randomTexts(n int) []string {
	piece := rapid.SampledFrom([]string{
		"[DEFAULT]\n", "[grp]\n", "[Grp]\n", "[x", "]\n", "a", "b", "c", "m", "old", "=", ":", " ", "\t", "\n", "\n", "\n ", "#", ";", "\"", "'",
		"$", "$a", "${b}", "$grp.a", "$$", "\\$", ",", "1", "true", "l = ", "n = ", "a = ", "m = ", "flag = ",
	})
	gen := rapid.Custom(func(t *rapid.T) string {
		return "[DEFAULT]\n" + strings.Join(rapid.SliceOfN(piece, 0, 14).Draw(t, "pieces"), "")
	})
	var out []string
	for i := range n {
		out = append(out, gen.Example(i))
	}
	return out
}
