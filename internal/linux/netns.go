package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// NetnsDir is where named network namespaces are kept, as iproute2 does (ip-netns(8)).
const NetnsDir = "/run/netns"

// NetnsPath is the file that holds the named namespace. A name that is an absolute path is a file elsewhere.
func NetnsPath(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(NetnsDir, name)
}

// NetnsDirIsMount reports whether NetnsDir is the root of a mount, as PrepareNetnsDir makes it. The list of mounts would
// not tell: it also has those that others hide.
func NetnsDirIsMount() (bool, error) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, NetnsDir, 0, 0, &st)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("look at %s: %w", NetnsDir, err)
	}
	return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}

// PrepareNetnsDir makes NetnsDir a shared mount, as iproute2 does before its first namespace, so that a namespace
// removed in one mount namespace goes everywhere. It is no error if it is one.
func PrepareNetnsDir() error {
	if err := os.MkdirAll(NetnsDir, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", NetnsDir, err)
	}
	if err := unix.Mount("", NetnsDir, "", unix.MS_SHARED|unix.MS_REC, ""); err == nil {
		return nil
	} else if !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("share %s: %w", NetnsDir, err)
	}
	if err := unix.Mount(NetnsDir, NetnsDir, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s: %w", NetnsDir, err)
	}
	if err := unix.Mount("", NetnsDir, "", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("share %s: %w", NetnsDir, err)
	}
	return nil
}

// UndoNetnsDir undoes PrepareNetnsDir if no namespace is left in NetnsDir; with namespaces left it does nothing.
func UndoNetnsDir() error {
	left, err := NetnsNames()
	if err != nil || len(left) > 0 {
		return err
	}
	if err := unix.Unmount(NetnsDir, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", NetnsDir, err)
	}
	return nil
}

// NetnsNames lists the named network namespaces, sorted.
func NetnsNames() ([]string, error) {
	ents, err := os.ReadDir(NetnsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("list network namespaces: %w", err)
	}
	names := make([]string, 0, len(ents))
	for _, e := range ents {
		names = append(names, e.Name())
	}
	return names, nil
}

// NetnsExists reports whether the named namespace is there.
func NetnsExists(name string) bool {
	_, err := os.Stat(NetnsPath(name))
	return err == nil
}

// CreateNetns makes a named network namespace whose loopback is up and bears mark as its alias. The mark is there before
// the name is, so that a crash never leaves a named namespace of ours without it.
func CreateNetns(name, mark string) error {
	path := NetnsPath(name)
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return fmt.Errorf("create network namespace %s: %w", name, err)
	}
	f.Close()
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		if err := setAlias("", "lo", mark); err != nil {
			return err
		}
		if err := SetUp("", "lo"); err != nil {
			return err
		}
		if err := unix.Mount(threadNetns(), path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind: %w", err)
		}
		return nil
	})
	if err != nil {
		os.Remove(path) //nolint:errcheck // the first error is the one that matters
		return fmt.Errorf("create network namespace %s: %w", name, err)
	}
	return nil
}

// DeleteNetns removes the name of a network namespace; its links go with it once no process is in it. It is no error if
// the namespace is not there. A plain file left by a crash in the middle of CreateNetns is removed, too.
func DeleteNetns(name string) error {
	path := NetnsPath(name)
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount network namespace %s: %w", name, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove network namespace %s: %w", name, err)
	}
	return nil
}

// NetnsMark is the alias of the loopback of a namespace, "" if it bears none or is no namespace at all.
func NetnsMark(name string) (string, error) {
	var mark string
	err := InNetns(name, func() error {
		l, err := LinkByName("", "lo")
		mark = l.Alias
		return err
	})
	if errors.Is(err, unix.EINVAL) { // a plain file: what a crash inside CreateNetns leaves
		return "", nil
	}
	return mark, err
}

// InNetns runs fn in the named namespace. What fn opens or starts stays there: sockets keep the namespace in which they
// were made, child processes inherit it.
func InNetns(name string, fn func() error) error {
	if name == "" {
		return fn()
	}
	return onThread(func() error {
		if err := JoinNetns(name); err != nil {
			return err
		}
		return fn()
	})
}

// JoinNetns moves the calling thread, which must be locked to its goroutine, into the named namespace for good: for a
// process about to become another by execve.
func JoinNetns(name string) error {
	f, err := os.Open(NetnsPath(name))
	if err != nil {
		return fmt.Errorf("enter network namespace %s: %w", name, err)
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", name, err)
	}
	return nil
}

// onThread runs fn on an operating system thread of its own, which comes back to the process's namespace or, if that
// fails, ends with the goroutine. A separate goroutine leaves the caller's thread alone.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open(threadNetns())
		if err != nil {
			runtime.UnlockOSThread()
			done <- fmt.Errorf("open own network namespace: %w", err)
			return
		}
		defer home.Close()
		err = fn()
		if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

func threadNetns() string { return "/proc/thread-self/ns/net" }

// NetnsPIDs lists the processes in the named namespace. One that is not there, or no longer, has none.
func NetnsPIDs(name string) ([]int, error) {
	want, err := netnsInode(NetnsPath(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("processes of network namespace %s: %w", name, err)
	}
	var pids []int
	for _, pid := range allPIDs() {
		if got, err := netnsInode(filepath.Join("/proc", strconv.Itoa(pid), "ns/net")); err == nil && got == want {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

type inode struct{ dev, ino uint64 }

func netnsInode(path string) (inode, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return inode{}, err
	}
	return inode{uint64(st.Dev), st.Ino}, nil
}

// PIDsWithEnv lists the processes that were started with the environment entry "KEY=value". Processes which may not be
// looked into are passed over.
func PIDsWithEnv(entry string) []int {
	var pids []int
	for _, pid := range allPIDs() {
		b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
		if err == nil && slices.Contains(strings.Split(string(b), "\x00"), entry) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func allPIDs() []int {
	ents, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range ents {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// IsNetns reports whether the name is that of a network namespace, and not a plain file that a crash has left.
func IsNetns(name string) bool {
	var st unix.Statfs_t
	return unix.Statfs(NetnsPath(name), &st) == nil && st.Type == unix.NSFS_MAGIC
}
