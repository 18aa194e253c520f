package ebpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// tails are the programs behind tail calls, by their index in the map jump (bpf/lib/maps.h).
var tails = [...]string{"instance", "overlay", "route", "output", "flood", "answer_arp", "answer_nd", "answer_echo", "answer_error",
	"physical", "outside", "floating", "nat", "from_instance", "from_overlay", "from_physical"}

// private are the maps of one set of programs; all others are state and pinned.
var private = map[string]bool{"jump": true, "scratch": true, "decision": true, "clones": true, "test_input": true, "recent": true, "behind": true, ".rodata": true}

// options are the switches set when the programs are loaded.
type options struct {
	// record writes the decision record for each packet; test takes packets from BPF_PROG_RUN.
	record, test bool
	// pinPath is where state maps are pinned and found again; "": nothing is pinned.
	pinPath string
	// spec is the compiled programs; nil: this build's.
	spec *ebpf.CollectionSpec
	// conns is how many connections there may be; 0: as many as compiled.
	conns uint32
}

// load loads the programs and fills the map of tail calls.
func load(o options) (*ebpf.Collection, error) {
	spec := o.spec
	if spec == nil {
		var err error
		if spec, err = loadWeft(); err != nil {
			return nil, fmt.Errorf("read the compiled programs: %w", err)
		}
	}
	for name, on := range map[string]bool{"opt_record": o.record, "opt_test": o.test} {
		if on {
			if err := spec.Variables[name].Set(uint8(1)); err != nil {
				return nil, fmt.Errorf("set %s: %w", name, err)
			}
		}
	}
	// Each processor has its part of the array of recent flows.
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("count the processors: %w", err)
	}
	spec.Maps["recent"].MaxEntries *= uint32(cpus) //nolint:gosec // thousands at most
	if o.conns != 0 {
		spec.Maps["conn"].MaxEntries = o.conns
	}
	var mo ebpf.MapOptions
	if o.pinPath != "" {
		mo.PinPath = o.pinPath
		for name, m := range spec.Maps {
			if !private[name] {
				m.Pinning = ebpf.PinByName
			}
		}
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Maps: mo})
	if errors.Is(err, ebpf.ErrMapIncompatible) {
		return nil, fmt.Errorf("the maps in %s have another layout than this program's (%w); remove the directory, which stops traffic for a moment", o.pinPath, err)
	} else if err != nil {
		return nil, fmt.Errorf("load the BPF programs: %w", err)
	}
	for i, name := range tails {
		if err := coll.Maps["jump"].Put(uint32(i), coll.Programs[name]); err != nil { //nolint:gosec // a few
			coll.Close()
			return nil, fmt.Errorf("put program %s behind its tail call: %w", name, err)
		}
	}
	for i, v := range defaultTimeouts {
		if err := coll.Maps["timeouts"].Put(uint32(i), v); err != nil { //nolint:gosec // a few
			coll.Close()
			return nil, fmt.Errorf("write map timeouts: %w", err)
		}
	}
	return coll, nil
}
