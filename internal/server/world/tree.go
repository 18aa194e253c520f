package world

import (
	"sync/atomic"
	"unsafe"
)

// maxItems bounds the nodes of all trees: a transaction copies the nodes on its way down. One port of 100,000 costs 27 KB of
// copies so (BenchmarkPutPort), with 23 it was 32 KB, with 11 it is hardly less. Nodes of indexes also stay below the 512 bytes to which
// Go's collector looks through a page at a time.
const (
	maxItems = 15
	minItems = maxItems / 2
)

// place is where something stands in an order. Numbers are put in so that they compare as what they stand for does.
type place interface{ narrow | wide }

type (
	narrow [2]uint64
	wide   [4]uint64
)

func compare[P place](p, q *P) int {
	for i := range len(*p) {
		if (*p)[i] != (*q)[i] {
			return sign((*p)[i] < (*q)[i])
		}
	}
	return 0
}

func sign(less bool) int {
	if less {
		return -1
	}
	return 1
}

// item is a row at its place. The place stands beside the row, so that a search touches no objects and needs none as
// pivot. The row is a *T of the one table that the tree belongs to; an interface would cost eight bytes more of each of
// some ten items that a port has. nil, in a search, sorts before every row of the place.
type item[P place] struct {
	at  P
	row unsafe.Pointer
}

// tree is a B-tree that tables and indexes are made of. A copy shares all nodes with the original until they are written;
// only the newest copy may be written, everything older is read by anybody. Items and children of a node are held in
// slices no larger than need be, so that a node half full takes half the memory.
type tree[P place] struct {
	root   *node[P]
	n      int
	edit   uint64 // nodes with this number are this tree's own
	within func(a, b unsafe.Pointer) int
}

type node[P place] struct {
	edit  uint64
	items []item[P]
	kids  []*node[P] // one more than items; none in a leaf
}

// edits numbers the copies of all trees, so that no two own the same node.
var edits atomic.Uint64

// newTree returns an empty tree. Rows of the same place stand in the order of within; nil: there is one of each place.
func newTree[P place](within func(a, b unsafe.Pointer) int) *tree[P] {
	return &tree[P]{edit: edits.Add(1), within: within}
}

func (t *tree[P]) compare(a, b *item[P]) int {
	if c := compare(&a.at, &b.at); c != 0 || t.within == nil {
		return c
	}
	switch {
	case a.row == b.row:
		return 0
	case a.row == nil || b.row == nil:
		return sign(a.row == nil)
	}
	return t.within(a.row, b.row)
}

// copy returns a tree with the same items that may be written while t is read.
func (t *tree[P]) copy() *tree[P] {
	return &tree[P]{root: t.root, n: t.n, edit: edits.Add(1), within: t.within}
}

// find is where an item is in a node, or which child it is beneath.
func (t *tree[P]) find(n *node[P], what *item[P]) (at int, found bool) {
	low, high := 0, len(n.items)
	for low < high {
		m := int(uint(low+high) / 2)
		switch c := t.compare(&n.items[m], what); {
		case c < 0:
			low = m + 1
		case c > 0:
			high = m
		default:
			return m, true
		}
	}
	return low, false
}

// get returns the row at a place of a tree that has one of each, nil if there is none.
func (t *tree[P]) get(at P) unsafe.Pointer {
	what := item[P]{at: at}
	for n := t.root; n != nil; {
		i, found := t.find(n, &what)
		if found {
			return n.items[i].row
		}
		if n.kids == nil {
			return nil
		}
		n = n.kids[i]
	}
	return nil
}

// ascend visits the items from what on (nil: all) in order, until visit returns false.
func (t *tree[P]) ascend(what *item[P], visit func(*item[P]) bool) {
	if t.root != nil {
		t.up(t.root, what, visit)
	}
}

func (t *tree[P]) up(n *node[P], what *item[P], visit func(*item[P]) bool) bool {
	at, found := 0, false
	if what != nil {
		at, found = t.find(n, what)
	}
	if n.kids != nil && !found && !t.up(n.kids[at], what, visit) {
		return false
	}
	for ; at < len(n.items); at++ {
		if !visit(&n.items[at]) || n.kids != nil && !t.up(n.kids[at+1], nil, visit) {
			return false
		}
	}
	return true
}

// descend visits the items from what (nil: the last) backwards, until visit returns false.
func (t *tree[P]) descend(what *item[P], visit func(*item[P]) bool) {
	if t.root != nil {
		t.down(t.root, what, visit)
	}
}

func (t *tree[P]) down(n *node[P], what *item[P], visit func(*item[P]) bool) bool {
	at, found := len(n.items), false
	if what != nil {
		at, found = t.find(n, what)
	}
	if found {
		at++
	} else if n.kids != nil && !t.down(n.kids[at], what, visit) {
		return false
	}
	for at--; at >= 0; at-- {
		if !visit(&n.items[at]) || n.kids != nil && !t.down(n.kids[at], nil, visit) {
			return false
		}
	}
	return true
}

// build fills an empty tree with items in order, none of which there is twice, as densely as its nodes allow.
func (t *tree[P]) build(items []item[P]) {
	t.n = len(items)
	if t.n == 0 {
		return
	}
	beneath := []int{maxItems} // the most items of a tree of each height
	for beneath[len(beneath)-1] < t.n {
		beneath = append(beneath, (beneath[len(beneath)-1]+1)*(maxItems+1)-1)
	}
	t.root = t.built(items, beneath)
}

// built is the node over items; beneath says how many fit into a tree of its height and of each less.
func (t *tree[P]) built(items []item[P], beneath []int) *node[P] {
	n := &node[P]{edit: t.edit}
	height := len(beneath) - 1
	if height == 0 {
		n.items = append(make([]item[P], 0, len(items)), items...)
		return n
	}
	kids := (len(items) + 1 + beneath[height-1]) / (beneath[height-1] + 1) // each with the item after it, but for the last
	n.items, n.kids = make([]item[P], 0, kids-1), make([]*node[P], 0, kids)
	for ; kids > 0; kids-- {
		size := (len(items) - (kids - 1)) / kids
		n.kids = append(n.kids, t.built(items[:size], beneath[:height]))
		if kids > 1 {
			n.items = append(n.items, items[size])
			items = items[size+1:]
		}
	}
	return n
}
