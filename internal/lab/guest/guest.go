// Package guest is the inside of a lab instance: a small init that does what a cloud image does at boot.
//
// It runs in the instance's network namespace and knows only what a guest knows: one interface, eth0. It brings it up,
// asks for its address by DHCP and keeps the lease, leaves IPv6 to the kernel's SLAAC, asks for its metadata and uses it
// (host name, keys, the user's script), serves a greeting over HTTP, and tells on its console (standard output) what it does. With a tap it also plays the hypervisor's
// part of carrying frames. It must not know addresses or networks from anywhere but the wire.
package guest

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weft-cloud/weft/internal/linux"
)

// Interface is the name of the instance's interface inside.
const Interface = "eth0"

// Config is what the hypervisor gives a guest.
type Config struct {
	Name string
	// Tap, unless empty, names the tap device to make in TapNetns and to carry frames to and from; Interface is then made
	// here, with MAC. Otherwise Interface exists already.
	Tap, TapNetns string
	MAC           net.HardwareAddr
	MTU           int
	// Offloads false: the tap hands over plain frames, segmented and with checksums done.
	Offloads bool
	// Home, unless empty, is a directory of the guest's alone, for its host name, keys and user data.
	Home string
	// Console is where the guest tells what it does.
	Console io.Writer
}

// Run is the guest's life; it ends with ctx, or with an error if the guest cannot start.
func Run(ctx context.Context, cfg Config) error {
	g, ctx := errgroup.WithContext(ctx)
	con := &console{w: cfg.Console, boot: time.Now()}
	con.printf("weft guest %s boots", cfg.Name)
	if cfg.Tap != "" {
		w, err := plug(cfg)
		if err != nil {
			return err
		}
		g.Go(func() error { return w.run(ctx) })
	}
	if err := bringUp(con); err != nil {
		return err
	}
	g.Go(func() error { return serveGreeting(ctx, con, cfg.Name) })
	g.Go(func() error { return watchAddresses(ctx, con) })
	c := &client{con: con, ifname: Interface, name: cfg.Name, leased: make(chan struct{})}
	g.Go(func() error { return c.run(ctx) })
	g.Go(func() error { initialize(ctx, con, cfg.Home, c.leased); return nil })
	err := g.Wait()
	if ctx.Err() != nil && err == nil {
		con.printf("power off")
	}
	return err
}

func bringUp(con *console) error {
	conf := "net/ipv6/conf/" + Interface + "/"
	for _, kv := range [][2]string{
		{conf + "addr_gen_mode", "0"}, // EUI-64: the address that the cloud expects of the port (RFC 4862)
		{conf + "use_tempaddr", "0"},
		{conf + "accept_ra", "2"},
		{conf + "router_solicitation_delay", "0"},
		{conf + "router_solicitation_interval", "1"},
	} {
		if _, err := linux.SetSysctl("", kv[0], kv[1]); err != nil {
			return err
		}
	}
	if err := linux.SetUp("", Interface); err != nil {
		return err
	}
	l, err := linux.LinkByName("", Interface)
	if err != nil {
		return err
	}
	con.printf("%s: up, address %s, mtu %d", Interface, l.MAC, l.MTU)
	return nil
}

// watchAddresses tells of each IPv6 address as the kernel gets it.
func watchAddresses(ctx context.Context, con *console) error {
	seen := map[string]bool{}
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		addrs, err := linux.Addrs("", Interface)
		if err != nil {
			return err
		}
		for _, a := range addrs {
			if a.Addr().Is6() && !seen[a.String()] {
				seen[a.String()] = true
				con.printf("%s: IPv6 address %s", Interface, a)
			}
		}
		if !sleep(ctx, wait) {
			return nil
		}
	}
}

// sleep waits for d; false: ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// console writes lines as a kernel does: seconds since boot first.
type console struct {
	w    io.Writer
	boot time.Time
}

func (c *console) printf(format string, args ...any) {
	line := fmt.Sprintf("[%12.6f] ", time.Since(c.boot).Seconds()) + fmt.Sprintf(format, args...) + "\n"
	io.WriteString(c.w, line) //nolint:errcheck // a console that is gone is nobody's fault
}
