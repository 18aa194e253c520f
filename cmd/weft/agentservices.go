package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weft-cloud/weft/internal/agent"
	"github.com/weft-cloud/weft/internal/agent/asks"
	"github.com/weft-cloud/weft/internal/agent/dhcp"
	"github.com/weft-cloud/weft/internal/agent/dns"
	"github.com/weft-cloud/weft/internal/agent/external"
	"github.com/weft-cloud/weft/internal/agent/fragment"
	"github.com/weft-cloud/weft/internal/agent/metadata"
	"github.com/weft-cloud/weft/internal/agent/outside"
	"github.com/weft-cloud/weft/internal/agent/ra"
	"github.com/weft-cloud/weft/internal/agent/service"
	"github.com/weft-cloud/weft/internal/agent/tally"
	"github.com/weft-cloud/weft/internal/config"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/wire"
)

// services answer instances.
type services struct {
	book       *tally.Book
	responders map[dataplane.PuntKind]agent.Responder
	announcer  *ra.Announcer
	outside    *outside.Server
	external   agent.Outside // nil: the plane reaches no external network
	asks       *asks.Keeper
	state      atomic.Pointer[hostplan.State]
	// What follows is nil without a plane that punts.
	net      *service.Net
	gate     *service.Gate
	metadata *metadata.Proxy
	dns      *dns.Server
}

func newServices(cfg *config.Agent, plane dataplane.Plane, feed wire.FeedClient, log *slog.Logger) (*services, error) {
	// A port's questions past this are not answered: what boots asks a dozen times.
	book := tally.New(tally.Deps{Now: time.Now, PerSecond: 20, Burst: 50})
	s := &services{
		book: book,
		responders: map[dataplane.PuntKind]agent.Responder{
			dataplane.PuntDHCP4: dhcp.New4(book), dataplane.PuntDHCP6: dhcp.New6(book), dataplane.PuntRS: ra.New(book),
		},
	}
	s.announcer = ra.NewAnnouncer(ra.Deps{Inject: s.inject(plane), Log: log, Interval: ra.DefaultInterval, Now: time.Now, Rand: rand.Int64N})
	if p, ok := plane.(dataplane.Resender); ok {
		deps := fragment.Deps{Resend: p.Resend, Failed: func(err error) { log.Debug("packet lost", "error", err) }}
		if o, ok := plane.(dataplane.OutsideReceiver); ok {
			deps.Receive = o.ReceiveOutside
		}
		s.responders[dataplane.PuntFragment] = fragment.New(deps)
	}
	s.asks = newAsks(plane, log)
	s.responders[dataplane.PuntAsk] = s.asks
	if p, ok := plane.(dataplane.Outside); ok {
		s.external = newExternal(cfg, plane, p, log)
		s.responders[dataplane.PuntExternal], s.responders[dataplane.PuntNeighbor] = s.external, s.external
	}
	wires := outside.Deps{Open: openOutside(cfg), DHCP4: dhcp.New4(book), DHCP6: dhcp.New6(book), RA: ra.New(book), Log: log, Retry: 10 * time.Second}
	if cfg.DataPlane != "null" {
		if err := s.open(cfg, plane, feed, log); err != nil {
			return nil, err
		}
		wires.Services = s.gate
	}
	s.outside = outside.New(wires)
	return s, nil
}

// open makes DNS and metadata.
func (s *services) open(cfg *config.Agent, plane dataplane.Plane, feed wire.FeedClient, log *slog.Logger) error {
	resolvers, err := resolvers(cfg)
	if err != nil {
		return err
	}
	if s.net, err = service.OpenNet(); err != nil {
		return err
	}
	if s.net.NoIPv6 != nil {
		log.Warn("no metadata and no DNS over IPv6", "error", s.net.NoIPv6)
	}
	s.gate = service.New(service.Deps{Tun: s.net.Tun, Inject: s.inject(plane), Log: log})
	s.responders[dataplane.PuntDNS], s.responders[dataplane.PuntMetadata] = s.gate, s.gate
	s.metadata = metadata.New(metadata.Deps{Signer: feed, Attribute: s.gate.Attribute, State: s.state.Load, Book: s.book, Log: log, Now: time.Now})
	s.dns = dns.New(dns.Deps{Attribute: s.gate.Attribute, State: s.state.Load, Resolvers: resolvers, Book: s.book, Log: log})
	return nil
}

func newAsks(plane dataplane.Plane, log *slog.Logger) *asks.Keeper {
	d := asks.Deps{Now: time.Now, Log: log}
	if p, ok := plane.(dataplane.Resolver); ok {
		d.Resolves = p.Resolves
	}
	if p, ok := plane.(dataplane.Resender); ok {
		d.Resend = p.Resend
	}
	return asks.New(d)
}

func newExternal(cfg *config.Agent, plane dataplane.Plane, p dataplane.Outside, log *slog.Logger) *external.Speaker {
	d := external.Deps{Plane: p, Repeats: cfg.L3.GratuitousARPs, Now: time.Now, Log: log}
	if r, ok := plane.(dataplane.Resender); ok {
		d.Resend = r.Resend
	}
	if o, ok := plane.(dataplane.OutsideReceiver); ok {
		d.Receive = o.ReceiveOutside
	}
	if l, ok := plane.(dataplane.OutsideLister); ok {
		d.Known = l.OutsideNeighbors
	}
	return external.New(d)
}

// resolvers are dnsmasq_dns_servers or, with dnsmasq_local_resolv, the host's.
func resolvers(cfg *config.Agent) ([]netip.AddrPort, error) {
	var out []netip.AddrPort
	for _, text := range cfg.DHCP.DNSServers {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("dnsmasq_dns_servers: %q is not an address", text)
		}
		out = append(out, netip.AddrPortFrom(a, 53))
	}
	if len(out) > 0 || !cfg.DHCP.LocalResolv {
		return out, nil
	}
	b, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return nil, fmt.Errorf("dnsmasq_local_resolv: %w", err)
	}
	return dns.ParseResolvers(string(b)), nil
}

// openOutside opens the interface or bridge that bridge_mappings give for a physical network.
func openOutside(cfg *config.Agent) func(physnet string) (outside.Wire, error) {
	return func(physnet string) (outside.Wire, error) {
		for _, m := range cfg.BridgeMappings {
			if m.Key == physnet {
				return linux.OpenQuestions(m.Value)
			}
		}
		return nil, outside.ErrUnmapped
	}
}

// inject gives a port a frame: an instance by the plane, a machine on a physical network by its wire.
func (s *services) inject(plane dataplane.Plane) func(model.PortID, []byte) error {
	return func(id model.PortID, frame []byte) error {
		if st := s.state.Load(); st != nil && st.Outsiders[id] != nil {
			return s.outside.Inject(id, frame)
		}
		return plane.Inject(id, frame)
	}
}

// take hands a new State to those who want it.
func (s *services) take(st *hostplan.State) {
	s.state.Store(st)
	s.announcer.Update(st)
	s.outside.Update(st)
	s.book.Keep(func(id model.PortID) bool { return st.Served(id) != nil })
	if s.gate != nil {
		s.gate.Keep(func(id model.PortID) bool { return st.Served(id) != nil })
	}
}

// run works until ctx ends.
func (s *services) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.announcer.Run(ctx) })
	g.Go(func() error { return s.outside.Run(ctx) })
	if s.net == nil {
		return g.Wait()
	}
	g.Go(func() error { return s.gate.Run(ctx) })
	for _, l := range s.net.HTTP {
		g.Go(func() error { return s.metadata.Serve(ctx, l) })
	}
	for _, l := range s.net.DNSTCP {
		g.Go(func() error { return s.dns.ServeTCP(ctx, l) })
	}
	for _, u := range s.net.DNSUDP {
		g.Go(func() error { return s.dns.ServeUDP(ctx, u) })
	}
	return g.Wait()
}
