package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/linux"
)

// ports that the lab listens on, at 127.0.0.1, and what for.
func ports() []struct {
	port int
	what string
} {
	return []struct {
		port int
		what string
	}{{5000, "identity"}, {8774, "compute"}, {9292, "image"}, {9696, "networking"}}
}

// minFree is the least free room of the state directory, in bytes: logs, a small database, nothing more.
const minFree = 64 << 20

// CheckRoot fails for anybody but root.
func CheckRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("the lab makes network namespaces and loads BPF programs, which needs root: try `sudo weft lab …`")
	}
	return nil
}

// checkMachine finds out whether a lab can live here; each refusal comes with its cure. Nothing is changed.
func checkMachine(o Options, probe func() error) error {
	for _, check := range []func() error{
		CheckRoot,
		func() error { return checkOptions(o) },
		checkPorts,
		func() error { return checkStateDir(o.StateDir) },
		func() error { return checkKernel("/dev/net/tun", probe) },
		checkNames,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func checkOptions(o Options) error {
	switch {
	case o.Computes < 1 || o.Computes > MaxComputes:
		return fmt.Errorf("--computes %d: from 1 to %d", o.Computes, MaxComputes)
	case o.UnderlayMTU < 1350 || o.UnderlayMTU > 65535:
		return fmt.Errorf("--underlay-mtu %d: from 1350 (IPv6 needs 1280 inside of a tunnel, RFC 8200) to 65535", o.UnderlayMTU)
	case o.VIF != "veth" && o.VIF != "tap":
		return fmt.Errorf("--vif %s: veth or tap", o.VIF)
	case o.Redirect != "auto" && o.Redirect != "plain":
		return fmt.Errorf("--redirect %s: auto or plain", o.Redirect)
	}
	return nil
}

func checkPorts() error {
	for _, p := range ports() {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p.port))
		if err != nil {
			return fmt.Errorf("port %d, which the lab's %s API needs, is taken (%w): stop what listens there; `ss -ltnp sport = :%d` names it", p.port, p.what, err, p.port)
		}
		ln.Close()
	}
	return nil
}

// checkStateDir wants the directory empty or absent, and room in it.
func checkStateDir(dir string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("--state-dir %s: must be an absolute path", dir)
	}
	ents, err := os.ReadDir(dir)
	switch {
	case err == nil && len(ents) > 0:
		return fmt.Errorf("--state-dir %s is not empty: name another one, or remove it if nothing there is needed", dir)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("--state-dir: %w", err)
	}
	at := dir
	for err = unix.ENOENT; errors.Is(err, unix.ENOENT); at = filepath.Dir(at) {
		var st unix.Statfs_t
		if unix.Access(at, unix.W_OK) == unix.EROFS { //nolint:errorlint // a system call's own number
			return fmt.Errorf("--state-dir %s: %s is read-only: name a directory that can be written", dir, at)
		}
		if err = unix.Statfs(at, &st); err == nil && st.Bavail*uint64(st.Bsize) < minFree { //nolint:gosec // a block size
			return fmt.Errorf("--state-dir %s: %d MiB free, the lab wants %d: make room or name another place", dir, st.Bavail*uint64(st.Bsize)>>20, minFree>>20) //nolint:gosec // a block size
		}
	}
	if err != nil {
		return fmt.Errorf("--state-dir %s: %w", dir, err)
	}
	return nil
}

// checkKernel tries what the lab needs, and compares no versions. probe does so for the data plane, tun is the device by which taps are made: instances
// may have them, and each agent has one for the services that it offers.
func checkKernel(tun string, probe func() error) error {
	if err := probe(); err != nil {
		return kernelLacks("what the data plane needs", err)
	}
	f, err := os.OpenFile(tun, os.O_RDWR, 0)
	if err != nil {
		return kernelLacks("tap devices (try `modprobe tun`; in a container, let it have "+tun+")", err)
	}
	return f.Close()
}

func kernelLacks(what string, err error) error {
	var u unix.Utsname
	release := "?"
	if unix.Uname(&u) == nil {
		release = unix.ByteSliceToString(u.Release[:])
	}
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%s: not permitted (%w): run as root, in a container with CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN", what, err)
	}
	return fmt.Errorf("this kernel (%s) lacks %s: Weft needs Linux 6.1 or newer, as in Debian 12 (%w)", release, what, err)
}

// checkNames refuses to come near namespaces that are not ours.
func checkNames() error {
	names, err := linux.NetnsNames()
	if err != nil {
		return err
	}
	r := Record{Options: Options{Computes: MaxComputes}}
	var taken []string
	for _, n := range names {
		if r.couldBeOurs(n) {
			taken = append(taken, n)
		}
	}
	if len(taken) > 0 {
		return fmt.Errorf("network namespaces with the lab's names are here already and bear no mark of a lab that is up: %s; remove them with `ip netns delete NAME`", strings.Join(taken, ", "))
	}
	return nil
}

// bpfDir is where the BPF file system is expected.
const bpfDir = "/sys/fs/bpf"

func bpfMounted() (bool, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(bpfDir, &st); err != nil {
		return false, kernelLacks("the BPF file system", err)
	}
	return st.Type == unix.BPF_FS_MAGIC, nil
}
