package ebpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/weft-cloud/weft/internal/dataplane"
)

// The kinds of object that carry a generation (docs/pipeline.md, section 13).
type rootKind uint8

const (
	rootNone rootKind = iota
	rootEndpoint
	rootNetwork
	rootPeer
	rootNeighbor
	rootRouter
	rootPolicy
)

func (k rootKind) String() string {
	return [...]string{"none", "endpoint", "network", "peer", "neighbor", "router", "policy"}[k]
}

// root names one object.
type root struct {
	kind rootKind
	slot uint32
}

// table is one kernel map beside what it is to hold. have mirrors the kernel: it is read once at the start, and the
// plane is the only writer. An entry belongs to a root: when it changes, decisions that read the root are void.
type table[K, V comparable] struct {
	name  string
	m     *ebpf.Map
	have  map[K]V
	want  map[K]V
	owner func(K, V) root
	// gone, if set, is told of values that an entry had and has no more.
	gone func(V)
	// touched, if not nil, are the keys that set and drop named and that the kernel may not have as they are wanted. Only these are looked
	// at, and want outlives a compilation.
	touched map[K]struct{}
}

func newTable[K, V comparable](name string, m *ebpf.Map, owner func(K, V) root) *table[K, V] {
	return &table[K, V]{name: name, m: m, have: map[K]V{}, want: map[K]V{}, owner: owner}
}

// load reads what the kernel holds.
func (t *table[K, V]) load() error {
	var k K
	var v V
	it := t.m.Iterate()
	for it.Next(&k, &v) {
		t.have[k] = v
		if t.touched != nil {
			t.touched[k] = struct{}{}
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("read map %s: %w", t.name, err)
	}
	return nil
}

// begin wants nothing any more, of a table that is compiled anew with each State.
func (t *table[K, V]) begin() {
	if t.touched == nil {
		clear(t.want)
	}
}

// set wants an entry in a table that keeps what it wants, drop wants it no more.
func (t *table[K, V]) set(k K, v V) {
	t.want[k] = v
	t.touched[k] = struct{}{}
}

func (t *table[K, V]) drop(k K) {
	delete(t.want, k)
	t.touched[k] = struct{}{}
}

// put wants an entry; the first of one key stays.
func (t *table[K, V]) put(k K, v V) {
	if _, ok := t.want[k]; !ok {
		t.want[k] = v
	}
}

// write adds and changes. It reports the roots whose entries changed, and those whose could not be.
func (t *table[K, V]) write(dirty map[root]bool, failed map[root]error) {
	if t.touched == nil {
		for k, v := range t.want {
			t.store(k, v, dirty, failed)
		}
		return
	}
	for k := range t.touched {
		if v, ok := t.want[k]; ok && t.store(k, v, dirty, failed) {
			delete(t.touched, k)
		}
	}
}

// store brings one entry to the kernel; false: it could not be.
func (t *table[K, V]) store(k K, v V, dirty map[root]bool, failed map[root]error) bool {
	old, ok := t.have[k]
	if ok && old == v {
		return true
	}
	r := t.owner(k, v)
	dirty[r] = true
	if ok {
		dirty[t.owner(k, old)] = true
	}
	if err := t.m.Put(&k, &v); err != nil {
		failed[r] = fmt.Errorf("write map %s: %w", t.name, explain(err))
		return false
	}
	if ok && t.gone != nil {
		t.gone(old)
	}
	t.have[k] = v
	return true
}

// prune deletes what is not wanted.
func (t *table[K, V]) prune(dirty map[root]bool, failed map[root]error) {
	if t.touched == nil {
		for k, v := range t.have {
			if _, ok := t.want[k]; !ok {
				t.remove(k, v, dirty, failed)
			}
		}
		return
	}
	for k := range t.touched {
		if _, ok := t.want[k]; ok {
			continue
		}
		if v, ok := t.have[k]; !ok || t.remove(k, v, dirty, failed) {
			delete(t.touched, k)
		}
	}
}

// remove takes one entry from the kernel; false: it could not be.
func (t *table[K, V]) remove(k K, v V, dirty map[root]bool, failed map[root]error) bool {
	r := t.owner(k, v)
	dirty[r] = true
	if err := t.m.Delete(&k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		failed[r] = fmt.Errorf("delete from map %s: %w", t.name, err)
		return false
	}
	if t.gone != nil {
		t.gone(v)
	}
	delete(t.have, k)
	return true
}

// explain names the cure where the kernel's word is not enough.
func explain(err error) error {
	if errors.Is(err, errTooBig) || errors.Is(err, errNoRoom) {
		return fmt.Errorf("the map is full (%w)", err)
	}
	return err
}

// parts is a table without its types.
type parts interface {
	load() error
	begin()
	write(dirty map[root]bool, failed map[root]error)
	prune(dirty map[root]bool, failed map[root]error)
	fill() dataplane.TableFill
}

// rootTable is a map of objects with a generation, keyed by slot.
type rootTable[V comparable] struct {
	kind rootKind
	m    *ebpf.Map
	have map[uint32]V
	want map[uint32]V
	// stamp points at the gs and gen of a value.
	stamp func(*V) (gs, gen *uint32)
	// id is the identity by which a restarted process recognizes the object.
	id func(*V) [16]byte
	// silent, if set, blanks the fields whose change voids no decision.
	silent func(*V)
	slots  *slots
	// changed, if set, is told of the values written under a new generation, and of those deleted.
	changed func(V)
}

func (t *rootTable[V]) load() error {
	var k uint32
	var v V
	it := t.m.Iterate()
	for it.Next(&k, &v) {
		t.have[k] = v
		gs, _ := t.stamp(&v)
		t.slots.restore(t.id(&v), k, *gs)
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("read map of %ss: %w", t.kind, err)
	}
	return nil
}

func (t *rootTable[V]) begin() { clear(t.want) }

// loud reports whether going from a to b voids decisions. Both carry the same gs; gen does not count.
func (t *rootTable[V]) loud(a, b V) bool {
	_, ga := t.stamp(&a)
	_, gb := t.stamp(&b)
	*ga, *gb = 0, 0
	if t.silent != nil {
		t.silent(&a)
		t.silent(&b)
	}
	return a != b
}

// mark names all objects that the kernel has.
func (t *rootTable[V]) mark(dirty map[root]bool) {
	for slot := range t.have {
		dirty[root{t.kind, slot}] = true
	}
}

// known reports whether an object is in the kernel or is to be.
func (t *rootTable[V]) known(slot uint32) bool {
	_, is := t.have[slot]
	_, will := t.want[slot]
	return is || will
}

// write stores what is new, changed or has changed parts, each under a new generation, and only then lets it count. What is done is no longer
// dirty; what fails stays so, for the next time, when its parts are there already and nothing else tells of their change.
func (t *rootTable[V]) write(g *generations, dirty map[root]bool, failed map[root]error) {
	for slot, v := range t.want {
		r := root{t.kind, slot}
		old, ok := t.have[slot]
		gs, gen := t.stamp(&v)
		*gs = t.slots.gs[slot]
		cur, err := g.at(*gs)
		if err != nil {
			failed[r] = err
			continue
		}
		bump := !ok || dirty[r] || t.loud(old, v)
		*gen = cur
		if bump {
			*gen = cur + 1
		}
		if ok && old == v && !bump {
			continue
		}
		if err := t.m.Put(slot, &v); err != nil {
			failed[r] = fmt.Errorf("write %s: %w", t.kind, explain(err))
			dirty[r] = true
			continue
		}
		t.have[slot] = v
		if t.changed != nil {
			t.changed(v)
		}
		if err := g.set(*gs, *gen); err != nil {
			failed[r] = err
			dirty[r] = true
			continue
		}
		delete(dirty, r)
	}
	t.publish(g, failed)
}

// void lets what was decided by the object in a slot be decided anew.
func (t *rootTable[V]) void(g *generations, slot uint32) error {
	v, ok := t.have[slot]
	if !ok {
		return nil
	}
	gs, gen := t.stamp(&v)
	cur, err := g.at(*gs)
	if err != nil {
		return err
	}
	*gen = cur + 1
	if err := t.m.Put(slot, &v); err != nil {
		return fmt.Errorf("write %s: %w", t.kind, explain(err))
	}
	t.have[slot] = v
	if err := g.set(*gs, *gen); err != nil {
		return err
	}
	return g.publish()
}

// publish lets the new generations count. If it cannot, the next time will.
func (t *rootTable[V]) publish(g *generations, failed map[root]error) {
	if err := g.publish(); err != nil {
		failed[root{}] = err
	}
}

// prune deletes what is not wanted, after voiding what was decided by it.
func (t *rootTable[V]) prune(g *generations, dirty map[root]bool, failed map[root]error) {
	for slot, v := range t.have {
		if _, ok := t.want[slot]; ok {
			continue
		}
		gs, _ := t.stamp(&v)
		cur, err := g.at(*gs)
		if err == nil {
			err = g.set(*gs, cur+1)
		}
		if err == nil {
			err = t.m.Delete(slot)
			if errors.Is(err, ebpf.ErrKeyNotExist) {
				err = nil
			}
		}
		if err != nil {
			failed[root{t.kind, slot}] = fmt.Errorf("delete %s: %w", t.kind, err)
			continue
		}
		delete(t.have, slot)
		delete(dirty, root{t.kind, slot})
		if t.changed != nil {
			t.changed(v)
		}
	}
	t.publish(g, failed)
}
