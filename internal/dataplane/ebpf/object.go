package ebpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// version is the layout of the pinned maps. A process uses only the maps of its own version.
const version = "v3"

// tails are the programs behind tail calls, by their index in the map jump (bpf/lib/maps.h).
var tails = [...]string{"instance", "overlay", "route", "output", "flood", "answer_arp", "answer_nd", "answer_echo", "answer_error",
	"physical", "outside", "floating", "nat"}

// private are the maps of one set of programs; all others are state and pinned.
var private = map[string]bool{"jump": true, "scratch": true, "decision": true, "clones": true, "test_input": true, "recent": true, ".rodata": true}

// options are the switches set when the programs are loaded.
type options struct {
	// record writes the decision record for each packet; test takes packets from BPF_PROG_RUN.
	record, test bool
	// pinPath is where state maps are pinned and found again; "": nothing is pinned.
	pinPath string
}

// load loads the programs and fills the map of tail calls.
func load(o options) (*ebpf.Collection, error) {
	spec, err := loadWeft()
	if err != nil {
		return nil, fmt.Errorf("read the compiled programs: %w", err)
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
