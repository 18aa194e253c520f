package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/weft-cloud/weft/internal/wire"
)

// link is how things stand with the server.
type link struct {
	Connected bool      `json:"connected"`
	Server    string    `json:"server,omitempty"`
	Since     time.Time `json:"since,omitzero"`
	// Error is why the last connection failed or ended.
	Error string `json:"error,omitempty"`
	// ClockOffset is the server's clock minus this host's, good to half of RoundTrip.
	ClockOffset time.Duration `json:"clock_offset_ns"`
	RoundTrip   time.Duration `json:"round_trip_ns"`
}

const (
	// unnoticed is how long a connection may be dead before that is noticed (its keepalives).
	unnoticed = 15 * time.Second
	// forever is how long a server was out of reach that this process has not met yet.
	forever = time.Duration(1) << 60
)

// handshake is how long a server may take to answer Hello.
const handshake = 10 * time.Second

// follow keeps a connection to the feed.
func (a *Agent) follow(ctx context.Context) {
	var wait time.Duration
	for {
		start := time.Now()
		welcomed, err := a.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if welcomed && time.Since(start) > a.Config.Backoff.Max { // one that breaks at once is as bad as none
			wait = 0
		}
		wait = next(wait, a.Config.Backoff)
		// Between a half and all of it, so that hosts which lost one server do not come back all at once.
		pause := wait/2 + time.Duration(a.Rand()*float64(wait/2))
		a.call(ctx, func() { a.disconnected(err, pause) })
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

func (a *Agent) disconnected(err error, pause time.Duration) {
	l := &a.core.link
	text := fmt.Sprint(err)
	if l.Connected || l.Error != text {
		a.Log.Warn("no connection to the server; this host goes on by what it knows", "error", err, "wait", pause)
	}
	if l.Connected {
		a.core.counts.Disconnect++
		l.Since = time.Now()
	}
	l.Connected, l.Error = false, text
	a.serve()
}

// session is one connection, from Hello until it breaks. welcomed: the server has answered.
func (a *Agent) session(ctx context.Context) (welcomed bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	slow := time.AfterFunc(handshake, cancel)
	defer slow.Stop()
	vtep, err := a.Config.VTEP(ctx)
	if err != nil {
		return false, err
	}
	stream, err := a.Feed.Connect(ctx)
	if err != nil {
		return false, fmt.Errorf("connect: %w", err)
	}
	var hello *wire.AgentMessage
	if !a.call(ctx, func() { hello = a.hello(vtep) }) {
		return false, ctx.Err()
	}
	sent := time.Now()
	if err := stream.Send(hello); err != nil {
		return false, a.refused(stream, err)
	}
	first, err := stream.Recv()
	if err != nil {
		return false, fmt.Errorf("connect: %w", err)
	}
	w := first.GetWelcome()
	if w == nil {
		return false, errors.New("the server's first message is not Welcome; is it of another version?")
	}
	if !slow.Stop() {
		return false, fmt.Errorf("the server did not answer within %v", handshake)
	}
	got := time.Now()
	if !a.call(ctx, func() { a.connected(w, sent, got) }) {
		return false, ctx.Err()
	}
	sender := make(chan struct{})
	go func() {
		defer close(sender)
		defer cancel()
		a.tell(ctx, stream, a.heartbeatEvery(w))
	}()
	err = a.listen(ctx, stream)
	cancel()
	<-sender
	return true, err
}

// refused finds out why the server closed the stream while we sent.
func (a *Agent) refused(stream feedStream, err error) error {
	if _, why := stream.Recv(); why != nil {
		err = why
	}
	return fmt.Errorf("connect: %w", err)
}

type feedStream interface {
	Send(*wire.AgentMessage) error
	Recv() (*wire.ServerMessage, error)
}

func (a *Agent) heartbeatEvery(w *wire.Welcome) time.Duration {
	if w.HeartbeatSeconds > 0 {
		return time.Duration(w.HeartbeatSeconds) * time.Second
	}
	return a.Config.Heartbeat
}

func (a *Agent) hello(vtep netip.Addr) *wire.AgentMessage {
	c, s := &a.Config, a.core.scope
	return &wire.AgentMessage{Kind: &wire.AgentMessage_Hello{Hello: &wire.Hello{
		Host: c.Host, Version: c.Version, Vtep: wire.AddrBytes(vtep), AgentMode: c.AgentMode, DataPlane: c.DataPlane,
		BridgeMappings: c.BridgeMappings, AvailabilityZone: c.AvailabilityZone, StartedAt: a.started.Unix(),
		Position: wire.FromPosition(s.position), Have: s.refs(), SetSums: !s.wholeSets,
	}}}
}

func (a *Agent) connected(w *wire.Welcome, sent, got time.Time) {
	c := &a.core
	trip := got.Sub(sent)
	c.absent = forever
	if c.counts.Connects > 0 {
		c.absent = got.Sub(c.link.Since) + unnoticed
	}
	c.learnedKnown, c.settled = false, false
	c.link = link{Connected: true, Server: w.Server, Since: got, RoundTrip: trip,
		ClockOffset: time.Unix(0, w.TimeUnixNano).Sub(sent.Add(trip / 2))}
	c.counts.Connects++
	c.told = newTold() // this server is told everything
	a.Log.Info("connected to the server", "server", w.Server, "clockOffset", c.link.ClockOffset)
	a.wakeReport()
}

// listen takes steps until the connection breaks. Parts of a step are applied together.
func (a *Agent) listen(ctx context.Context, stream feedStream) error {
	var whole *wire.Update
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		part := m.GetUpdate()
		switch {
		case part == nil:
			continue // of a newer server
		case whole == nil:
			whole = part
		default:
			whole.Puts, whole.Deletes = append(whole.Puts, part.Puts...), append(whole.Deletes, part.Deletes...)
			whole.SetChanges = append(whole.SetChanges, part.SetChanges...)
			whole.Listed, whole.Position = append(whole.Listed, part.Listed...), part.Position
			whole.Snapshot, whole.Hold = whole.Snapshot || part.Snapshot, whole.Hold || part.Hold
		}
		if part.More {
			continue
		}
		step := whole
		whole = nil
		if !a.call(ctx, func() { err = a.step(step) }) {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

// step takes in one whole step. On an error the session ends, and the next one names what is here.
func (a *Agent) step(u *wire.Update) error {
	c := &a.core
	c.counts.Updates++
	c.compile = true
	a.saveSoon()
	if err := c.scope.step(u); err != nil {
		a.Log.Warn("the server's list and what is here differ, will resume", "error", err)
		return fmt.Errorf("step of the feed: %w", err)
	}
	if !u.Snapshot {
		return nil
	}
	if u.Hold && !c.held {
		a.Log.Error("the server asks to keep what it no longer knows: it was restored, or would take most ports of this host; an operator must release it", "position", c.scope.position)
	}
	c.held, c.away = u.Hold, c.absent
	if !c.inSync {
		c.inSync = true
		a.Log.Info("in sync with the server", "position", c.scope.position, "objects", len(c.scope.objects))
	}
	return nil
}

// tell sends reports when there is something to report, and heartbeats, until ctx is done or sending fails.
func (a *Agent) tell(ctx context.Context, stream feedStream, every time.Duration) {
	beat := time.NewTicker(every)
	defer beat.Stop()
	for {
		var m *wire.AgentMessage
		var ok bool
		select {
		case <-ctx.Done():
			return
		case <-a.reportable:
			ok = a.call(ctx, func() { m = a.report() })
		case <-beat.C:
			ok = a.call(ctx, func() { m = a.heartbeat() })
		}
		if !ok {
			return
		}
		if m != nil && stream.Send(m) != nil {
			return // Recv says why
		}
	}
}
