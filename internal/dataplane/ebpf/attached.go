package ebpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// Attached reports whether a program of this plane is on the ingress of the device with that index. known is false where
// the kernel has no tcx, and programs hang on clsact filters instead.
func Attached(index int) (attached, known bool, err error) {
	res, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: ebpf.AttachTCXIngress})
	if errors.Is(err, ebpf.ErrNotSupported) {
		return false, false, nil
	} else if err != nil {
		return false, false, fmt.Errorf("query programs of interface %d: %w", index, err)
	}
	for _, p := range res.Programs {
		prog, err := ebpf.NewProgramFromID(p.ID)
		if err != nil {
			continue // gone since
		}
		info, err := prog.Info()
		prog.Close() //nolint:errcheck // only read
		if err == nil && info.Name == "from_instance" {
			return true, true, nil
		}
	}
	return false, true, nil
}
