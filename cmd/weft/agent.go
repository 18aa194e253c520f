package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/weft-cloud/weft/internal/agent"
	"github.com/weft-cloud/weft/internal/agent/devices"
	"github.com/weft-cloud/weft/internal/agent/drops"
	"github.com/weft-cloud/weft/internal/agent/gateway"
	"github.com/weft-cloud/weft/internal/agent/pathmtu"
	"github.com/weft-cloud/weft/internal/config"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/ebpf"
	"github.com/weft-cloud/weft/internal/dataplane/null"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/obs/metrics"
	"github.com/weft-cloud/weft/internal/pki"
	"github.com/weft-cloud/weft/internal/wire"
)

func newAgentCmd() *cobra.Command {
	var flags configFlags
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run this host's part: program its data plane, answer its instances, report to the server",
		Args:  cobra.NoArgs,
		RunE:  flags.daemon(config.LoadAgent, runAgent),
	}
	flags.bind(cmd)
	cmd.AddCommand(newAgentStatusCmd())
	return cmd
}

func runAgent(ctx context.Context, l *config.Loaded, log *slog.Logger) error {
	cfg := &l.Agent
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return fmt.Errorf("[weft] state_dir: %w", err)
	}
	conn, err := dialFeed(cfg)
	if err != nil {
		return err
	}
	defer conn.Close()
	var readers net.Listener // of metrics
	if cfg.MetricsBind != "" {
		if readers, err = metrics.Listen(cfg.MetricsBind); err != nil {
			return err
		}
		defer readers.Close()
	}
	plane, devices, err := openPlane(cfg, log)
	if err != nil {
		return err
	}
	defer func() {
		if err := plane.Close(); err != nil {
			log.Warn("let go of the data plane", "error", err)
		}
	}()
	if !cfg.SecurityGroups {
		log.Warn("security groups are switched off by [securitygroup] enable_security_group: instances are held to their own addresses, and nothing else is filtered")
	}
	feed := wire.NewFeedClient(conn)
	s, err := newServices(cfg, plane, feed, log)
	if err != nil {
		return err
	}
	a := agent.New(agent.Deps{
		Config: agentConfig(l), Feed: feed, Plane: plane, Devices: devices, Dir: cfg.StateDir,
		Responders: s.responders, Centrals: openCentrals(cfg, log), Paths: openPaths(cfg, log), Outside: s.external, OnState: s.take, OnApplied: s.asks.Applied, Services: s.book.Of, Rand: rand.Float64, Log: log,
	})
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.Run(ctx) })
	g.Go(func() error { return ignore(s.run(ctx), context.Canceled) })
	if t, ok := plane.(dataplane.Teller); ok {
		book := drops.New(drops.Deps{Host: cfg.Host, Plane: t, State: s.state.Load, Now: time.Now, Log: log})
		g.Go(func() error { return book.Run(ctx, cfg.StateDir) })
	}
	if readers != nil {
		m := metrics.New(version())
		m.Values((&agentMetrics{agent: a, book: s.book, plane: plane, log: log}).tell)
		g.Go(func() error { return m.Serve(ctx, readers, log) })
	}
	log.Info("agent started", "host", cfg.Host, "dataPlane", cfg.DataPlane, "mode", cfg.L3.Mode, "server", cfg.Server)
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	err = g.Wait()
	_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
	return err
}

func agentConfig(l *config.Loaded) agent.Config {
	cfg := &l.Agent
	lease := uint32(0) // for ever
	if d := l.Server.DHCP.Lease; d > 0 {
		lease = uint32(min(d/time.Second, 1<<32-2))
	}
	return agent.Config{
		Host: cfg.Host, Version: version(), VTEP: func(context.Context) (netip.Addr, error) { return localAddress(cfg) },
		AgentMode: cfg.L3.Mode, DataPlane: cfg.DataPlane, AvailabilityZone: cfg.AvailabilityZone, BridgeMappings: bridgeMappings(cfg),
		Options: hostplan.Options{
			Firewall: cfg.SecurityGroups, LeaseSeconds: lease, DNSDomain: l.Server.DHCP.Domain,
			ServeDNS: cfg.DataPlane != "null", ServeMetadata: cfg.Metadata.Enabled && cfg.DataPlane != "null",
			IsolatedMetadata: cfg.DHCP.IsolatedMetadata, ForceMetadata: cfg.DHCP.ForceMetadata,
			Physnets: slices.AppendSeq([]string{}, maps.Keys(bridgeMappings(cfg))),
		},
		Heartbeat: cfg.ReportInterval,
		Backoff:   agent.Range{Min: 100 * time.Millisecond, Max: 5 * time.Second},
		Retry:     agent.Range{Min: 500 * time.Millisecond, Max: 30 * time.Second},
		SaveAfter: 200 * time.Millisecond,
	}
}

// dialFeed prepares the connection; nothing is sent before the agent runs, and a server that is away is no error.
func dialFeed(cfg *config.Agent) (*grpc.ClientConn, error) {
	host, _, err := net.SplitHostPort(cfg.Server)
	if err != nil {
		return nil, fmt.Errorf("[weft] server = %s: %w; write it as controller:9697", cfg.Server, err)
	}
	tls, err := pki.Files{CA: cfg.TLS.CAFile, Cert: cfg.TLS.CertFile, Key: cfg.TLS.KeyFile}.ClientTLS(host)
	if err != nil {
		return nil, fmt.Errorf("certificates of [weft]: %w", err)
	}
	conn, err := grpc.NewClient("dns:///"+cfg.Server, grpc.WithTransportCredentials(credentials.NewTLS(tls)),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: 5 * time.Second,
			Backoff: backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second}}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)), grpc.WithNoProxy())
	if err != nil {
		return nil, fmt.Errorf("[weft] server = %s: %w", cfg.Server, err)
	}
	return conn, nil
}

// localAddress is local_ip or, without it, the address from which this host reaches the server. No packet is sent for it.
func localAddress(cfg *config.Agent) (netip.Addr, error) {
	if cfg.LocalIP.IsValid() {
		return cfg.LocalIP, nil
	}
	c, err := net.Dial("udp", cfg.Server)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find out this host's tunnel address: %w; set [ovs] local_ip", err)
	}
	defer c.Close()
	a, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find out this host's tunnel address: %w; set [ovs] local_ip", err)
	}
	return a.Addr().Unmap(), nil
}

// openPlane makes the data plane, and what finds the devices that it needs.
func openPlane(cfg *config.Agent, log *slog.Logger) (dataplane.Plane, agent.Devices, error) {
	switch cfg.DataPlane {
	case "null":
		return null.New(), nil, nil
	case "ebpf":
		if cfg.VXLANPort != ebpf.VXLANPort {
			return nil, nil, fmt.Errorf("[agent] vxlan_udp_port = %d: the ebpf data plane uses %d only", cfg.VXLANPort, ebpf.VXLANPort)
		}
		p, err := ebpf.New(ebpf.Config{PinDir: cfg.PinDir, Redirect: cfg.Redirect, Logger: log,
			Limits: ebpf.Limits{ConnShare: uint32(cfg.ConnectionsPerPort)}}) //nolint:gosec // within its bounds
		if err != nil {
			return nil, nil, fmt.Errorf("ebpf data plane: %w", err)
		}
		return p, devices.Watcher{Mappings: bridgeMappings(cfg)}, nil
	}
	return nil, nil, fmt.Errorf("[weft] data_plane = %s is not in this build; use ebpf or null", cfg.DataPlane)
}

func bridgeMappings(cfg *config.Agent) map[string]string {
	out := map[string]string{}
	for _, m := range cfg.BridgeMappings {
		out[m.Key] = m.Value
	}
	return out
}

// openPaths makes what probes the paths to other hosts; nil without a data plane that has tunnels.
func openPaths(cfg *config.Agent, log *slog.Logger) agent.Paths {
	if cfg.DataPlane == "null" {
		return nil
	}
	id := uint16(rand.N(1 << 16)) //nolint:gosec // it tells our answers from others', and is no secret
	return pathmtu.New(pathmtu.Deps{Timing: pathmtu.Usual, Rand: rand.Float64, Log: log,
		Open: func(local netip.Addr) (pathmtu.Wire, error) { return linux.OpenEcho(local, id) }})
}

// openCentrals makes what carries out the central parts of routers; nil without a data plane that brings them packets.
func openCentrals(cfg *config.Agent, log *slog.Logger) agent.Centrals {
	if cfg.DataPlane == "null" {
		return nil
	}
	return gateway.New(gateway.Deps{Dir: cfg.NetnsDir, Check: 30 * time.Second, RetryMin: 500 * time.Millisecond, RetryMax: 30 * time.Second, Log: log})
}
