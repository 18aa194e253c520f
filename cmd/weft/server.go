package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/weft-cloud/weft/internal/config"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/obs/metrics"
	"github.com/weft-cloud/weft/internal/pki"
	"github.com/weft-cloud/weft/internal/server/feed"
	"github.com/weft-cloud/weft/internal/server/notify"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/world"
)

func newServerCmd() *cobra.Command {
	var flags configFlags
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run the Networking API and the feed that agents follow",
		Args:  cobra.NoArgs,
		RunE:  flags.daemon(config.LoadServer, runServer),
	}
	flags.bind(cmd)
	cmd.AddCommand(newServerStatusCmd(), newServerReleaseCmd())
	return cmd
}

// serverParts is what a server is made of, in the order of the way down from a request to the disk.
type serverParts struct {
	cfg    *config.Server
	log    *slog.Logger
	store  store.Store
	taken  chan error // another server has the store by now
	writer *world.Writer
	live   *feed.Liveness
	rules  *rules.Rules
	feed   *feed.Server
	gate   *gate
	nova   *notify.Nova // nil: nobody is told
	api    http.Handler
	// metrics is nil if nobody is to read them.
	metrics *metrics.Metrics
}

// serverListeners are where a server is reached; all or none are open.
type serverListeners struct {
	api, feed, status net.Listener
	metrics           net.Listener // nil: nobody is to read them
}

func listenServer(cfg *config.Server) (on serverListeners, err error) {
	defer func() {
		if err != nil {
			on.close()
		}
	}()
	if on.api, err = net.Listen("tcp", net.JoinHostPort(cfg.API.BindHost, fmt.Sprint(cfg.API.BindPort))); err != nil {
		return on, fmt.Errorf("listen for the API: %w; set bind_host and bind_port to a free address of this machine", err)
	}
	if on.feed, err = net.Listen("tcp", cfg.FeedBind); err != nil {
		return on, fmt.Errorf("listen for agents: %w; set [weft] feed_bind to a free address of this machine", err)
	}
	secure, err := secureAPI(&cfg.API, on.api)
	if err != nil {
		return on, err
	}
	on.api = secure
	if cfg.MetricsBind != "" {
		if on.metrics, err = metrics.Listen(cfg.MetricsBind); err != nil {
			return on, err
		}
	}
	on.status, err = listenServerStatus(cfg.StateDir)
	return on, err
}

func (on *serverListeners) close() {
	for _, l := range []net.Listener{on.api, on.feed, on.status, on.metrics} {
		if l != nil {
			l.Close()
		}
	}
}

// garbagePercent is how much a server's memory may grow, in percent of what lives, before garbage is collected (GOGC, which
// the environment may set instead). To collect takes some 75 ms of processor time with 100,000 ports, half of what it took when a port
// was larger than the 512 bytes up to which the collector looks through a page at a time; hence 40, which was 60 (docs/api.md has what
// it comes to).
const garbagePercent = 40

func runServer(ctx context.Context, l *config.Loaded, log *slog.Logger) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	cfg := &l.Server
	p, err := openServer(ctx, l, log)
	if err != nil {
		return err
	}
	defer p.store.Close()
	on, err := listenServer(cfg)
	if err != nil {
		return err
	}
	defer on.close()
	tls, err := pki.Files{CA: cfg.TLS.CAFile, Cert: cfg.TLS.CertFile, Key: cfg.TLS.KeyFile}.ServerTLS()
	if err != nil {
		return fmt.Errorf("certificates of [weft]: %w", err)
	}
	feedServer := grpc.NewServer(grpc.Creds(credentials.NewTLS(tls)),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 2 * time.Second, PermitWithoutStream: true}),
		grpc.MaxRecvMsgSize(64<<20))
	p.feed.Register(feedServer)
	apiServer := newAPIServer(p.api, cfg.API.SocketTimeout, log)

	// The writer outlives everything that writes: its own context ends last.
	writerCtx, stopWriter := context.WithCancel(context.WithoutCancel(ctx))
	writerDone := make(chan error, 1)
	go func() { writerDone <- p.writer.Run(writerCtx) }()

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.feed.Run(ctx) })
	g.Go(func() error { return feedServer.Serve(on.feed) })
	g.Go(func() error {
		return ignore(apiServer.Serve(&tellingListener{Listener: on.api, log: log}), http.ErrServerClosed)
	})
	p.attend(ctx, g, &on)
	g.Go(func() error {
		<-ctx.Done()
		_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
		err := endAPI(apiServer, apiGrace)
		feedServer.Stop()
		return err
	})
	log.Info("serving", "api", on.api.Addr().String(), "agents", on.feed.Addr().String(), "position", p.writer.Snapshot().Position().String())
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	err = g.Wait()
	stopWriter()
	return errors.Join(err, <-writerDone)
}

// attend runs what a server does beside answering clients and agents.
func (p *serverParts) attend(ctx context.Context, g *errgroup.Group, on *serverListeners) {
	g.Go(func() error {
		select {
		case err := <-p.taken: // one that goes on would answer agents and clients beside the other
			return err
		case <-ctx.Done():
			return nil
		}
	})
	g.Go(func() error { return p.rememberBeats(ctx) })
	g.Go(func() error { return p.trimLog(ctx) })
	g.Go(func() error { return ignore(p.gate.follow.Run(ctx), context.Canceled) })
	g.Go(func() error { return ignore(p.gate.revoked(ctx), context.Canceled) })
	g.Go(func() error { return p.serveStatus(ctx, on.status) })
	if p.metrics != nil {
		g.Go(func() error { return p.metrics.Serve(ctx, on.metrics, p.log) })
	}
	g.Go(func() error { return p.syncSegmentRanges(ctx) })
	g.Go(func() error { return p.watchOutside(ctx) })
	if p.nova != nil {
		g.Go(func() error { return p.nova.Run(ctx) })
	}
}

func ignore(err, which error) error {
	if errors.Is(err, which) {
		return nil
	}
	return err
}

// openServer builds the parts; nothing runs yet but what is in the store is loaded.
func openServer(ctx context.Context, l *config.Loaded, log *slog.Logger) (*serverParts, error) {
	cfg, meta := &l.Server, &l.Agent.Metadata // the metadata agent's options: the secret is the server's alone, no host has it
	p := &serverParts{cfg: cfg, log: log, taken: make(chan error, 1)}
	var err error
	if p.store, err = openStore(ctx, cfg, log, p.taken); err != nil {
		return nil, err
	}
	ok := false
	defer func() {
		if !ok {
			p.store.Close()
		}
	}()
	p.writer, err = openWorld(ctx, world.Config{Store: p.store, Log: log, Now: time.Now, Random: randomUUID})
	if err != nil {
		return nil, err
	}
	p.live = feed.NewLiveness(time.Now, cfg.AgentDownTime)
	p.recallBeats(ctx)
	p.rules = rules.New(rules.Deps{Config: rulesConfig(cfg), Liveness: p.live, Reported: func(host string) (out []string) {
		for _, v := range p.live.Last(host).Problems {
			out = append(out, v.Kind+" "+v.ID+": "+v.Why)
		}
		return out
	}})
	p.feed = feed.New(feed.Deps{Writer: p.writer, Rules: p.rules, Liveness: p.live, Log: log, Now: time.Now,
		Name: cfg.Host, Heartbeat: max(time.Second, cfg.AgentDownTime/5),
		MetadataSecret: []byte(meta.SharedSecret.Reveal()),
		MetadataURL:    (&url.URL{Scheme: meta.Protocol, Host: net.JoinHostPort(meta.Host, fmt.Sprint(meta.Port))}).String()})
	if p.nova, err = openNova(p); err != nil {
		return nil, err
	}
	p.metrics = p.newMetrics()
	if p.api, err = openAPI(p); err != nil {
		return nil, err
	}
	ok = true
	return p, nil
}

// openWorld is world.Open without collecting garbage again and again while nothing but what stays is made; what it left
// behind is given back to the system.
func openWorld(ctx context.Context, cfg world.Config) (*world.Writer, error) {
	was := debug.SetGCPercent(400)
	w, err := world.Open(ctx, cfg)
	debug.SetGCPercent(was)
	go debug.FreeOSMemory()
	return w, err
}

func randomUUID() model.UUID {
	var b [16]byte
	_, _ = io.ReadFull(rand.Reader, b[:]) // crypto/rand never fails on Linux; it ends the process instead
	return model.NewUUIDv4(b)
}

// rulesConfig is the configuration as the rules want it.
func rulesConfig(c *config.Server) rules.Config {
	r := rules.Defaults()
	r.TypeDrivers, r.TenantTypes, r.ExternalType = c.ML2.TypeDrivers, c.ML2.TenantTypes, c.ML2.ExternalType
	r.FlatNetworks = c.ML2.FlatNetworks
	for _, v := range c.ML2.VNIs {
		r.VNIRanges = append(r.VNIRanges, rules.Range{Min: v.First, Max: v.Last})
	}
	r.VLANRanges = map[string][]rules.Range{}
	for _, v := range c.ML2.VLANs {
		r.VLANRanges[v.PhysicalNetwork] = r.VLANRanges[v.PhysicalNetwork][:len(r.VLANRanges[v.PhysicalNetwork]):len(r.VLANRanges[v.PhysicalNetwork])]
		for _, t := range v.Tags {
			r.VLANRanges[v.PhysicalNetwork] = append(r.VLANRanges[v.PhysicalNetwork], rules.Range{Min: t.First, Max: t.Last})
		}
	}
	r.GlobalMTU, r.PathMTU = uint32(c.ML2.PhysnetMTU), uint32(c.ML2.PathMTU)
	r.PhysnetMTUs = map[string]uint32{}
	for k, v := range c.ML2.PhysnetMTUs {
		r.PhysnetMTUs[k] = uint32(v)
	}
	r.OverlayIPv6 = c.ML2.OverlayIPVersion == 6
	r.BaseMAC, r.DVRBaseMAC = c.MAC.Base, c.MAC.DVRBase
	r.RouterDistributed, r.L3HA, r.EnableSNAT = c.Router.Distributed, c.Router.HA, c.Router.SNAT
	r.DHCPAgents = c.DHCP.AgentsPerNetwork
	r.MaxNameservers, r.MaxHostRoutes = c.Limits.DNSNameservers, c.Limits.HostRoutes
	r.MaxRoutes, r.MaxAddressPairs = c.Limits.ExtraRoutes, c.Limits.AddressPairs
	r.DNSDomain, r.VLANTransparent = dotted(c.DHCP.Domain), c.VLANTransparent
	r.NovaStatus, r.NovaData = c.Nova.Enabled() && c.Nova.OnPortStatus, c.Nova.Enabled() && c.Nova.OnPortData
	r.NoDVR, r.NoOverlap, r.NewAgentsDown, r.DefaultZones = !c.Router.EnableDVR, !c.AllowOverlap, !c.EnableNewAgents, c.AvailabilityZones
	r.Quotas, r.DefaultQuota = map[model.Kind]int{}, -1
	if c.Quotas.Enforced {
		r.DefaultQuota = c.Quotas.Default
		for name, limit := range c.Quotas.Of {
			r.Quotas[model.Kind(name)] = limit
		}
	}
	return r
}

func dotted(domain string) string {
	if domain == "" || domain[len(domain)-1] == '.' {
		return domain
	}
	return domain + "."
}
