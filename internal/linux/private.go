package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// InPrivateNetns runs fn in a new network namespace that has no name and only a loopback, up. What fn opens there stays
// there and keeps the namespace; it goes with the last of it, however the process ends. Functions of this package that
// take a namespace reach it, inside of fn, as "".
func InPrivateNetns(fn func() error) error {
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare network namespace: %w", err)
		}
		if err := SetUp("", "lo"); err != nil {
			return err
		}
		return fn()
	})
}

// OpenTun makes a tun device, up, in the namespace of the calling thread: what is written to it is an IP packet that
// comes in by the device, what is read one that left by it. The device lasts as long as the file is open.
func OpenTun(name string, mtu int) (*os.File, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open tun %s: %w (is the kernel module tun there?)", name, err)
	} else if err != nil {
		return nil, fmt.Errorf("open tun %s: %w", name, err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err == nil {
		err = errors.Join(SetMTU("", name, mtu), SetUp("", name))
	}
	if err != nil {
		unix.Close(fd) //nolint:errcheck // nothing was written
		return nil, fmt.Errorf("open tun %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), "/dev/net/tun:"+name), nil
}

// Packets are the packets that link has received and sent since it was made.
func Packets(ns, link string) (received, sent uint64, err error) {
	err = withLink(ns, link, "count packets of", func(l netlink.Link) error {
		if s := l.Attrs().Statistics; s != nil {
			received, sent = s.RxPackets, s.TxPackets
		}
		return nil
	})
	return received, sent, err
}
