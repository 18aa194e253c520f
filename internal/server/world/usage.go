package world

import (
	"cmp"

	"github.com/tidwall/btree"

	"github.com/weft-cloud/weft/internal/model"
)

// Usage counts the objects of each kind and project: what quotas are held against. It is derived, never stored.
type Usage struct {
	tree *btree.BTreeG[count]
	own  bool
}

type count struct {
	kind    model.Kind
	project string
	n       int
}

func newUsage() Usage {
	return Usage{tree: btree.NewBTreeGOptions(func(a, b count) bool {
		if c := cmp.Compare(a.kind, b.kind); c != 0 {
			return c < 0
		}
		return a.project < b.project
	}, btree.Options{NoLocks: true, Degree: degree})}
}

// Of is the number of objects of a kind that a project has.
func (u *Usage) Of(kind model.Kind, project string) int {
	c, _ := u.tree.Get(count{kind: kind, project: project})
	return c.n
}

func (u *Usage) add(kind model.Kind, project string, by int) {
	if !u.own {
		u.tree, u.own = u.tree.Copy(), true
	}
	c := count{kind, project, u.Of(kind, project) + by}
	if c.n == 0 {
		u.tree.Delete(c)
		return
	}
	u.tree.Set(c)
}
