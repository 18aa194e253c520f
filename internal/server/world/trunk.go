package world

import (
	"iter"

	"github.com/weft-cloud/weft/internal/model"
)

// Trunks by id; indexes by project, parent and subport.
type Trunks struct {
	Table[model.TrunkID, model.Trunk]
}

func newTrunks() Trunks {
	type T = model.Trunk
	type K = model.TrunkID
	s := uuidSpec(model.KindTrunk, func(v *T) K { return v.ID },
		func(v *T) *model.Meta { return &v.Meta }, func(v *T) string { return v.ProjectID })
	s.indexes = []func(*spec[K, T]) index[T]{
		indexBy[K](hashText, func(v *T, yield func(string)) { yield(v.ProjectID) }),
		indexBy[K](hashUUID[model.PortID], func(v *T, yield func(model.PortID)) { yield(v.PortID) }),
		indexBy[K](hashUUID[model.PortID], func(v *T, yield func(model.PortID)) {
			for _, p := range v.SubPorts {
				yield(p.PortID)
			}
		}),
	}
	return Trunks{newTable(s)}
}

// ByProject yields a project's trunks.
func (t *Trunks) ByProject(p string) iter.Seq[*model.Trunk] { return with(&t.Table, 0, p) }

// ByParent returns the trunk whose parent a port is, nil if there is none.
func (t *Trunks) ByParent(p model.PortID) *model.Trunk { return first(with(&t.Table, 1, p)) }

// BySubPort returns the trunk that a port is a subport of, nil if there is none.
func (t *Trunks) BySubPort(p model.PortID) *model.Trunk { return first(with(&t.Table, 2, p)) }
