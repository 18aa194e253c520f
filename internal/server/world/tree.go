package world

import (
	"bytes"
	"net/netip"
	"strings"

	"github.com/tidwall/btree"

	"github.com/weft-cloud/weft/internal/model"
)

// degree bounds the nodes of all trees: a transaction copies the nodes on its way. One port of 100,000 costs 38 KB of
// copies so, 59 KB with the library's 32, 30 KB with 8 (BenchmarkPutPort).
const degree = 16

// tree is what all tables and indexes are made of. It is one type on purpose: the compiler makes the library's code
// again for each type of item, which once came to 150 times a hundred methods and 97 MB of archive.
type tree = btree.BTreeG[item]

// item is a row at its place. The place stands beside the row, so that a search touches no objects and needs none as
// pivot.
type item struct {
	place place
	row   any // *T; nil, in a search, sorts before every row of the place
}

// place is where something stands in an order: by bits first, then by text. Numbers are put into either big end first.
type place struct {
	bits [16]byte
	text string
}

func (p *place) compare(q *place) int {
	if c := bytes.Compare(p.bits[:], q.bits[:]); c != 0 {
		return c
	}
	return strings.Compare(p.text, q.text)
}

// newTree returns an empty tree. Rows of the same place stand in the order of within; nil: there is one of each place.
func newTree(within func(row any) place) *tree {
	less := func(a, b item) bool {
		if c := a.place.compare(&b.place); c != 0 || within == nil {
			return c < 0
		}
		if a.row == nil || b.row == nil {
			return a.row == nil && b.row != nil
		}
		x, y := within(a.row), within(b.row)
		return x.compare(&y) < 0
	}
	return btree.NewBTreeGOptions(less, btree.Options{NoLocks: true, Degree: degree})
}

// The places of the values that tables are ordered by.

func byUUID[K identified](k K) place { return place{bits: k.Bits()} }

func byText(s string) place { return place{text: s} }

func byMAC(m model.MAC) place {
	var p place
	copy(p.bits[:], m[:])
	return p
}

// byAddr tells the families apart by the text.
func byAddr(a netip.Addr) place {
	p := place{bits: a.As16(), text: "6"}
	if a.Is4() {
		p.text = "4"
	}
	return p
}
