package agent

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// eventually polls until ok or the patience is over.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// fakePlane programs endpoints that have a device, and like a real plane deletes only when in sync.
type fakePlane struct {
	mu       sync.Mutex
	desired  dataplane.Desired // the last
	kernel   map[model.PortID]bool
	applies  int
	err      error              // of the next Applies
	failed   []hostplan.Problem // of the next Applies
	hook     func(dataplane.Desired)
	injected map[model.PortID]int
	punts    chan dataplane.Punt
}

func newFakePlane() *fakePlane {
	return &fakePlane{kernel: map[model.PortID]bool{}, injected: map[model.PortID]int{}, punts: make(chan dataplane.Punt)}
}

func (p *fakePlane) Apply(_ context.Context, d dataplane.Desired) (dataplane.Result, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.applies++
	p.desired = d
	if p.hook != nil {
		p.hook(d)
	}
	if p.err != nil {
		return dataplane.Result{}, p.err
	}
	for id, e := range d.State.Endpoints {
		if _, ok := d.Devices[e.Device]; ok {
			p.kernel[id] = true
		} else if d.InSync {
			delete(p.kernel, id)
		}
	}
	for id := range p.kernel {
		if d.State.Endpoints[id] == nil && d.InSync {
			delete(p.kernel, id)
		}
	}
	return dataplane.Result{Programmed: maps.Clone(p.kernel), Failed: p.failed}, nil
}

func (p *fakePlane) Punts() <-chan dataplane.Punt { return p.punts }
func (p *fakePlane) Close() error                 { return nil }
func (p *fakePlane) Inject(id model.PortID, _ []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.injected[id]++
	return nil
}

func (p *fakePlane) look(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (p *fakePlane) programmed(ids ...model.PortID) func() bool {
	return func() (ok bool) {
		p.look(func() {
			ok = len(p.kernel) == len(ids)
			for _, id := range ids {
				ok = ok && p.kernel[id]
			}
		})
		return ok
	}
}

// fakeDevices is a host whose interfaces a test plugs and unplugs.
type fakeDevices struct {
	mu     sync.Mutex
	now    map[string]dataplane.Device
	change chan struct{}
}

func (f *fakeDevices) set(names ...string) {
	m := map[string]dataplane.Device{}
	for i, n := range names {
		m[n] = dataplane.Device{Name: n, Index: i + 10, Up: true}
	}
	f.mu.Lock()
	f.now = m
	f.mu.Unlock()
	poke(f.change)
}

func (f *fakeDevices) Watch(ctx context.Context, changed func(Found)) error {
	for {
		f.mu.Lock()
		m := maps.Clone(f.now)
		f.mu.Unlock()
		changed(Found{Devices: m})
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.change:
		}
	}
}

// fakeServer hands every connection to the test.
type fakeServer struct {
	wire.UnimplementedFeedServer
	sessions chan *fakeSession
	grpc     *grpc.Server
	listener *bufconn.Listener
}

type fakeSession struct {
	t      *testing.T
	hello  *wire.Hello
	stream grpc.BidiStreamingServer[wire.AgentMessage, wire.ServerMessage]
	end    chan error
	got    chan *wire.AgentMessage
}

func (s *fakeServer) Connect(stream grpc.BidiStreamingServer[wire.AgentMessage, wire.ServerMessage]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	f := &fakeSession{hello: first.GetHello(), stream: stream, end: make(chan error, 1), got: make(chan *wire.AgentMessage, 1000)}
	if err := stream.Send(&wire.ServerMessage{Kind: &wire.ServerMessage_Welcome{Welcome: &wire.Welcome{
		TimeUnixNano: time.Now().Add(time.Hour).UnixNano(), HeartbeatSeconds: 1, Server: "s1"}}}); err != nil {
		return err
	}
	s.sessions <- f
	go func() {
		for {
			m, err := stream.Recv()
			if err != nil {
				close(f.got)
				return
			}
			f.got <- m
		}
	}()
	select {
	case err := <-f.end:
		return err
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
}

func (f *fakeSession) send(u *wire.Update) {
	f.t.Helper()
	if err := f.stream.Send(&wire.ServerMessage{Kind: &wire.ServerMessage_Update{Update: u}}); err != nil {
		f.t.Fatal(err)
	}
}

// reported waits until reports have said all that. What they said of other ports before the position does not count: a report may
// overtake the step that takes a port away.
func (f *fakeSession) reported(applied uint64, ports map[model.PortID]bool) {
	f.t.Helper()
	told, before := map[model.PortID]bool{}, map[model.PortID]bool{}
	var at uint64
	timeout := time.After(patience)
	for {
		select {
		case m, ok := <-f.got:
			if !ok {
				f.t.Fatalf("connection ended; reported %v at %d, want %v at %d", told, at, ports, applied)
			}
			r := m.GetReport()
			if r == nil {
				continue
			}
			at = r.Applied.GetRevision()
			for _, p := range r.Ports {
				told[model.PortID{UUID: model.UUID(p.Id)}] = p.Up
			}
			if at < applied {
				before = maps.Clone(told)
			}
			maps.DeleteFunc(told, func(id model.PortID, up bool) bool {
				_, wanted := ports[id]
				was, known := before[id]
				return at == applied && !wanted && known && was == up
			})
			if at == applied && maps.Equal(told, ports) {
				return
			}
		case <-timeout:
			f.t.Fatalf("reported %v at %d, want %v at %d", told, at, ports, applied)
		}
	}
}

// rig is an agent in its surroundings.
type rig struct {
	t       *testing.T
	dir     string
	server  *fakeServer
	plane   *fakePlane
	over    dataplane.Plane // plane, with more to it; nil: plane
	devices *fakeDevices
	agent   *Agent
	deps    Deps
	stop    func() error
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, dir: t.TempDir(), plane: newFakePlane(), devices: &fakeDevices{change: make(chan struct{}, 1)}}
	r.serve()
	t.Cleanup(func() {
		if r.stop != nil {
			r.halt()
		}
		r.server.grpc.Stop()
	})
	return r
}

func (r *rig) serve() {
	r.server = &fakeServer{sessions: make(chan *fakeSession, 100), grpc: grpc.NewServer(), listener: bufconn.Listen(1 << 20)}
	wire.RegisterFeedServer(r.server.grpc, r.server)
	go r.server.grpc.Serve(r.server.listener) //nolint:errcheck // ends with Stop
}

func (r *rig) start() {
	conn, err := grpc.NewClient("passthrough:feed", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return r.server.listener.DialContext(ctx) }))
	if err != nil {
		r.t.Fatal(err)
	}
	r.deps = Deps{
		Config: Config{Host: "h0", VTEP: func(context.Context) (netip.Addr, error) { return netip.MustParseAddr("192.0.2.1"), nil }, Heartbeat: time.Second, Backoff: Range{5 * time.Millisecond, 20 * time.Millisecond},
			Retry: Range{5 * time.Millisecond, 20 * time.Millisecond}, SaveAfter: 5 * time.Millisecond},
		Feed: wire.NewFeedClient(conn), Plane: r.plane, Devices: r.devices, Dir: r.dir, Rand: rand.Float64, Responders: r.deps.Responders,
		Log: slog.New(slog.NewTextHandler(testWriter{r.t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if r.over != nil {
		r.deps.Plane = r.over
	}
	r.agent = New(r.deps)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.agent.Run(ctx) }()
	r.stop = func() error {
		cancel()
		return errors.Join(<-done, conn.Close())
	}
}

func (r *rig) halt() {
	r.t.Helper()
	if err := r.stop(); err != nil {
		r.t.Errorf("Run: %v", err)
	}
	r.stop = nil
}

func (r *rig) session() *fakeSession {
	r.t.Helper()
	select {
	case s := <-r.server.sessions:
		s.t = r.t
		return s
	case <-time.After(patience):
		r.t.Fatal("the agent does not connect")
		return nil
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) { w.t.Logf("%s", b); return len(b), nil }

// The objects of a small cloud.

func uuid(kind, n byte) model.UUID { return model.UUID{kind, n, 15: 1} }
func portID(n byte) model.PortID   { return model.PortID{UUID: uuid('p', n)} }
func tap(n byte) string            { return portID(n).DeviceName() }
func object(kind wire.Kind, id []byte, m proto.Message) *wire.Object {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return &wire.Object{Kind: kind, Id: id, Version: h, Body: b}
}

// base is a network with a subnet on hosts h0 and h1.
func base() []*wire.Object {
	n, s := wire.ID(uuid('n', 1)), wire.ID(uuid('s', 1))
	return []*wire.Object{
		object(wire.Kind_KIND_HOST, []byte("h0"), &wire.Host{Name: "h0", Vtep: []byte{192, 0, 2, 1}}),
		object(wire.Kind_KIND_HOST, []byte("h1"), &wire.Host{Name: "h1", Vtep: []byte{192, 0, 2, 2}}),
		object(wire.Kind_KIND_NETWORK, n, &wire.Network{Id: n, AdminUp: true, Mtu: 1450, Segments: []*wire.Segment{{Type: "vxlan", SegmentationId: 10}}}),
		object(wire.Kind_KIND_SUBNET, s, &wire.Subnet{Id: s, NetworkId: n, Cidr: &wire.Prefix{Address: []byte{10, 0, 0, 0}, Bits: 24}}),
	}
}

// port is a port with its private part, on h0.
func port(n byte) []*wire.Object {
	id := wire.ID(portID(n).UUID)
	return []*wire.Object{
		object(wire.Kind_KIND_PORT, id, &wire.Port{Id: id, NetworkId: wire.ID(uuid('n', 1)), Mac: []byte{2, 0, 0, 0, 0, n}, Host: "h0", DeviceOwner: "compute:nova",
			PortSecurity: true, FixedIps: []*wire.FixedIP{{SubnetId: wire.ID(uuid('s', 1)), Address: []byte{10, 0, 0, n}}}}),
		object(wire.Kind_KIND_ENDPOINT, id, &wire.Endpoint{Id: id, AdminUp: true}),
	}
}

func at(revision uint64) *wire.Position {
	return &wire.Position{Lineage: wire.ID(uuid('l', 1)), Revision: revision}
}

func list(objects ...*wire.Object) []*wire.Ref {
	var out []*wire.Ref
	for _, o := range objects {
		out = append(out, &wire.Ref{Kind: o.Kind, Id: o.Id, Version: o.Version})
	}
	return out
}

func full(revision uint64, objects ...[]*wire.Object) *wire.Update {
	all := slices.Concat(objects...)
	return &wire.Update{Position: at(revision), Snapshot: true, Puts: all, Listed: list(all...)}
}

func fileExists(path string) bool { _, err := os.Stat(path); return err == nil }

var errBroken = errors.Join(io.ErrUnexpectedEOF, errors.New("broken for the test"))
