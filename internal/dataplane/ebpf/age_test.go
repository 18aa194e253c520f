package ebpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// age lets time pass in the Runner's tables: flows were last compared with their connections long ago and, if expire is set, connections and
// first fragments are past their time.
func (r *Runner) age(expire bool) error {
	if err := rewrite(r.coll.Maps["flow"], func(v *weftFlowVal) { v.Touched = 0 }, weftFlowKey{}); err != nil {
		return err
	}
	if expire {
		if err := rewrite(r.coll.Maps["conn"], func(v *weftConnVal) { v.Expires = 1 }, weftConnKey{}); err != nil {
			return err
		}
		if err := rewrite(r.coll.Maps["frag"], func(v *weftFragVal) { v.Expires = 1 }, [48]byte{}); err != nil {
			return err
		}
	}
	r.t.gens.unpublished++ // as in forget: what a processor met lately is not so late any more
	return r.t.gens.publish()
}

// rewrite does something to each value of a map of keys like the one given.
func rewrite[K, V any](m *ebpf.Map, do func(*V), _ K) error {
	keys, vals := make([]K, 4096), make([]V, 4096)
	var cursor ebpf.MapBatchCursor
	var found []K
	var now []V
	for {
		n, err := m.BatchLookup(&cursor, keys, vals, nil)
		found, now = append(found, keys[:n]...), append(now, vals[:n]...)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			break
		}
		if err != nil {
			return fmt.Errorf("read map %s: %w", m, err)
		}
	}
	for i := range found {
		do(&now[i])
		if err := m.Update(&found[i], &now[i], ebpf.UpdateExist); err != nil {
			return fmt.Errorf("write map %s: %w", m, err)
		}
	}
	return nil
}
