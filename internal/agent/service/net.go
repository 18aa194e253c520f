package service

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/weft-cloud/weft/internal/linux"
)

// Net is the service namespace: its device, and the sockets in it. It has no name, and goes with the process.
type Net struct {
	Tun *os.File
	// HTTP are the listeners for metadata, DNSTCP and DNSUDP those for DNS: IPv4 first, then IPv6 where the host has it.
	HTTP, DNSTCP []net.Listener
	DNSUDP       []net.PacketConn
	// NoIPv6 says why there are none for IPv6; nil: there are.
	NoIPv6 error
}

const (
	tunName = "weft-svc"
	// tunMTU is what an instance takes at most without having asked for more; TCP keeps to the instance's own MSS.
	tunMTU = 1500
)

// OpenNet makes the namespace.
func OpenNet() (*Net, error) {
	n := &Net{}
	err := linux.InPrivateNetns(func() error {
		var err error
		if n.Tun, err = linux.OpenTun(tunName, tunMTU); err != nil {
			return err
		}
		if err := n.listen(addr4, range4); err != nil {
			return err
		}
		n.NoIPv6 = n.listen(addr6, range6)
		return nil
	})
	if err != nil {
		n.Close()
		return nil, fmt.Errorf("open the service namespace: %w", err)
	}
	return n, nil
}

func (n *Net) listen(a netip.Addr, from netip.Prefix) error {
	if err := linux.AddAddr("", tunName, netip.PrefixFrom(a, a.BitLen())); err != nil {
		return err
	}
	if err := linux.ReplaceRoute("", tunName, from, netip.Addr{}); err != nil {
		return err
	}
	for _, port := range []uint16{80, 53} {
		l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, port)))
		if err != nil {
			return err
		}
		if port == 80 {
			n.HTTP = append(n.HTTP, l)
		} else {
			n.DNSTCP = append(n.DNSTCP, l)
		}
	}
	u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 53)))
	if err != nil {
		return err
	}
	n.DNSUDP = append(n.DNSUDP, u)
	return nil
}

// Close closes everything; the namespace goes.
func (n *Net) Close() error {
	var errs []error
	if n.Tun != nil {
		errs = append(errs, n.Tun.Close())
	}
	for _, l := range append(n.HTTP, n.DNSTCP...) {
		errs = append(errs, l.Close())
	}
	for _, u := range n.DNSUDP {
		errs = append(errs, u.Close())
	}
	return errors.Join(errs...)
}
