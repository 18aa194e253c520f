package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weft-cloud/weft/internal/agent/gateway"
	"github.com/weft-cloud/weft/internal/agent/tally"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/wire"
)

// Config is what the agent says of its host, and how patient it is.
type Config struct {
	Host, Version string
	// VTEP is asked for before each Hello, so that an error only puts off the connection; invalid: no tunnels. Required.
	VTEP             func(context.Context) (netip.Addr, error)
	AgentMode        string // legacy, dvr, dvr_snat, dvr_no_external
	DataPlane        string // ebpf, ovs, null
	AvailabilityZone string
	BridgeMappings   map[string]string
	Options          hostplan.Options
	// Heartbeat is how often the agent is heard of until the server says otherwise.
	Heartbeat time.Duration
	// Backoff bounds the wait before the feed is connected again, Retry that before a failed Apply is repeated; each wait
	// doubles from Min to Max.
	Backoff, Retry Range
	// SaveAfter is how long changes of the scope may wait to be written to disk together.
	SaveAfter time.Duration
}

// Range is the shortest and the longest of something.
type Range struct{ Min, Max time.Duration }

// Devices knows the interfaces of the host.
type Devices interface {
	// Watch calls changed with all that is there, and again whenever that has changed, until ctx is done or it cannot go on.
	// What it tells belongs to the callee.
	Watch(ctx context.Context, changed func(Found)) error
}

// Found are the interfaces of the host that concern the agent.
type Found struct {
	// Devices that endpoints have, by name.
	Devices map[string]dataplane.Device
	// Physical are the NICs of each physical network, and Problems those that are not as bridge_mappings says, in words.
	Physical map[string][]dataplane.Device
	Problems []hostplan.Problem
}

// Centrals carries out the central parts of routers.
type Centrals interface {
	// Update hands over a State; it must not block.
	Update(st *hostplan.State, inSync bool)
	// Run works until ctx is done, and tells each result that is not the last one.
	Run(ctx context.Context, changed func(gateway.Result)) error
}

// Paths finds out which paths to other hosts' tunnel addresses are too narrow.
type Paths interface {
	// Update hands over a State; it must not block.
	Update(st *hostplan.State)
	// Run works until ctx is done, and tells the largest tunnel packet of each path that is too narrow, whenever that has changed.
	Run(ctx context.Context, changed func(narrow map[netip.Addr]uint32)) error
}

// Deps are what an Agent needs. All are required unless said otherwise.
type Deps struct {
	Config Config
	Feed   wire.FeedClient
	Plane  dataplane.Plane
	// Devices nil: the plane needs none.
	Devices Devices
	// Dir is where the scope and the status socket are. It must exist.
	Dir string
	// Responders answer what the plane punts, by kind.
	Responders map[dataplane.PuntKind]Responder
	// Centrals nil: this host has no central parts of routers.
	Centrals Centrals
	// Outside nil: the plane reaches no external network.
	Outside Outside
	// Paths nil: no path is found narrow.
	Paths Paths
	// OnState, if set, is called with each new State, in order, by one goroutine; it must not block.
	OnState func(*hostplan.State)
	// OnApplied, if set, is called when the plane has taken a State, by the goroutine that drives it; it must not block.
	OnApplied func()
	// Services, if set, tells what the host's services were asked by a port, for the status.
	Services func(model.PortID) tally.Port
	// Rand returns a number in [0,1).
	Rand func() float64
	Log  *slog.Logger
}

// Agent is the host's side of Weft. Run must be called once.
type Agent struct {
	Deps
	started time.Time
	calls   chan func()
	// reportable wakes the session: there may be something to report.
	reportable chan struct{}
	retries    chan struct{}
	// relearn asks for another look at what the plane has learned.
	relearn chan struct{}
	applies chan dataplane.Desired
	savable chan struct{}
	saves   chan saved
	state   atomic.Pointer[hostplan.State]
	punts   puntCounts
	core    core
}

// core is what only the owner goroutine touches (loop, and the functions in calls).
type core struct {
	scope        *scope
	found        Found
	devicesKnown bool
	central      gateway.Result
	claims       []hostplan.Problem // of addresses that are served here
	said         map[hostplan.Problem]bool
	came         arrivals
	// inSync: the server has listed all that is this host's business since the agent started. held: it has asked to keep
	// what it did not list.
	inSync, held bool
	compile      bool        // something has changed since the last State was handed to the plane
	saveTimer    *time.Timer // runs while something is not on disk
	link         link
	done         outcome
	told         told
	// learned is what the host's own ports have besides their fixed IPs, once it is known: after the plane has taken the State that
	// this connection's server has listed. away is how long that server was out of reach (absent,
	// before it has listed), until the plane has; settled: it has.
	learned      []fact
	learnedKnown bool
	absent, away time.Duration
	settled      bool
	// retell: what was learned is to be told again, for somebody has taken from the server what it was told.
	retell bool
	counts counts
}

// outcome is what the last Apply came to.
type outcome struct {
	position model.Position
	result   dataplane.Result
	err      error
	state    *hostplan.State
	away     time.Duration // as it was told to the plane
	took     time.Duration
	retry    *time.Timer
	wait     time.Duration
	applied  bool // at least once without err
}

type counts struct {
	Updates    uint64 `json:"updates"`
	Applies    uint64 `json:"applies"`
	Failures   uint64 `json:"apply_failures"`
	Connects   uint64 `json:"connects"`
	Disconnect uint64 `json:"disconnects"`
}

// New returns an agent with the scope that the last run left on disk.
func New(d Deps) *Agent {
	return &Agent{
		Deps: d, started: time.Now(), calls: make(chan func()), reportable: make(chan struct{}, 1), retries: make(chan struct{}, 1), relearn: make(chan struct{}, 1),
		applies: make(chan dataplane.Desired, 1), savable: make(chan struct{}, 1), saves: make(chan saved, 1),
		core: core{scope: newScope(d.Config.Host, d.Config.Options), told: newTold(), came: newArrivals()},
	}
}

// Run works until ctx is done, and returns nil then; an error means that the agent cannot do its work at all. The plane is
// left as it is: packets go on.
func (a *Agent) Run(ctx context.Context) error {
	status, err := a.listenStatus()
	if err != nil {
		return err
	}
	a.restore()
	a.core.devicesKnown = a.Devices == nil
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { a.loop(ctx); return nil })
	g.Go(func() error { a.applier(ctx); return nil })
	g.Go(func() error { a.follow(ctx); return nil })
	g.Go(func() error { return a.serveStatus(ctx, status) })
	a.dispatch(ctx, g)
	if l, ok := a.Plane.(dataplane.Learner); ok {
		g.Go(func() error { a.learn(ctx, l); return nil })
	}
	a.attend(ctx, g)
	written := make(chan struct{})
	go func() { defer close(written); a.saver() }()
	err = g.Wait()
	if a.core.saveTimer != nil {
		a.save()
	}
	close(a.saves)
	<-written
	return err
}

// attend runs what the agent was given beside the plane.
func (a *Agent) attend(ctx context.Context, g *errgroup.Group) {
	if a.Devices != nil {
		g.Go(func() error {
			err := a.Devices.Watch(ctx, func(f Found) { a.call(ctx, func() { a.found(f) }) })
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("watch devices: %w", err)
		})
	}
	if a.Centrals != nil {
		g.Go(func() error {
			err := a.Centrals.Run(ctx, func(r gateway.Result) { a.call(ctx, func() { a.core.central = r; a.serve(); a.say(); a.wakeReport() }) })
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("central parts of routers: %w", err)
		})
	}
	if a.Outside != nil {
		g.Go(func() error {
			err := a.Outside.Run(ctx, func(p []hostplan.Problem) { a.call(ctx, func() { a.core.claims = p; a.say(); a.wakeReport() }) })
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("external networks: %w", err)
		})
	}
	if a.Paths != nil {
		g.Go(func() error {
			err := a.Paths.Run(ctx, func(narrow map[netip.Addr]uint32) { a.call(ctx, func() { a.narrow(narrow) }) })
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("paths to other hosts: %w", err)
		})
	}
}

// call runs f in the owner goroutine and waits for it; false: ctx was done first.
func (a *Agent) call(ctx context.Context, f func()) bool {
	done := make(chan struct{})
	select {
	case a.calls <- func() { f(); close(done) }:
	case <-ctx.Done():
		return false
	}
	<-done
	return true
}

// loop is the owner goroutine. What is waiting is absorbed before one State is compiled of it all.
func (a *Agent) loop(ctx context.Context) {
	c := &a.core
	defer func() {
		stop(c.saveTimer)
		stop(c.done.retry)
	}()
	a.recompile()
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-a.calls:
			f()
		case <-a.retries:
			c.compile = true
		case <-a.savable:
			a.save()
		}
		for more := true; more; {
			select {
			case f := <-a.calls:
				f()
			default:
				more = false
			}
		}
		a.recompile()
	}
}

func stop(t *time.Timer) {
	if t != nil {
		t.Stop()
	}
}

// recompile hands a new State to the plane if there is anything new.
func (a *Agent) recompile() {
	c := &a.core
	if !c.compile {
		return
	}
	c.compile = false
	st := c.scope.state()
	c.came.sawPorts(st, c.inSync, time.Now())
	if a.state.Swap(st) != st && a.OnState != nil {
		a.OnState(st)
	}
	if a.Outside != nil {
		a.Outside.Update(st)
	}
	if a.Centrals != nil {
		a.Centrals.Update(st, c.inSync)
	}
	if a.Paths != nil {
		a.Paths.Update(st)
	}
	if !c.devicesKnown {
		return
	}
	stop(c.done.retry)
	// Only the newest counts: what waits is replaced.
	select {
	case <-a.applies:
	default:
	}
	a.applies <- dataplane.Desired{State: st, Devices: c.found.Devices, Physical: c.found.Physical, InSync: c.inSync, Away: c.away}
}

// narrow takes in which paths are too narrow.
func (a *Agent) narrow(paths map[netip.Addr]uint32) {
	a.core.scope.compiler.SetPaths(paths)
	a.core.compile = true
}

func (a *Agent) found(f Found) {
	c := &a.core
	if c.devicesKnown {
		c.came.sawDevices(c.found, f, time.Now())
	}
	c.found, c.devicesKnown, c.compile = f, true, true
	a.say()
}

// applier is the goroutine that drives the plane.
func (a *Agent) applier(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-a.applies:
			start := time.Now()
			r, err := a.Plane.Apply(ctx, d)
			if ctx.Err() != nil {
				return
			}
			if err == nil && a.OnApplied != nil {
				a.OnApplied()
			}
			a.call(ctx, func() {
				a.applied(outcome{position: d.State.Position, result: r, err: err, state: d.State, away: d.Away, took: time.Since(start)})
			})
		}
	}
}

// applied takes in what an Apply came to, and sees to it that what failed is tried again.
func (a *Agent) applied(o outcome) {
	c := &a.core
	before := c.done
	stop(before.retry)
	c.counts.Applies++
	o.applied = before.applied || o.err == nil
	if o.err != nil {
		// Nothing is known of this State; what was true before is the best guess.
		o.position, o.result.Programmed, o.result.FloatingIPs = before.position, before.result.Programmed, before.result.FloatingIPs
		o.result.NDPProxies = before.result.NDPProxies
	}
	if o.err != nil || len(o.result.Failed) > 0 {
		c.counts.Failures++
		o.wait = next(before.wait, a.Config.Retry)
		o.retry = time.AfterFunc(o.wait, func() { poke(a.retries) })
		if o.err != nil {
			a.Log.Error("the data plane takes no state, will try again", "error", o.err, "wait", o.wait)
		} else {
			a.Log.Warn("some objects are not programmed, will try again", "count", len(o.result.Failed), "first", o.result.Failed[0].Why, "wait", o.wait)
		}
	}
	if o.err == nil && o.result.Unsettled && o.retry == nil {
		o.retry = time.AfterFunc(unsettled, func() { poke(a.retries) })
	}
	c.done = o
	a.settle(o)
	a.serve()
	a.say()
	a.wakeReport()
}

// next doubles a wait within r.
func next(wait time.Duration, r Range) time.Duration {
	return min(max(2*wait, r.Min), r.Max)
}

func (a *Agent) wakeReport() { poke(a.reportable) }

// poke sends unless a message is waiting already.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
