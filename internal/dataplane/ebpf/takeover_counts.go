package ebpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// counts adds what a former layout counted of drops and rules to this one's. What its programs count after that, until they
// go, is not there.
func (c *copier) counts() error {
	err := c.add("drops", [2]string{"drop_key", "counter"}, func(ks shape, key []byte) bool {
		ep := uint32(ks.read(key, "ep")) //nolint:gosec // has 32 bits
		now, ok := c.eps[ep]
		ks.write(key, "ep", uint64(now))
		return ok || ep == 0
	})
	if err != nil {
		return err
	}
	return c.add("rules", [2]string{"", "rule_hits"}, func(_ shape, key []byte) bool {
		slot := shape{size: 4, fields: map[string]place{"": {0, 4}}}
		now, ok := c.rules[uint32(slot.read(key, ""))] //nolint:gosec // has 32 bits
		slot.write(key, "", uint64(now))
		return ok
	})
}

// add adds the entries of a former per-processor map, under the keys that translate makes; false: left out.
func (c *copier) add(name string, names [2]string, translate func(ks shape, key []byte) bool) error {
	from, err := former(c.dir, name)
	if err != nil || from == nil {
		return err
	}
	defer from.Close()
	to := c.p.coll.Maps[name]
	fk, fv, err := shapes(from, names[0], names[1])
	if err != nil {
		return fmt.Errorf("map %s of %s: %w", name, c.dir, err)
	}
	tk, tv, err := shapes(to, names[0], names[1])
	if err != nil {
		return fmt.Errorf("map %s: %w", name, err)
	}
	key := make([]byte, from.KeySize())
	var vals [][]byte
	it := from.Iterate()
	for it.Next(&key, &vals) {
		k := append([]byte(nil), key...)
		if names[0] != "" {
			k = recast(fk, tk, key)
		}
		if !translate(tk, k) {
			continue
		}
		sum := map[string]uint64{}
		for _, v := range vals {
			for f := range fv.fields {
				sum[f] += fv.read(v, f)
			}
		}
		if err := put(to, k, tv, sum); err != nil {
			return fmt.Errorf("take over map %s: %w", name, err)
		}
	}
	if err := it.Err(); err != nil && !errors.Is(err, ebpf.ErrIterationAborted) {
		return fmt.Errorf("read map %s of %s: %w", name, c.dir, err)
	}
	return nil
}

// put adds sums to the first processor's value.
func put(m *ebpf.Map, key []byte, vs shape, sum map[string]uint64) error {
	var now [][]byte
	err := m.Lookup(key, &now)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		now = make([][]byte, ebpf.MustPossibleCPU())
		for i := range now {
			now[i] = make([]byte, vs.size)
		}
	} else if err != nil {
		return err
	}
	var any uint64
	for f, n := range sum {
		any |= n
		if p, ok := vs.fields[f]; ok && p.size == 8 {
			vs.write(now[0], f, vs.read(now[0], f)+n)
		}
	}
	if any == 0 {
		return nil
	}
	return m.Put(key, now)
}
