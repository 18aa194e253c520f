// Package e2e drives the lab from outside, as its user does: by the binary's commands, the OpenStack client and tcpdump.
//
// The tests run in network, mount and process namespaces of their own, so that they neither see nor touch the machine's
// and "what was there before" can be compared whole: those with instances on veths in some, those with taps in others beside them. They must not import the lab's code: what they check is what a
// person sees.
package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	insideEnv = "WEFT_E2E_INSIDE" // the kind of interface, set in the child that runs its tests
	binaryEnv = "WEFT_E2E_BINARY" // the binary under test; built if not set
	besideEnv = "WEFT_E2E_BESIDE" // set: both kinds of interface at once
)

// vifs are the kinds of interface that instances may have.
var vifs = []string{"veth", "tap"}

// elsewhere are the tests that have nothing to do with the kind of interface, by the kind whose child leaves them to the other.
var elsewhere = map[string][]string{
	"veth": {"TestTunnelPortTaken", "TestDiskFillsUpHalfway", "TestMissingFeaturesAreNamed", "TestRefusalsNameTheCure", "TestLostEchoes"},
	"tap":  {"TestNDPProxy"},
}

// vif is this child's.
func vif() string { return os.Getenv(insideEnv) }

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Geteuid() != 0 || os.Getenv("WEFT_TEST_PRIVILEGED") == "0" {
		fmt.Println("SKIP: end-to-end tests need root: they make network namespaces")
		return 0
	}
	if os.Getenv(insideEnv) != "" {
		if err := furnish(); err != nil {
			fmt.Println("prepare the namespaces:", err)
			return 1
		}
		return m.Run()
	}
	path := binary()
	if path == "" {
		dir, err := os.MkdirTemp("", "weft-e2e-")
		if err != nil {
			fmt.Println(err)
			return 1
		}
		defer os.RemoveAll(dir)
		// A test runs the binary as nobody, who must be able to reach it.
		if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // nothing in it is secret
			fmt.Println(err)
			return 1
		}
		path = filepath.Join(dir, "weft")
		if out, err := exec.Command("go", "build", "-o", path, "../../cmd/weft").CombinedOutput(); err != nil {
			fmt.Printf("build: %v\n%s", err, out)
			return 1
		}
	}
	return halves(path)
}

// halves runs the tests with each kind of interface in a child of its own; with besideEnv both at once, since most of what they do is wait.
// What the second one says is printed when both are through then.
func halves(path string) (code int) {
	if os.Getenv(besideEnv) == "" {
		for _, vif := range vifs {
			code = max(code, inside(path, vif, os.Stdout))
		}
		return code
	}
	var wait sync.WaitGroup
	var said bytes.Buffer
	codes := make([]int, len(vifs))
	for i, vif := range vifs {
		out := io.Writer(os.Stdout)
		if i > 0 {
			out = &said
		}
		wait.Go(func() { codes[i] = inside(path, vif, out) })
	}
	wait.Wait()
	os.Stdout.Write(said.Bytes()) //nolint:errcheck // nobody could be told
	return slices.Max(codes)
}

// inside runs the tests that are vif's in namespaces of their own.
func inside(path, vif string, out io.Writer) int {
	args := os.Args[1:]
	if !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "-test.skip") }) {
		args = append(slices.Clone(args), "-test.skip=^("+strings.Join(elsewhere[vif], "|")+")$")
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), insideEnv+"="+vif, binaryEnv+"="+path)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1)
	} else if err != nil {
		fmt.Fprintln(out, err)
		return 1
	}
	return 0
}

// furnish mounts what a machine has, fresh, over the real machine's, in this mount namespace only.
func furnish() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := leaveOut(); err != nil {
		return err
	}
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"bpf", "/sys/fs/bpf"}, {"tmpfs", "/run"}} {
		if err := unix.Mount(m[0], m[1], m[0], 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m[1], err)
		}
	}
	if err := os.Mkdir("/run/lock", 0o755); err != nil {
		return err
	}
	return exec.Command("ip", "link", "set", "lo", "up").Run()
}

// leaveOut unmounts here what other tests on the machine mount: that would come and go in what is compared before and after.
func leaveOut() error {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		path := strings.Fields(line)[4]
		if !strings.HasPrefix(path, "/run/netns") && !strings.HasPrefix(path, filepath.Join(os.TempDir(), "weft-")) {
			continue
		}
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("leave out %s: %w", path, err)
		}
	}
	return nil
}

// weft runs the binary; it returns standard output, and everything for the log of a failure.
func weft(args ...string) (stdout string, err error) {
	return output(exec.Command(binary(), args...))
}

func binary() string { return os.Getenv(binaryEnv) }

func output(cmd *exec.Cmd) (string, error) {
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s%s", strings.Join(cmd.Args, " "), err, out.String(), errOut.String())
	}
	return out.String(), err
}

// must runs the binary and fails the test if that fails.
func must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := weft(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// up brings a lab up and removes it at the end of the test, when everything must be as it was before. It returns the state
// directory.
func up(t *testing.T, args ...string) string {
	t.Helper()
	before := snapshot(t)
	dir := filepath.Join(t.TempDir(), "state")
	t.Cleanup(func() {
		if t.Failed() {
			showLogs(t)
		}
		must(t, "lab", "down")
		after(t, before)
	})
	t.Log("\n" + must(t, append([]string{"lab", "up", "--state-dir", dir}, args...)...))
	return dir
}

func showLogs(t *testing.T) {
	t.Helper()
	names, err := weft("lab", "logs")
	if err != nil {
		t.Log(err)
	}
	for name := range strings.FieldsSeq(names) {
		if text, err := weft("lab", "logs", name); err == nil {
			lines := strings.Split(strings.TrimSpace(text), "\n")
			t.Logf("log of %s:\n%s", name, strings.Join(lines[max(0, len(lines)-12):], "\n"))
		}
	}
}
