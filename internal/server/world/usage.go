package world

import (
	"unsafe"

	"github.com/weft-cloud/weft/internal/model"
)

// Usage counts the objects of each kind and project: what quotas are held against. It is derived, never stored.
type Usage struct {
	tree *tree[wide] // of *int
	own  bool
}

func newUsage() Usage { return Usage{tree: newTree[wide](nil)} }

// Of is the number of objects of a kind that a project has.
func (u *Usage) Of(kind model.Kind, project string) int {
	if n := (*int)(u.tree.get(counted(kind, project))); n != nil {
		return *n
	}
	return 0
}

func counted(kind model.Kind, project string) wide { return byText(string(kind) + "/" + project) }

func (u *Usage) add(kind model.Kind, project string, by int) {
	if !u.own {
		u.tree, u.own = u.tree.copy(), true
	}
	n := u.Of(kind, project) + by
	if n == 0 {
		u.tree.remove(item[wide]{at: counted(kind, project)})
		return
	}
	u.tree.set(item[wide]{counted(kind, project), unsafe.Pointer(&n)})
}
