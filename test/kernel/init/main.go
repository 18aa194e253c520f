// Command init is the first process of the test machine: it mounts what tests need, loads the kernel modules it is given, runs
// the test binary once for each line of /args, prints the worst exit code and powers off.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// Done marks the line with the exit code on the console.
const Done = "WEFT-TEST-EXIT"

func main() {
	code := 1
	if err := prepare(); err != nil {
		fmt.Println("init:", err)
	} else {
		code = run()
	}
	fmt.Println(Done, code)
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Println("init: power off:", err)
	}
}

func prepare() error {
	for _, m := range []struct{ dir, kind string }{
		{"/proc", "proc"}, {"/sys", "sysfs"}, {"/dev", "devtmpfs"}, {"/tmp", "tmpfs"}, {"/run", "tmpfs"}, {"/sys/fs/bpf", "bpf"},
	} {
		if err := os.MkdirAll(m.dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		if err := unix.Mount(m.kind, m.dir, m.kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s: %w", m.dir, err)
		}
	}
	list, err := os.ReadFile("/modules/order")
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(list)) {
		f, err := os.Open("/modules/" + name)
		if err != nil {
			return err
		}
		if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("load module %s: %w", name, err)
		}
		f.Close()
	}
	return os.WriteFile("/proc/sys/net/core/bpf_jit_enable", []byte("1"), 0)
}

func run() int {
	args, err := os.ReadFile("/args")
	if err != nil {
		fmt.Println("init:", err)
		return 1
	}
	worst := 0
	for line := range strings.Lines(string(args)) {
		worst = max(worst, once(strings.Fields(line)))
	}
	return worst
}

func once(args []string) int {
	c := exec.Command("/test/ebpf.test", args...)
	c.Dir, c.Stdout, c.Stderr = "/test", os.Stdout, os.Stdout
	c.Env = []string{"TMPDIR=/tmp", "HOME=/tmp", "PATH=/bin"}
	err := c.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	} else if err != nil {
		fmt.Println("init:", err)
		return 1
	}
	return 0
}
