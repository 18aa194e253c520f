package guest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/linux"
)

// client is a DHCPv4 client (RFC 2131): it gets a lease, puts it to use, and renews it for as long as the guest lives.
type client struct {
	con    *console
	ifname string
	name   string
	held   *dhcpv4.DHCPv4 // the acknowledgement in use; nil: none
	first  sync.Once
	leased chan struct{} // closed by the first lease
}

// run is the client's state machine (RFC 2131, section 4.4); one round is one lease.
func (c *client) run(ctx context.Context) error {
	for ctx.Err() == nil {
		ack, err := c.acquire(ctx)
		if err != nil {
			return err
		}
		if ack == nil { // ctx ended
			return nil
		}
		if err := c.apply(ack); err != nil {
			c.con.printf("dhcp: lease cannot be used: %v", err)
			if !sleep(ctx, 5*time.Second) {
				return nil
			}
			continue
		}
		c.first.Do(func() { close(c.leased) })
		c.keep(ctx)
	}
	return nil
}

// acquire asks until it is answered. The first tries follow each other fast, as the port may not be wired up yet.
func (c *client) acquire(ctx context.Context) (*dhcpv4.DHCPv4, error) {
	c.con.printf("dhcp: discover on %s", c.ifname)
	for try, wait := 1, 100*time.Millisecond; ctx.Err() == nil; try++ {
		ack, err := c.ask(ctx, wait)
		switch {
		case err == nil:
			return ack, nil
		case errors.Is(err, unix.ENODEV), linux.IsNoLink(err):
			return nil, fmt.Errorf("dhcp on %s: %w", c.ifname, err)
		case ctx.Err() == nil && try%10 == 0:
			c.con.printf("dhcp: no answer after %d tries: %v", try, err)
		}
		wait = min(wait*3/2, 5*time.Second)
	}
	return nil, nil //nolint:nilnil // ctx ended; nothing to report
}

// ask is one exchange of discover, offer, request and acknowledgement, of which each answer may take wait.
func (c *client) ask(ctx context.Context, wait time.Duration) (*dhcpv4.DHCPv4, error) {
	cl, err := nclient4.New(c.ifname, nclient4.WithTimeout(wait), nclient4.WithRetry(1))
	if err != nil {
		return nil, err
	}
	defer cl.Close() //nolint:errcheck // a socket that was only read
	started := time.Now()
	lease, err := cl.Request(ctx, c.options()...)
	if err != nil {
		sleep(ctx, wait-time.Since(started)) // an error that comes at once must not make a busy loop
		return nil, err
	}
	return lease.ACK, nil
}

func (c *client) options() []dhcpv4.Modifier {
	return []dhcpv4.Modifier{
		dhcpv4.WithOption(dhcpv4.OptHostName(c.name)),
		dhcpv4.WithRequestedOptions(dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer,
			dhcpv4.OptionHostName, dhcpv4.OptionDomainName, dhcpv4.OptionInterfaceMTU, dhcpv4.OptionClasslessStaticRoute),
	}
}

// apply puts the lease to use and drops what an older one had brought.
func (c *client) apply(ack *dhcpv4.DHCPv4) error {
	addr, err := leaseAddr(ack)
	if err != nil {
		return err
	}
	if old, err := heldAddr(c.held); err == nil && old != addr {
		if err := linux.DelAddr("", c.ifname, old); err != nil {
			return err
		}
	}
	if err := linux.AddAddr("", c.ifname, addr); err != nil {
		return err
	}
	if mtu, err := dhcpv4.GetUint16(dhcpv4.OptionInterfaceMTU, ack.Options); err == nil && mtu >= 68 {
		if err := linux.SetMTU("", c.ifname, int(mtu)); err != nil {
			return err
		}
	}
	for _, r := range leaseRoutes(ack) {
		if err := linux.ReplaceRoute("", c.ifname, r.dst, r.via); err != nil {
			return err
		}
	}
	c.held = ack
	c.con.printf("dhcp: %s leased from %s for %s (hostname %q)", addr, ack.ServerIdentifier(), ack.IPAddressLeaseTime(0), ack.HostName())
	return nil
}

func heldAddr(ack *dhcpv4.DHCPv4) (netip.Prefix, error) {
	if ack == nil {
		return netip.Prefix{}, errors.New("no lease")
	}
	return leaseAddr(ack)
}

func leaseAddr(ack *dhcpv4.DHCPv4) (netip.Prefix, error) {
	ip, ok := netip.AddrFromSlice(ack.YourIPAddr.To4())
	ones, bits := ack.SubnetMask().Size()
	if !ok || bits != 32 || ip.IsUnspecified() {
		return netip.Prefix{}, fmt.Errorf("address %s with mask %s", ack.YourIPAddr, ack.SubnetMask())
	}
	return netip.PrefixFrom(ip, ones), nil
}

type route struct {
	dst netip.Prefix
	via netip.Addr // invalid: on the link
}

// leaseRoutes are the routes of a lease. Classless routes, if there are any, replace the router option (RFC 3442).
func leaseRoutes(ack *dhcpv4.DHCPv4) []route {
	var out []route
	for _, r := range ack.ClasslessStaticRoute() {
		dst, ok := netip.AddrFromSlice(r.Dest.IP.To4())
		ones, _ := r.Dest.Mask.Size()
		if !ok {
			continue
		}
		via, _ := netip.AddrFromSlice(r.Router.To4())
		if via.IsUnspecified() { // RFC 3442: 0.0.0.0 means on the link
			via = netip.Addr{}
		}
		out = append(out, route{netip.PrefixFrom(dst, ones).Masked(), via})
	}
	if len(out) > 0 {
		return out
	}
	for _, r := range ack.Router() {
		if via, ok := netip.AddrFromSlice(r.To4()); ok {
			return []route{{netip.PrefixFrom(netip.IPv4Unspecified(), 0), via}}
		}
	}
	return nil
}

// keep renews the lease until it is lost (refused or expired) or ctx ends.
func (c *client) keep(ctx context.Context) {
	for {
		got := time.Now()
		life := c.held.IPAddressLeaseTime(time.Hour)
		if life >= 0xffffffff*time.Second { // infinite (RFC 2131, section 3.3)
			<-ctx.Done()
			return
		}
		t1, t2 := c.held.IPAddressRenewalTime(life/2), c.held.IPAddressRebindingTime(life*7/8)
		if !sleep(ctx, t1) {
			return
		}
		ack, err := c.renew(ctx, got.Add(t2), got.Add(life))
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = c.apply(ack)
		}
		if err != nil {
			c.con.printf("dhcp: lease lost: %v", err)
			if a, err := heldAddr(c.held); err == nil {
				linux.DelAddr("", c.ifname, a) //nolint:errcheck // the next lease puts things right
			}
			c.held = nil
			return
		}
	}
}

// renew asks the server itself until rebind, then any server until expire (RFC 2131, section 4.4.5).
func (c *client) renew(ctx context.Context, rebind, expire time.Time) (*dhcpv4.DHCPv4, error) {
	for {
		now := time.Now()
		if now.After(expire) {
			return nil, errors.New("expired without an answer")
		}
		var ack *dhcpv4.DHCPv4
		var err error
		wait := min(5*time.Second, max(time.Until(expire)/4, 100*time.Millisecond))
		if now.Before(rebind) {
			ack, err = c.renewUnicast(ctx, wait)
		} else {
			ack, err = c.rebind(ctx, wait)
		}
		var nak *nclient4.ErrNak
		if err == nil || errors.As(err, &nak) || ctx.Err() != nil {
			return ack, err
		}
		if !sleep(ctx, wait) {
			return nil, ctx.Err()
		}
	}
}

// renewUnicast goes through the guest's own stack: from the leased address to the server's, by the neighbour table.
func (c *client) renewUnicast(ctx context.Context, wait time.Duration) (*dhcpv4.DHCPv4, error) {
	conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: c.held.YourIPAddr, Port: nclient4.ClientPort},
		&net.UDPAddr{IP: c.held.ServerIdentifier(), Port: nclient4.ServerPort})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	req, err := dhcpv4.NewRenewFromAck(c.held, c.options()...)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(req.ToBytes()); err != nil {
		return nil, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return nil, err
	}
	buf := make([]byte, 2048)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		m, err := dhcpv4.FromBytes(buf[:n])
		if err != nil || m.TransactionID != req.TransactionID {
			continue
		}
		switch m.MessageType() {
		case dhcpv4.MessageTypeAck:
			return m, nil
		case dhcpv4.MessageTypeNak:
			return nil, &nclient4.ErrNak{Offer: c.held, Nak: m}
		}
	}
}

func (c *client) rebind(ctx context.Context, wait time.Duration) (*dhcpv4.DHCPv4, error) {
	cl, err := nclient4.New(c.ifname, nclient4.WithTimeout(wait), nclient4.WithRetry(1))
	if err != nil {
		return nil, err
	}
	defer cl.Close() //nolint:errcheck // a socket that was only read
	lease, err := cl.Renew(ctx, &nclient4.Lease{Offer: c.held, ACK: c.held}, c.options()...)
	if err != nil {
		return nil, err
	}
	return lease.ACK, nil
}
