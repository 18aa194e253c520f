package converge

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/agent"
	"github.com/weft-cloud/weft/internal/dataplane/null"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/feed"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/store/memory"
	"github.com/weft-cloud/weft/internal/server/world"
	"github.com/weft-cloud/weft/internal/wire"
)

// cloud is a server with its agents.
type cloud struct {
	t      *rapid.T
	ctx    context.Context
	writer *world.Writer
	rules  *rules.Rules
	feed   *feed.Server
	live   *feed.Liveness
	hosts  map[string]*host

	mu    sync.Mutex
	alive map[string]bool // guarded by mu
	// ahead is how far the feed's clock is ahead of the machine's.
	ahead atomic.Int64
}

// downAfter is how long the feed takes a silent host to live.
const downAfter = time.Minute

func (c *cloud) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// host is a machine whose agent runs or is dead. Its directory stays.
type host struct {
	name, mode, dir string
	vtep            netip.Addr
	physnet         bool
	state           atomic.Pointer[hostplan.State]
	stop            func() // nil: dead
}

var options = hostplan.Options{Firewall: true, Physnets: []string{"external"}}

func newCloud(t *rapid.T) *cloud {
	c := &cloud{t: t, hosts: map[string]*host{}, alive: map[string]bool{}}
	s, err := memory.New(rand.Reader)
	check(t, err)
	log := slog.New(slog.DiscardHandler)
	c.writer, err = world.Open(context.Background(), world.Config{Store: s, Log: log, Now: time.Now, Random: func() model.UUID {
		var b [16]byte
		rand.Read(b[:])
		return model.NewUUIDv4(b)
	}})
	check(t, err)
	cfg := rules.Defaults()
	cfg.VNIRanges = []rules.Range{{Min: 1, Max: 100}}
	cfg.FlatNetworks = []string{"external"}
	cfg.VLANRanges = map[string][]rules.Range{"external": nil}
	cfg.RouterDistributed = true
	c.rules = rules.New(rules.Deps{Config: cfg, Liveness: c})
	c.live = feed.NewLiveness(c.now, downAfter)
	c.feed = feed.New(feed.Deps{Writer: c.writer, Rules: c.rules, Liveness: c.live, Log: log, Now: time.Now, Name: "server",
		Heartbeat: time.Minute})
	ctx, cancel := context.WithCancel(context.Background())
	c.ctx = ctx
	done := make(chan struct{}, 2)
	go func() { _ = c.writer.Run(ctx); done <- struct{}{} }()
	go func() { _ = c.feed.Run(ctx); done <- struct{}{} }()
	t.Cleanup(func() {
		for _, h := range c.hosts {
			c.kill(h)
			_ = os.RemoveAll(h.dir)
		}
		cancel()
		<-done
		<-done
	})
	return c
}

// Alive implements rules.Liveness.
func (c *cloud) Alive(host string) (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Time{}, c.alive[host]
}

func (c *cloud) add(n byte, name, mode string, physnet bool) {
	dir, err := os.MkdirTemp("", "weft-converge")
	check(c.t, err)
	h := &host{name: name, mode: mode, dir: dir, vtep: netip.AddrFrom4([4]byte{192, 0, 2, n}), physnet: physnet}
	c.hosts[name] = h
	c.start(h)
}

// start runs a host's agent, with what it had on disk.
func (c *cloud) start(h *host) {
	if h.stop != nil {
		return
	}
	c.mu.Lock()
	c.alive[h.name] = true
	c.mu.Unlock()
	mappings := map[string]string{}
	if h.physnet {
		mappings["external"] = "br-ex"
	}
	a := agent.New(agent.Deps{
		Config: agent.Config{
			Host: h.name, Version: "test", VTEP: func(context.Context) (netip.Addr, error) { return h.vtep, nil }, AgentMode: h.mode, DataPlane: "null",
			BridgeMappings: mappings, Options: options, Heartbeat: time.Minute, SaveAfter: time.Millisecond,
			Backoff: agent.Range{Min: time.Millisecond, Max: 10 * time.Millisecond}, Retry: agent.Range{Min: time.Millisecond, Max: 10 * time.Millisecond},
		},
		Feed: &client{c: c, host: h.name}, Plane: null.New(), Dir: h.dir, Rand: func() float64 { return 0.5 },
		OnState: func(s *hostplan.State) { h.state.Store(s) }, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(c.ctx)
	done := make(chan struct{})
	go func() { _ = a.Run(ctx); close(done) }()
	h.stop = func() { cancel(); <-done }
}

// kill ends a host's agent; the server finds it dead at once.
func (c *cloud) kill(h *host) {
	if h.stop == nil {
		return
	}
	h.stop()
	h.stop = nil
	c.mu.Lock()
	defer c.mu.Unlock()
	c.alive[h.name] = false
	c.age()
}

// age lets downAfter pass without a word from the dead. c.mu is held.
func (c *cloud) age() {
	c.ahead.Add(int64(2 * downAfter))
	for name, alive := range c.alive {
		if alive {
			c.live.Seen(name, c.now())
		}
	}
}

// lives reports whether a host's agent runs.
func (c *cloud) lives(host string) bool {
	_, alive := c.Alive(host)
	return alive
}

// do runs a rule; a refusal is as good as any other answer.
func (c *cloud) do(f func(tx *world.Tx) error) error {
	_, err := c.writer.Do(c.ctx, "test", f)
	if err != nil && model.KindOf(err) == model.KindInternal {
		c.t.Fatal(err)
	}
	return err
}

func check(t *rapid.T, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

// client is a wire.FeedClient that is connected to the feed without a network in between. Its host's certificate is genuine
// as far as the feed can see.
type client struct {
	wire.FeedClient
	c    *cloud
	host string
}

func (c *client) Connect(ctx context.Context, _ ...grpc.CallOption) (grpc.BidiStreamingClient[wire.AgentMessage, wire.ServerMessage], error) {
	ctx, cancel := context.WithCancel(ctx)
	p := &pipe{ctx: ctx, up: make(chan *wire.AgentMessage), down: make(chan *wire.ServerMessage)}
	leaf := &x509.Certificate{Subject: pkix.Name{CommonName: c.host}}
	p.serverCtx = peer.NewContext(ctx, &peer.Peer{AuthInfo: credentials.TLSInfo{State: tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leaf}}}}})
	go func() {
		defer cancel()
		p.err = c.c.feed.Connect(&serverEnd{p: p})
		if p.err == nil {
			p.err = io.EOF
		}
	}()
	return &clientEnd{p: p}, nil
}

type pipe struct {
	ctx, serverCtx context.Context
	up             chan *wire.AgentMessage
	down           chan *wire.ServerMessage
	err            error // of the server; readable once ctx is done, and then only if the server ended first
}

type serverEnd struct {
	grpc.ServerStream
	p *pipe
}

func (s *serverEnd) Context() context.Context          { return s.p.serverCtx }
func (s *serverEnd) Send(m *wire.ServerMessage) error  { return pass(s.p.ctx, s.p.down, m) }
func (s *serverEnd) Recv() (*wire.AgentMessage, error) { return next(s.p.ctx, s.p.up) }

type clientEnd struct {
	grpc.ClientStream
	p *pipe
}

func (s *clientEnd) Send(m *wire.AgentMessage) error    { return pass(s.p.ctx, s.p.up, m) }
func (s *clientEnd) Recv() (*wire.ServerMessage, error) { return next(s.p.ctx, s.p.down) }

func pass[M any](ctx context.Context, c chan M, m M) error {
	select {
	case c <- m:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func next[M any](ctx context.Context, c chan M) (m M, err error) {
	select {
	case m = <-c:
		return m, nil
	case <-ctx.Done():
		return m, ctx.Err()
	}
}
