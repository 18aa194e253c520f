package linux

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/google/go-cmp/cmp"
)

// netnsName makes a namespace of a name that no one else has, and removes it.
func netnsName(t *testing.T, suffix string) string {
	t.Helper()
	if os.Geteuid() != 0 || os.Getenv("WEFT_TEST_PRIVILEGED") == "0" {
		t.Skip("needs root: makes network namespaces")
	}
	if err := PrepareNetnsDir(); err != nil {
		t.Fatal(err)
	}
	name := "wlt-" + strconv.Itoa(os.Getpid()) + "-" + suffix
	if err := CreateNetns(name, "mark "+suffix); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := DeleteNetns(name); err != nil {
			t.Error(err)
		}
	})
	return name
}

func TestNetnsHasMarkAndUpLoopback(t *testing.T) {
	name := netnsName(t, "a")
	if mark, err := NetnsMark(name); err != nil || mark != "mark a" {
		t.Errorf("mark = %q, %v", mark, err)
	}
	if lo, err := LinkByName(name, "lo"); err != nil || !lo.Up {
		t.Errorf("lo = %+v, %v", lo, err)
	}
	if err := CreateNetns(name, "again"); !errors.Is(err, os.ErrExist) {
		t.Errorf("second creation: %v", err)
	}
	names, err := NetnsNames()
	if err != nil || !slices.Contains(names, name) {
		t.Errorf("names = %v, %v", names, err)
	}
}

// A veth end whose peer is down has no carrier, and sends nothing.
func TestOperational(t *testing.T) {
	a, b := netnsName(t, "snd"), netnsName(t, "rcv")
	if err := AddVeth(Veth{Name: "here", Netns: a, Peer: End{Name: "there", Netns: b}, MTU: 1500}); err != nil {
		t.Fatal(err)
	}
	want := func(want bool) {
		t.Helper()
		var got bool
		var err error
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if got, err = Operational(a, "here"); err != nil || got == want {
				break
			}
		}
		if err != nil || got != want {
			t.Errorf("operational: %v, %v, want %v", got, err, want)
		}
	}
	if err := SetUp(a, "here"); err != nil {
		t.Fatal(err)
	}
	want(false)
	if err := SetUp(b, "there"); err != nil {
		t.Fatal(err)
	}
	want(true)
	if _, err := Operational(a, "nothing"); !IsNoLink(err) {
		t.Errorf("of no interface: %v", err)
	}
}

func TestDeleteNetnsTakesTheRestOfACrash(t *testing.T) {
	name := netnsName(t, "b")
	plain := name + "-plain"
	if err := os.WriteFile(NetnsPath(plain), nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if mark, err := NetnsMark(plain); err != nil || mark != "" {
		t.Errorf("mark of a plain file = %q, %v", mark, err)
	}
	for range 2 {
		if err := DeleteNetns(plain); err != nil {
			t.Error(err)
		}
	}
	if NetnsExists(plain) {
		t.Error("still there")
	}
}

func TestVethBetweenNamespacesCarriesFrames(t *testing.T) {
	a, b := netnsName(t, "a"), netnsName(t, "b")
	if err := AddVeth(Veth{Name: "x0", Netns: a, Peer: End{Name: "x1", Netns: b}, MTU: 1400, Alias: "ours"}); err != nil {
		t.Fatal(err)
	}
	for ns, link := range map[string]string{a: "x0", b: "x1"} {
		if err := SetUp(ns, link); err != nil {
			t.Fatal(err)
		}
		if l, err := LinkByName(ns, link); err != nil || l.MTU != 1400 || l.Alias != "ours" || l.Kind != "veth" {
			t.Errorf("%s: %+v, %v", link, l, err)
		}
	}
	c, err := OpenCapture(b, "x1", 64)
	if err != nil {
		t.Fatal(err)
	}
	if err := AddAddr(a, "x0", netip.MustParsePrefix("192.0.2.1/24")); err != nil {
		t.Fatal(err)
	}
	err = InNetns(a, func() error {
		// The kernel asks for 192.0.2.2 by ARP: a frame on the other end.
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, []byte("x"), 0, &unix.SockaddrInet4{Port: 9, Addr: [4]byte{192, 0, 2, 2}})
	})
	if err != nil {
		t.Fatal(err)
	}
	for {
		f, err := c.Read()
		if err != nil {
			t.Fatal(err)
		}
		if f.Time.IsZero() || f.Outgoing && f.Data[12] == 8 && f.Data[13] == 6 {
			t.Errorf("frame %+v", f)
		}
		if f.Data[12] == 8 && f.Data[13] == 6 {
			break
		}
	}
	time.AfterFunc(10*time.Millisecond, func() { c.Close() })
	for {
		if _, err := c.Read(); errors.Is(err, os.ErrClosed) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := DelLink(a, "x0"); err != nil {
		t.Error(err)
	}
	if err := DelLink(a, "x0"); err != nil {
		t.Errorf("second removal: %v", err)
	}
}

func TestSignalSparesAnotherProcessOfThatPid(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	start, ok := ProcessStart(cmd.Process.Pid)
	if !ok || start == 0 {
		t.Fatalf("start = %d, %v", start, ok)
	}
	if gone, err := Signal(cmd.Process.Pid, start+1, unix.SIGKILL); err != nil || !gone {
		t.Errorf("other start time: gone %v, %v", gone, err)
	}
	if gone, err := Signal(cmd.Process.Pid, start, unix.SIGKILL); err != nil || gone {
		t.Errorf("gone %v, %v", gone, err)
	}
	cmd.Wait() //nolint:errcheck // killed
	if gone, err := Signal(cmd.Process.Pid, start, unix.SIGKILL); err != nil || !gone {
		t.Errorf("after its end: gone %v, %v", gone, err)
	}
}

func TestTapLivesAsLongAsItsFile(t *testing.T) {
	ns := netnsName(t, "a")
	f, err := OpenTap(ns, "tapx", true)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := LinkByName(ns, "tapx"); err != nil || l.Kind != "tuntap" && l.Kind != "tun" {
		t.Errorf("%+v, %v", l, err)
	}
	f.Close()
	if _, err := LinkByName(ns, "tapx"); !IsNoLink(err) {
		t.Errorf("after close: %v", err)
	}
}

// A namespace may go between being listed and being looked into.
func TestNetnsPIDsOfNone(t *testing.T) {
	if pids, err := NetnsPIDs(filepath.Join(t.TempDir(), "gone")); err != nil || pids != nil {
		t.Errorf("%v, %v", pids, err)
	}
}

func TestPeekSaysWhatNetlinkSays(t *testing.T) {
	ns := netnsName(t, "peek")
	if err := AddVeth(Veth{Name: "a", Netns: ns, Peer: End{Name: "b", Netns: ns}, MTU: 1400}); err != nil {
		t.Fatal(err)
	}
	if err := SetUp(ns, "a"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "lo"} {
		want, err := LinkByName(ns, name)
		if err != nil {
			t.Fatal(err)
		}
		var got Link
		if err := InNetns(ns, func() (err error) { got, err = Peek(name); return err }); err != nil {
			t.Fatal(err)
		}
		want.Kind, want.Alias, want.Master = "", "", 0
		if name == "lo" {
			want.MAC = nil
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	for _, name := range []string{"none", "a name that is too long for an interface"} {
		if _, err := Peek(name); err == nil || name == "none" && !IsNoLink(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
