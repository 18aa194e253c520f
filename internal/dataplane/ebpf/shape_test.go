package ebpf

import (
	"bytes"
	"testing"

	"github.com/cilium/ebpf/btf"
)

func number(size uint32) *btf.Int { return &btf.Int{Size: size} }

// Fields go by name: they may move, grow, shrink, come and go.
func TestRecast(t *testing.T) {
	inner := &btf.Struct{Name: "ip", Size: 4, Members: []btf.Member{{Name: "d", Type: &btf.Array{Type: number(2), Nelems: 2, Index: number(4)}}}}
	from := shapeOf(&btf.Struct{Size: 12, Members: []btf.Member{{Name: "a", Type: number(2)}, {Name: "gone", Type: number(2), Offset: 16},
		{Name: "addr", Type: inner, Offset: 32}, {Name: "big", Type: number(4), Offset: 64}}})
	to := shapeOf(&btf.Struct{Size: 16, Members: []btf.Member{{Name: "new", Type: number(4)}, {Name: "addr", Type: inner, Offset: 32},
		{Name: "a", Type: number(4), Offset: 64}, {Name: "big", Type: number(2), Offset: 96}}})
	got := recast(from, to, []byte{1, 2, 9, 9, 3, 4, 5, 6, 7, 8, 0, 0})
	if want := []byte{0, 0, 0, 0, 3, 4, 5, 6, 1, 2, 0, 0, 7, 8, 0, 0}; !bytes.Equal(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
	if n := to.read(got, "a"); n != 0x0201 {
		t.Errorf("a = %#x", n)
	}
	to.write(got, "big", 0x0a0b)
	if n := to.read(got, "big"); n != 0x0a0b {
		t.Errorf("big = %#x", n)
	}
}

// A changed structure is another layout, the same one the same.
func TestLayout(t *testing.T) {
	var names []string
	for range 2 {
		name, err := layout()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	spec, err := loadNext()
	if err != nil {
		t.Fatal(err)
	}
	if next := layoutOf(spec); names[0] != names[1] || next == names[0] {
		t.Errorf("layouts %v, with a changed structure %s", names, next)
	}
}
