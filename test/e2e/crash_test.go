package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// upTime is how long bringing the lab up took, to choose moments within it.
func upTime(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	// Nobody reads what it prints: it goes on.
	cmd := exec.Command(binary(), "lab", "up", "--state-dir", filepath.Join(t.TempDir(), "state"))
	unread, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	unread.Close()
	cmd.Stdout = out
	err = cmd.Run()
	out.Close()
	if err != nil {
		t.Fatal(err)
	}
	d := time.Since(began)
	must(t, "lab", "down")
	return d
}

func TestDownRestoresTheMachineAfterAKill(t *testing.T) {
	crashes(t, syscall.SIGKILL, func(t *testing.T, _ error) { must(t, "lab", "down") })
}

// Interrupted, and when its terminal goes away.
func TestInterruptLeavesNothing(t *testing.T) {
	crashes(t, syscall.SIGINT, func(t *testing.T, err error) {
		if err == nil { // it was done before the signal came
			must(t, "lab", "down")
		} else if !strings.Contains(err.Error(), "interrupted") || !strings.Contains(err.Error(), "was removed") {
			t.Errorf("what it said: %v", err)
		}
	})
}

// crashes sends the signal to `lab up` at moments spread over its whole run; the two children share them out.
func crashes(t *testing.T, sig syscall.Signal, clean func(*testing.T, error)) {
	before := snapshot(t)
	whole := upTime(t)
	after(t, before)
	const moments = 10
	for i := slices.Index(vifs, vif()); i < moments; i += len(vifs) {
		at := time.Duration((float64(i) + rand.Float64()) / moments * float64(whole))
		sig := sig
		if sig == syscall.SIGINT && i%5 > 2 {
			sig = syscall.SIGHUP
		}
		t.Run(fmt.Sprintf("%s after %s", sig, at.Round(time.Millisecond)), func(t *testing.T) {
			var out strings.Builder
			cmd := exec.Command(binary(), "lab", "up", "--state-dir", filepath.Join(t.TempDir(), "state"), "--vif", vif())
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(at)
			if err := cmd.Process.Signal(sig); err != nil {
				t.Log(err)
			}
			err := cmd.Wait()
			if err != nil && out.Len() == 0 && cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
				after(t, before) // it ended while it was still being loaded, before it had begun
				return
			}
			if err != nil {
				err = fmt.Errorf("%w: %s", err, out.String())
			}
			clean(t, err)
			after(t, before)
		})
	}
}

// Killed or interrupted while it removes a lab, `lab down` needs but to be said again; interrupted, not even that.
func TestDownEndsWhatItBegan(t *testing.T) {
	before := snapshot(t)
	labUp := func(t *testing.T) {
		t.Helper()
		must(t, "lab", "up", "--state-dir", filepath.Join(t.TempDir(), "state"), "--vif", vif())
	}
	labUp(t)
	began := time.Now()
	must(t, "lab", "down")
	whole := time.Since(began)
	after(t, before)
	for i, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGKILL, syscall.SIGKILL, syscall.SIGINT} {
		if i%len(vifs) != slices.Index(vifs, vif()) {
			continue // the other child's
		}
		at := time.Duration((float64(i%3) + rand.Float64()) / 3 * float64(whole))
		t.Run(fmt.Sprintf("%s after %s", sig, at.Round(time.Millisecond)), func(t *testing.T) {
			labUp(t)
			standing := snapshot(t)
			cmd := exec.Command(binary(), "lab", "down")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(at)
			if err := cmd.Process.Signal(sig); err != nil {
				t.Log(err)
			}
			err := cmd.Wait()
			// A signal that comes while the process is still being loaded ends it before it has begun.
			unborn := sig == syscall.SIGINT && err != nil && cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled()
			switch {
			case unborn:
				after(t, standing)
			case sig == syscall.SIGINT && err != nil:
				t.Errorf("interrupted, it stopped: %v", err)
			}
			if unborn || sig == syscall.SIGKILL {
				must(t, "lab", "down")
			}
			after(t, before)
		})
	}
}

// The disk fills up after the lab has looked at it: what was made is removed, and the cure is named.
func TestDiskFillsUpHalfway(t *testing.T) {
	before := snapshot(t)
	for i, inodes := range []int{12, 40, 54} {
		small := t.TempDir()
		if err := syscall.Mount("tmpfs", small, "tmpfs", 0, fmt.Sprintf("size=100m,nr_inodes=%d", inodes)); err != nil {
			t.Fatal(err)
		}
		refused(t, []string{"lab", "up", "--state-dir", filepath.Join(small, "state"), "--vif", vifs[i%2]}, "disk is full", "--state-dir", "was removed")
		unmount(t, small)
	}
	// Its last byte goes while the lab is being made: nobody can even log why nothing goes on.
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=70m"); err != nil {
		t.Fatal(err)
	}
	go func() {
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if _, err := os.Stat(filepath.Join(small, "state", "log")); err != nil {
				continue
			}
			f, err := os.Create(filepath.Join(small, "fill"))
			for err == nil {
				_, err = f.Write(make([]byte, 1<<20))
			}
			f.Close()
			return
		}
	}()
	began := time.Now()
	refused(t, []string{"lab", "up", "--state-dir", filepath.Join(small, "state")}, "disk is full", "--state-dir", "was removed")
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s to say so", took)
	}
	unmount(t, small)
	after(t, before)
}

// unmount waits for the kernel to let go of what was removed a moment ago.
func unmount(t *testing.T, dir string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := syscall.Unmount(dir, 0)
		if err == nil {
			return
		}
		if !errors.Is(err, syscall.EBUSY) || time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func TestMissingFeaturesAreNamed(t *testing.T) {
	before := snapshot(t)
	dir := filepath.Join(t.TempDir(), "state")
	if err := syscall.Mount("tmpfs", "/dev/net", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	for _, vif := range vifs { // agents need them for themselves
		refused(t, []string{"lab", "up", "--state-dir", dir, "--vif", vif}, "tap devices", "modprobe tun")
	}
	if err := syscall.Unmount("/dev/net", 0); err != nil {
		t.Fatal(err)
	}
	// Root of a container that may do nothing to networks.
	cmd := exec.Command("setpriv", "--bounding-set", "-all", "--inh-caps", "-all", binary(), "lab", "up", "--state-dir", dir)
	if out, err := output(cmd); err == nil || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("without capabilities: %v %s", err, out)
	}
	after(t, before)
}

func TestRefusalsNameTheCure(t *testing.T) {
	before := snapshot(t)
	dir := filepath.Join(t.TempDir(), "state")
	full := filepath.Join(t.TempDir(), "full")
	if err := os.MkdirAll(filepath.Join(full, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatal(err)
	}
	refused(t, []string{"lab", "up", "--state-dir", filepath.Join(small, "state")}, "MiB free", "make room")
	unmount(t, small)
	if err := syscall.Mount("tmpfs", small, "tmpfs", syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	refused(t, []string{"lab", "up", "--state-dir", filepath.Join(small, "state")}, small, "read-only", "name a directory")
	unmount(t, small)
	refused(t, []string{"lab", "up", "--state-dir", "/proc/state"}, "/proc/state", "MiB free")
	ln, err := net.Listen("tcp", "127.0.0.1:9696")
	if err != nil {
		t.Fatal(err)
	}
	refused(t, []string{"lab", "up", "--state-dir", dir}, "port 9696", "networking", "ss -ltnp")
	ln.Close()
	refused(t, []string{"lab", "up", "--state-dir", full}, "not empty", "name another")
	refused(t, []string{"lab", "up", "--state-dir", "relative"}, "absolute")
	refused(t, []string{"lab", "up", "--state-dir", dir, "--computes", "9"}, "--computes 9", "1 to 8")
	refused(t, []string{"lab", "up", "--state-dir", dir, "--underlay-mtu", "1000"}, "--underlay-mtu 1000")
	refused(t, []string{"lab", "up", "--state-dir", dir, "--vif", "sriov"}, "veth or tap")
	refused(t, []string{"lab", "status"}, "no lab is up", "weft lab up")
	cmd := exec.Command(binary(), "lab", "up")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if _, err := output(cmd); err == nil || !strings.Contains(err.Error(), "sudo weft lab") {
		t.Errorf("not as root: %v", err)
	}
	after(t, before)
}

// refused runs the binary and wants it to fail with a sentence that has all those words.
func refused(t *testing.T, args []string, words ...string) {
	t.Helper()
	_, err := weft(args...)
	if err == nil {
		t.Errorf("%v succeeded", args)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%v: the sentence lacks %q: %v", args, w, err)
		}
	}
}
