package world

import (
	"encoding/binary"
	"slices"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/model"
)

// numbers is what a tree of numbers holds, and from a number on in both directions.
func numbers(t *tree[wide], from *uint64) (all, up, down []uint64) {
	into := func(s *[]uint64) func(*item[wide]) bool {
		return func(i *item[wide]) bool { *s = append(*s, *(*uint64)(i.row)); return true }
	}
	t.ascend(nil, into(&all))
	t.ascend(&item[wide]{at: wide{*from}}, into(&up))
	t.descend(&item[wide]{at: wide{*from}}, into(&down))
	return all, up, down
}

// sound checks the form of a tree: leaves at one depth, nodes not too full, as many children as there must be.
func sound(t *rapid.T, n *node[wide]) (depth int) {
	if n == nil {
		return 0
	}
	if len(n.items) > maxItems {
		t.Fatalf("a node of %d items", len(n.items))
	}
	if n.kids == nil {
		return 1
	}
	if len(n.kids) != len(n.items)+1 {
		t.Fatalf("%d children beside %d items", len(n.kids), len(n.items))
	}
	depth = sound(t, n.kids[0])
	for _, k := range n.kids[1:] {
		if sound(t, k) != depth {
			t.Fatal("leaves are not at one depth")
		}
	}
	return depth + 1
}

// TestTree does to trees what it does to sorted lists, and looks whether older copies stay as they were.
func TestTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const span = 3000 // three levels
		key := rapid.Uint64Range(0, span)
		put := func(n uint64) item[wide] { return item[wide]{wide{n}, unsafe.Pointer(&n)} }
		want := rapid.SliceOfNDistinct(key, 0, 2000, rapid.ID[uint64]).Draw(t, "built of")
		slices.Sort(want)
		var items []item[wide]
		for _, n := range want {
			items = append(items, put(n))
		}
		now := newTree[wide](nil)
		now.build(items)
		type old struct {
			tree *tree[wide]
			want []uint64
		}
		var olds []old
		check := func(o old) {
			pivot := key.Draw(t, "pivot")
			all, up, down := numbers(o.tree, &pivot)
			i, found := slices.BinarySearch(o.want, pivot)
			wantDown := slices.Clone(o.want[:i])
			if found {
				wantDown = slices.Clone(o.want[:i+1])
			}
			slices.Reverse(wantDown)
			if !slices.Equal(all, o.want) || !slices.Equal(up, o.want[i:]) || !slices.Equal(down, wantDown) || o.tree.n != len(o.want) {
				t.Fatalf("from %d: %d items: %v\nup %v\ndown %v\nwant %v", pivot, o.tree.n, all, up, down, o.want)
			}
			if got := o.tree.get(wide{pivot}); (got != nil) != found {
				t.Fatalf("get %d: %v, want %v", pivot, got != nil, found)
			}
			sound(t, o.tree.root)
		}
		for range rapid.IntRange(1, 8).Draw(t, "rounds") {
			olds = append(olds, old{now, slices.Clone(want)})
			now = now.copy()
			first, many, step := key.Draw(t, "first"), rapid.IntRange(0, 1500).Draw(t, "many"), rapid.SampledFrom([]uint64{1, 7, span - 1}).Draw(t, "step")
			remove := rapid.Bool().Draw(t, "remove")
			for k := range uint64(many) {
				n := (first + k*step) % span
				i, found := slices.BinarySearch(want, n)
				switch {
				case remove:
					now.remove(item[wide]{at: wide{n}})
					if found {
						want = slices.Delete(want, i, i+1)
					}
				default:
					now.set(put(n))
					if !found {
						want = slices.Insert(want, i, n)
					}
				}
			}
			check(old{now, want})
		}
		for _, o := range olds {
			check(o)
		}
	})
}

// TestHashesMayCollide: an index keeps values apart whose hashes are one, in both directions and from a row on.
func TestHashesMayCollide(t *testing.T) {
	type T = model.Port
	s := uuidSpec(model.KindPort, func(v *T) model.PortID { return v.ID }, func(v *T) *model.Meta { return &v.Meta }, nil)
	s.indexes = []func(*spec[model.PortID, T]) index[T]{
		indexBy[model.PortID](func(string) uint64 { return 1<<64 - 1 }, func(v *T, yield func(string)) { yield(v.Name) }),
	}
	tx := &Tx{}
	table := newTable(s)
	table.bind(tx)
	want := map[string][]string{}
	var rows []*T
	for n := range uint64(200) {
		p := &T{Name: string(rune('a' + n%3))}
		binary.BigEndian.PutUint64(p.ID.UUID[8:], n) // and the beginnings of keys are one, too
		table.Put(p)
		rows = append(rows, p)
		want[p.Name] = append(want[p.Name], p.ID.String())
	}
	ids := func(after *T, reverse bool, name string) (out []string) {
		for p := range beyond(&table, 0, name, after, reverse) {
			out = append(out, p.ID.String())
		}
		return out
	}
	for name, list := range want {
		if diff := cmp.Diff(list, ids(nil, false, name)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff(list[21:], ids(rows[60+int(name[0]-'a')], false, name)); diff != "" {
			t.Errorf("%s beyond a row: %s", name, diff)
		}
		back := slices.Clone(list)
		slices.Reverse(back)
		if diff := cmp.Diff(back, ids(nil, true, name)); diff != "" {
			t.Errorf("%s backwards: %s", name, diff)
		}
		if diff := cmp.Diff(back[len(back)-20:], ids(rows[60+int(name[0]-'a')], true, name)); diff != "" {
			t.Errorf("%s backwards beyond a row: %s", name, diff)
		}
	}
}
