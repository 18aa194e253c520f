package linux

import (
	"fmt"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hardwareRequest is struct ifreq with the address of a link in it (netdevice(7), SIOCGIFHWADDR).
type hardwareRequest struct {
	name   [unix.IFNAMSIZ]byte
	family uint16
	addr   [14]byte
	_      [8]byte
}

// Peek tells of an interface of the calling thread's namespace, as LinkByName does, but only its name, index, MAC, MTU and whether
// it is up: by ioctls that read under RCU (netdevice(7)). Netlink waits for the lock of all configuration (RTNL), which
// another namespace that ends may hold for 10 ms and more: nothing that a new port waits for should. IsNoLink tells an interface
// that is not there.
func Peek(name string) (Link, error) {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return Link{}, fmt.Errorf("interface %q: %w", name, err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return Link{}, fmt.Errorf("interface %s: %w", name, err)
	}
	defer unix.Close(fd)
	l := Link{Name: name}
	for _, ask := range []struct {
		request uint
		take    func()
	}{
		{unix.SIOCGIFINDEX, func() { l.Index = int(req.Uint32()) }},
		{unix.SIOCGIFMTU, func() { l.MTU = int(req.Uint32()) }},
		{unix.SIOCGIFFLAGS, func() { l.Up = req.Uint16()&unix.IFF_UP != 0 }},
	} {
		if err := unix.IoctlIfreq(fd, ask.request, req); err != nil {
			return Link{}, fmt.Errorf("interface %s: %w", name, err)
		}
		ask.take()
	}
	hw := hardwareRequest{}
	copy(hw.name[:], name)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCGIFHWADDR, uintptr(unsafe.Pointer(&hw))); errno != 0 { //nolint:gosec // as ioctl(2) wants it
		return Link{}, fmt.Errorf("interface %s: %w", name, errno)
	}
	if hw.family == unix.ARPHRD_ETHER {
		l.MAC = append(net.HardwareAddr(nil), hw.addr[:6]...)
	}
	return l, nil
}
