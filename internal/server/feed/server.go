package feed

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
	"github.com/weft-cloud/weft/internal/wire"
)

// Rules is what reports mean to the world; internal/server/rules implements it.
type Rules interface {
	// RegisterHost records the host as its agent describes it: allots a DVR MAC, makes its agent rows.
	RegisterHost(tx *world.Tx, h *model.Host) error
	// Registered reports whether the host and all of its agents are there: they can be deleted while it is connected.
	Registered(w *world.World, host string) bool
	// PortsReported records which ports the host has programmed and which it has not. Ports that are not bound there are
	// passed over. For a distributed router the ports are its legs, for a central part its legs and its gateway.
	PortsReported(tx *world.Tx, host string, up, down []model.PortID) error
	// FloatingIPsReported records which floating IPs the host translates. Reports that are not about its own, or about what
	// they led to before, are passed over.
	FloatingIPsReported(tx *world.Tx, host string, reports []rules.FloatingIPReport) error
	// PortsLearned records everything that the host's ports have besides their fixed IPs, because they announced it. Ports that
	// are not bound there, and what a port may not have, are passed over.
	PortsLearned(tx *world.Tx, host string, learned map[model.PortID][]model.AddressPair) error
}

// Deps is what a Server needs.
type Deps struct {
	Writer   *world.Writer
	Rules    Rules
	Liveness *Liveness
	Log      *slog.Logger
	Now      func() time.Time
	// Name of this server, told to agents.
	Name string
	// Heartbeat is how often agents shall be heard of.
	Heartbeat time.Duration
	// MetadataSecret is shared with Nova; MetadataURL is where metadata requests go.
	MetadataSecret []byte
	MetadataURL    string
}

// Server serves wire.Feed.
type Server struct {
	wire.UnimplementedFeedServer
	Deps
	hub *hub
}

// New makes a Server; Run must be running for connections to be served.
func New(d Deps) *Server {
	s := &Server{Deps: d, hub: newHub(d.Writer, d.Log)}
	s.hub.alive = func(host string) bool { _, alive := d.Liveness.Alive(host); return alive }
	return s
}

// Run follows the world until ctx is done.
func (s *Server) Run(ctx context.Context) error { return s.hub.run(ctx) }

// Register adds the service to a gRPC server whose credentials demand client certificates.
func (s *Server) Register(g *grpc.Server) { wire.RegisterFeedServer(g, s) }

// Connection is one agent's, for status.
type Connection struct {
	Host string
	// Held: the agent was asked to delete nothing until an operator releases it; see Release.
	Held bool
}

// Connections are the agents connected at present, in no order; none if ctx ends first.
func (s *Server) Connections(ctx context.Context) (out []Connection) {
	s.hub.do(ctx, func() {
		for name, session := range s.hub.sessions {
			out = append(out, Connection{name, session.held})
		}
	})
	return out
}

// Release lets hosts delete what a held snapshot left to them; an operator's word. It returns the hosts that were held.
func (s *Server) Release(ctx context.Context, host string) (released []string) {
	s.hub.do(ctx, func() {
		for name, session := range s.hub.sessions {
			if session.held && (host == "" || host == name) {
				session.released = true
				s.hub.snapshot(session, nil, model.Position{})
				released = append(released, name)
			}
		}
	})
	return released
}

// certifiedHost is the name that the caller's certificate is for.
func certifiedHost(ctx context.Context) (string, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return "", status.Error(codes.Unauthenticated, "no peer")
	}
	tls, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(tls.State.VerifiedChains) == 0 {
		return "", status.Error(codes.Unauthenticated, "a client certificate signed by the cloud's CA is needed")
	}
	name := tls.State.VerifiedChains[0][0].Subject.CommonName
	if name == "" { // it would pass for the host of what is bound nowhere
		return "", status.Error(codes.Unauthenticated, "the client certificate names no host (its common name)")
	}
	return name, nil
}

// Connect implements wire.FeedServer.
func (s *Server) Connect(stream grpc.BidiStreamingServer[wire.AgentMessage, wire.ServerMessage]) error {
	host, err := certifiedHost(stream.Context())
	if err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	if hello == nil {
		return status.Error(codes.InvalidArgument, "the first message must be Hello")
	}
	if hello.Host != host {
		return status.Errorf(codes.PermissionDenied, "the certificate is for host %q, the agent says it is %q: set `host` in its configuration, or give it its own certificate", host, hello.Host)
	}
	if err := s.register(stream.Context(), hello); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	session := newSession(host)
	session.changes = hello.SetSums
	if err := stream.Send(s.welcome()); err != nil {
		return err
	}
	have, at, err := possessions(hello)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if !s.hub.do(ctx, func() { s.hub.join(session, have, at) }) {
		return status.Error(codes.Unavailable, "the server is stopping")
	}
	s.Log.Info("agent connected", "host", host, "version", hello.Version)
	go func() {
		defer cancel()
		s.receive(ctx, host, stream)
	}()
	err = s.transmit(ctx, session, stream)
	s.hub.do(context.Background(), func() { s.hub.leave(session) })
	s.Log.Info("agent disconnected", "host", host, "reason", fmt.Sprint(err))
	return err
}

func (s *Server) welcome() *wire.ServerMessage {
	return &wire.ServerMessage{Kind: &wire.ServerMessage_Welcome{Welcome: &wire.Welcome{
		TimeUnixNano: s.Now().UnixNano(), HeartbeatSeconds: uint32(max(1, s.Heartbeat/time.Second)), Server: s.Name}}}
}

// register writes the host into the world, and a heartbeat.
func (s *Server) register(ctx context.Context, h *wire.Hello) error {
	vtep, err := wire.ParseAddr(h.Vtep)
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "vtep: %v", err)
	}
	host := &model.Host{Name: h.Host, VTEP: vtep, AgentMode: h.AgentMode, DataPlane: h.DataPlane,
		BridgeMappings: h.BridgeMappings, AZ: h.AvailabilityZone, StartedAt: model.Time(h.StartedAt)}
	s.Liveness.update(h.Host, func(*Beat) {})
	_, err = s.Writer.Do(ctx, "register_host", func(tx *world.Tx) error { return s.Rules.RegisterHost(tx, host) })
	if err == nil {
		return nil
	}
	if model.KindOf(err) == model.KindUnavailable && s.Writer.Snapshot().Hosts.Get(h.Host) != nil {
		return nil // known already; the agent may follow while the store is away
	}
	return status.Error(codes.Unavailable, "register host: "+err.Error())
}

// possessions reads what the agent has.
func possessions(h *wire.Hello) (map[key]uint64, model.Position, error) {
	at, err := wire.ParsePosition(h.Position)
	if err != nil {
		return nil, at, fmt.Errorf("position: %w", err)
	}
	have := make(map[key]uint64, len(h.Have))
	for _, r := range h.Have {
		have[key{r.Kind, string(r.Id)}] = r.Version
	}
	return have, at, nil
}

// transmit sends the session's updates until it fails or its stream ends.
func (s *Server) transmit(ctx context.Context, session *session, stream grpc.BidiStreamingServer[wire.AgentMessage, wire.ServerMessage]) error {
	for {
		updates, err := session.take()
		for _, u := range updates {
			for _, m := range u.parts() {
				if err := stream.Send(m); err != nil {
					return err
				}
			}
		}
		if err != nil {
			return status.Error(codes.Aborted, err.Error())
		}
		select {
		case <-session.wakeup:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// receive takes reports and heartbeats until the stream ends.
func (s *Server) receive(ctx context.Context, host string, stream grpc.BidiStreamingServer[wire.AgentMessage, wire.ServerMessage]) {
	for {
		m, err := stream.Recv()
		if err != nil {
			if !errors.Is(err, io.EOF) && status.Code(err) != codes.Canceled {
				s.Log.Debug("agent's stream ended", "host", host, "error", err)
			}
			return
		}
		switch k := m.Kind.(type) {
		case *wire.AgentMessage_Heartbeat:
			s.heartbeat(host, k.Heartbeat)
			if !s.Rules.Registered(s.Writer.Snapshot(), host) {
				s.Log.Info("agents of a host were deleted while it is alive, it is asked to register again", "host", host)
				return
			}
		case *wire.AgentMessage_Report:
			if err := s.report(ctx, host, k.Report); err != nil {
				s.Log.Warn("report of an agent was not recorded, it will be asked to resume", "host", host, "error", err)
				return
			}
		}
	}
}

func (s *Server) heartbeat(host string, h *wire.Heartbeat) {
	now := s.Now()
	s.Liveness.update(host, func(b *Beat) {
		b.ClockOffset = time.Duration(h.TimeUnixNano - now.UnixNano())
		b.Endpoints, b.Networks, b.Routers = h.Endpoints, h.Networks, h.Routers
		b.AppliedRevision = h.Applied.GetRevision()
	})
}

// report records what a host has programmed. Only ports that are the host's own, or legs of routers, are ever recorded:
// the rule checks that.
func (s *Server) report(ctx context.Context, host string, r *wire.Report) error {
	s.Liveness.update(host, func(b *Beat) {
		b.AppliedRevision = r.Applied.GetRevision()
		b.Problems = b.Problems[:0:0]
		for _, p := range r.Problems {
			b.Problems = append(b.Problems, Problem{p.Kind, p.Id, p.Why})
		}
	})
	var states portStates
	for _, p := range r.Ports {
		u, err := wire.ParseID(p.Id)
		if err != nil {
			return fmt.Errorf("report of port: %w", err)
		}
		states.add(model.PortID{UUID: u}, p.Up)
	}
	w, routers := s.Writer.Snapshot(), len(r.Routers)
	for i, r := range slices.Concat(r.Routers, r.Centrals) {
		u, err := wire.ParseID(r.Id)
		if err != nil {
			return fmt.Errorf("report of router: %w", err)
		}
		if router := w.Routers.Get(model.RouterID{UUID: u}); router != nil {
			states.router(w, router, r.Up, i >= routers)
		}
	}
	if r.Learned != nil {
		learned, err := learnedOf(r.Learned)
		if err != nil {
			return err
		}
		if _, err := s.Writer.Do(ctx, "ports_learned", func(tx *world.Tx) error { return s.Rules.PortsLearned(tx, host, learned) }); err != nil {
			return err
		}
	}
	var floating []rules.FloatingIPReport
	for _, f := range r.FloatingIps {
		u, err := wire.ParseID(f.Id)
		if err != nil {
			return fmt.Errorf("report of floating IP: %w", err)
		}
		floating = append(floating, rules.FloatingIPReport{ID: model.FloatingIPID{UUID: u}, Up: f.Up, Since: f.Generation})
	}
	if len(states.up)+len(states.down)+len(floating) == 0 {
		return nil
	}
	_, err := s.Writer.Do(ctx, "ports_reported", func(tx *world.Tx) error {
		if err := s.Rules.PortsReported(tx, host, states.up, states.down); err != nil {
			return err
		}
		return s.Rules.FloatingIPsReported(tx, host, floating)
	})
	return err
}

// portStates are the ports that a report is about.
type portStates struct{ up, down []model.PortID }

func (s *portStates) add(p model.PortID, up bool) {
	if up {
		s.up = append(s.up, p)
	} else {
		s.down = append(s.down, p)
	}
}

// router adds a router's ports: those of its central part, or those that every host acts for.
func (s *portStates) router(w *world.World, r *model.Router, up, central bool) {
	inner, gateway := legs(w, r)
	for _, p := range inner {
		if (p.DeviceOwner != model.OwnerDVRInterface) == central {
			s.add(p.ID, up)
		}
	}
	if gateway != nil && central {
		s.add(gateway.ID, up)
	}
}

// Sign implements wire.FeedServer: the signature that Nova's metadata service checks (HMAC-SHA256 of the instance id with
// the shared secret), for a port that is bound to the caller's host, or that the caller's host serves on a physical network, and for
// nobody else's.
func (s *Server) Sign(ctx context.Context, r *wire.SignRequest) (*wire.SignReply, error) {
	host, err := certifiedHost(ctx)
	if err != nil {
		return nil, err
	}
	u, err := wire.ParseID(r.PortId)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "port_id: %v", err)
	}
	p := s.Writer.Snapshot().Ports.Get(model.PortID{UUID: u})
	if p == nil || p.Host != host && !s.hub.serves(ctx, p, host) {
		return nil, status.Errorf(codes.NotFound, "port %s is neither bound to host %s nor served by it on its wire", u, host)
	}
	if p.DeviceID == "" {
		return nil, status.Errorf(codes.FailedPrecondition, "port %s is no instance's: it has no device_id", u)
	}
	mac := hmac.New(sha256.New, s.MetadataSecret)
	mac.Write([]byte(p.DeviceID))
	return &wire.SignReply{InstanceId: p.DeviceID, ProjectId: p.ProjectID, Signature: hex.EncodeToString(mac.Sum(nil)), MetadataUrl: s.MetadataURL}, nil
}
