package ebpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// copier takes over the state of one former layout.
type copier struct {
	p   *Plane
	dir string
	// eps, nets, neighbors and rules are this layout's slots by the former ones.
	eps, nets, neighbors, rules map[uint32]uint32
}

// copy takes over connections, first fragments, external neighbours and what was learned; with counts, the first time, what was counted, too: that is added, so once only.
func (t *takeover) copy(p *Plane, counts bool) error {
	for _, dir := range t.dirs {
		c := &copier{p: p, dir: dir}
		var err error
		if c.eps, err = c.slots("endpoints", "endpoint", p.t.ids[rootEndpoint]); err != nil {
			return err
		}
		if c.nets, err = c.slots("networks", "network", p.t.ids[rootNetwork]); err != nil {
			return err
		}
		if c.neighbors, err = c.slots("neighbors", "neighbor", p.t.ids[rootNeighbor]); err != nil {
			return err
		}
		if c.rules, err = c.slots("rule_ids", "rule_id", p.t.ruleSlots); err != nil {
			return err
		}
		if err := c.conns(); err != nil {
			return err
		}
		if err := c.fragments(); err != nil {
			return err
		}
		if err := c.outer(); err != nil {
			return err
		}
		if err := c.learned(counts && !t.resumed); err != nil {
			return err
		}
		if counts && !p.over.counted {
			p.over.counted = true
			if err := c.counts(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *copier) slots(name, value string, to *slots) (map[uint32]uint32, error) {
	ids, err := uuids(c.dir, name, value)
	if err != nil {
		return nil, err
	}
	out := map[uint32]uint32{}
	for slot, id := range ids {
		if now := to.find(id); now != 0 {
			out[slot] = now
		}
	}
	return out, nil
}

// each calls do with every entry of a former map, in this layout's shape; names are those of key and value.
func (c *copier) each(name string, names [2]string, do func(ks, vs shape, key, val []byte) error) error {
	from, err := former(c.dir, name)
	if err != nil || from == nil {
		return err
	}
	defer from.Close()
	fk, fv, err := shapes(from, names[0], names[1])
	if err != nil {
		return fmt.Errorf("map %s of %s: %w", name, c.dir, err)
	}
	tk, tv, err := shapes(c.p.coll.Maps[name], names[0], names[1])
	if err != nil {
		return fmt.Errorf("map %s: %w", name, err)
	}
	key, val := make([]byte, from.KeySize()), make([]byte, from.ValueSize())
	it := from.Iterate()
	for it.Next(&key, &val) {
		if err := do(tk, tv, recast(fk, tk, key), recast(fv, tv, val)); err != nil {
			return err
		}
	}
	// Entries that go meanwhile may break the walk; the second pass sees what the first did not.
	if err := it.Err(); err != nil && !errors.Is(err, ebpf.ErrIterationAborted) {
		return fmt.Errorf("read map %s of %s: %w", name, c.dir, err)
	}
	return nil
}

// adoptMany is ADOPT of bpf/adopt.c.
const adoptMany = 16

func (c *copier) conns() error {
	frame, n := make([]byte, 16, 4096), 0
	flush := func() error {
		if n == 0 {
			return nil
		}
		if _, err := c.p.coll.Programs["adopt"].Run(&ebpf.RunOptions{Data: frame}); err != nil {
			return fmt.Errorf("take over connections: %w", err)
		}
		frame, n = frame[:16], 0
		return nil
	}
	err := c.each("conn", [2]string{"conn_key", "conn_val"}, func(ks, vs shape, key, val []byte) error {
		ep, ok := c.eps[uint32(ks.read(key, "ep"))] //nolint:gosec // has 32 bits
		if !ok {
			return nil // its port is gone
		}
		ks.write(key, "ep", uint64(ep))
		vs.write(val, "rule", uint64(c.rules[uint32(vs.read(val, "rule"))])) //nolint:gosec // has 32 bits
		frame = append(append(frame, key...), val...)
		if n++; n == adoptMany {
			return flush()
		}
		return nil
	})
	return errors.Join(err, flush())
}

func (c *copier) fragments() error {
	return c.each("frag", [2]string{"frag_key", "frag_val"}, func(_, _ shape, key, val []byte) error {
		if err := c.p.coll.Maps["frag"].Update(key, val, ebpf.UpdateNoExist); err != nil && !errors.Is(err, ebpf.ErrKeyExist) {
			return fmt.Errorf("take over fragments: %w", err)
		}
		return nil
	})
}

// outer takes over the MACs known on external networks.
func (c *copier) outer() error {
	return c.each("outer", [2]string{"addr_key", "outer_val"}, func(ks, _ shape, key, val []byte) error {
		net, ok := c.nets[uint32(ks.read(key, "net"))] //nolint:gosec // has 32 bits
		if !ok {
			return nil
		}
		ks.write(key, "net", uint64(net))
		if err := c.p.coll.Maps["outer"].Update(key, val, ebpf.UpdateNoExist); err != nil && !errors.Is(err, ebpf.ErrKeyExist) {
			return fmt.Errorf("take over external neighbours: %w", err)
		}
		return nil
	})
}

// learned takes over who was heard to have which address and MAC, as far as the State lets them. What was heard comes before what
// the server told (over), which is put in with the time of its telling; later the newer one stays.
func (c *copier) learned(over bool) error {
	t, changed := c.p.t, map[uint32]bool{}
	for _, name := range learnMaps {
		err := c.each(name, [2]string{"fact_key", "fact"}, func(_, _ shape, key, val []byte) error {
			var k weftFactKey
			var v weftFact
			if err := errors.Join(decode(key, &k), decode(val, &v)); err != nil {
				return err
			}
			net, ok := c.nets[k.Net]
			neighbor, known := c.neighbors[v.Neighbor]
			k.Net, v.Neighbor = net, neighbor
			if state := c.p.over.state; !ok || !known || state == nil || !state.allowed(k, v) {
				return nil
			}
			m := t.learn[1]
			if c.p.over.state.listed(k) {
				m = t.learn[0]
			}
			var old weftFact
			if err := m.Lookup(&k, &old); err == nil && (old.Seen >= v.Seen && !over || old == v) {
				return nil
			}
			changed[k.Net] = true
			return m.Put(&k, &v)
		})
		if err != nil {
			return fmt.Errorf("take over what was learned: %w", err)
		}
	}
	return t.voidLearned(changed)
}

// decode reads a value of a map.
func decode(b []byte, v any) error { return binary.Read(bytes.NewReader(b), binary.NativeEndian, v) }
