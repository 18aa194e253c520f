package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// VnetHdrLen is the length of the header before each frame of a Tap (struct virtio_net_hdr, linux/virtio_net.h).
const VnetHdrLen = 10

// OpenTap makes a tap device with a virtio-net header before each frame and segmentation and checksums left to the
// reader, as a hypervisor does for a guest that offers them. The device lasts as long as the file is open. offloads
// false makes the kernel hand over plain frames with checksums done.
func OpenTap(ns, name string, offloads bool) (*os.File, error) {
	var f *os.File
	err := InNetns(ns, func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		if err := setupTap(fd, name, offloads); err != nil {
			unix.Close(fd) //nolint:errcheck // nothing was written
			return err
		}
		f = os.NewFile(uintptr(fd), "/dev/net/tun:"+name)
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open tap %s: %w (is the kernel module tun there?)", name, err)
	} else if err != nil {
		return nil, fmt.Errorf("open tap %s: %w", name, err)
	}
	return f, nil
}

func setupTap(fd int, name string, offloads bool) error {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return err
	}
	size := int32(VnetHdrLen)
	if err := ioctlPtr(fd, unix.TUNSETVNETHDRSZ, unsafe.Pointer(&size)); err != nil {
		return err
	}
	flags := 0
	if offloads {
		flags = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN
	}
	return unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, flags)
}

func ioctlPtr(fd int, req uint, p unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(req), uintptr(p)); errno != 0 {
		return errno
	}
	return nil
}
