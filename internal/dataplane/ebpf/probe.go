package ebpf

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"
)

// Probe says whether this machine can carry the data plane: nil, or an error that names the cure. Features are tried,
// never derived from a version.
func Probe() error {
	if os.Geteuid() != 0 {
		return errors.New("the ebpf data plane needs root: run the agent as root, or give it CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON")
	}
	if err := features.HaveProgramType(ebpf.SchedCLS); err != nil {
		return fmt.Errorf("the kernel has no BPF traffic control programs (CONFIG_NET_CLS_BPF): use a kernel of 6.1 or newer: %w", err)
	}
	for what, fn := range map[string]asm.BuiltinFunc{"bpf_loop": asm.FnLoop, "bpf_redirect_peer": asm.FnRedirectPeer,
		"bpf_ringbuf_output": asm.FnRingbufOutput, "bpf_ktime_get_coarse_ns": asm.FnKtimeGetCoarseNs} {
		if err := features.HaveProgramHelper(ebpf.SchedCLS, fn); errors.Is(err, ebpf.ErrNotSupported) {
			return fmt.Errorf("the kernel lacks %s: use a kernel of 6.1 or newer: %w", what, err)
		}
	}
	return nil
}

// bpffs reports whether the directory is on a BPF file system.
func bpffs(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("look at %s: %w", dir, err)
	}
	if st.Type != unix.BPF_FS_MAGIC {
		return fmt.Errorf("%s is on no BPF file system: mount one (mount -t bpf bpf /sys/fs/bpf) or choose another directory", dir)
	}
	return nil
}
