package ebpf

import (
	"testing"

	"github.com/cilium/ebpf"

	"github.com/weft-cloud/weft/internal/dptest"
)

// freeze lets no object of the tables be written until the function that it returns is called.
func freeze(t *testing.T, x *tables) (thaw func()) {
	t.Helper()
	specs, err := loadWeft()
	if err != nil {
		t.Fatal(err)
	}
	var undo []func()
	for name, m := range map[string]**ebpf.Map{"endpoints": &x.endpoints.m, "networks": &x.networks.m, "peers": &x.peers.m,
		"neighbors": &x.neighbors.m, "routers": &x.routers.m} {
		spec := specs.Maps[name].Copy()
		spec.Pinning = ebpf.PinNone
		frozen, err := ebpf.NewMap(spec)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { frozen.Close() }) //nolint:errcheck // nothing is in it
		if err := frozen.Freeze(); err != nil {
			t.Fatal(err)
		}
		real := *m
		undo = append(undo, func() { *m = real })
		*m = frozen
	}
	return func() {
		for _, f := range undo {
			f()
		}
	}
}

// An object whose parts were written and which could not be itself is written at the next try under another generation, although nothing of
// it is to be written any more but that; and so it is by a process that takes over from one that died in between.
func TestWhatFailedVoidsDecisionsAtTheNextTry(t *testing.T) {
	first := testRunner(t)
	for name, change := range changes() {
		for _, how := range []string{"tried again", "by the next process"} {
			t.Run(name+", "+how, func(t *testing.T) {
				r := &Runner{coll: first.coll, t: first.t, rd: first.rd, nics: first.nics}
				before, after := dptest.Demo(), dptest.Demo()
				change(after)
				u, o := &underTest{r: r, t: t}, &dptest.Oracle{}
				if err := u.Forget(); err != nil {
					t.Fatal(err)
				}
				old, now := before.States()["compute1"], after.States()["compute1"]
				if err := u.Apply(old); err != nil {
					t.Fatal(err)
				}
				_ = o.Apply(old)
				for range 2 {
					for _, p := range packets(before) {
						compare(t, 0, u, o, p)
					}
				}
				thaw := freeze(t, r.t)
				_ = u.Apply(now) // fails, unless the change is none
				thaw()
				if how == "by the next process" {
					r.t, r.clean = newTables(r.coll), false
					if err := r.t.load(); err != nil {
						t.Fatal(err)
					}
					first.t = r.t
				}
				if err := u.Apply(now); err != nil {
					t.Fatal(err)
				}
				_ = o.Apply(now)
				for _, p := range packets(before) {
					if p.in.Port.IsZero() || now.Endpoints[p.in.Port] != nil {
						compare(t, 1, u, o, p)
					}
				}
				if len(r.t.dirty) > 0 {
					t.Errorf("still to be voided: %v", r.t.dirty)
				}
			})
		}
	}
}
