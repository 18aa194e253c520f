package feed

import (
	"errors"
	"sync"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/wire"
)

// Why a session is ended by the server; the agent connects again and resumes.
var (
	errReplaced = errors.New("another connection of this host has taken over; is the same certificate in use twice?")
	errReset    = errors.New("the server has loaded its world anew")
	errDeleted  = errors.New("all agents of this host were deleted; it may register again")
	errSlow     = errors.New("the agent does not keep up with its updates")
)

// session is one agent's connection. topics, held and released belong to the hub.
type session struct {
	host     string
	topics   interest
	held     bool
	released bool
	// changes: the agent takes changes of address sets.
	changes bool

	mu     sync.Mutex
	queue  []*update // guarded by mu
	err    error     // guarded by mu; why it must end
	wakeup chan struct{}
}

// maxQueued bounds what waits for a slow agent, in updates. Beyond it a resume is cheaper.
const maxQueued = 10000

func newSession(host string) *session {
	return &session{host: host, wakeup: make(chan struct{}, 1)}
}

// send queues an update; it never blocks.
func (s *session) send(u *update) {
	s.mu.Lock()
	if len(s.queue) >= maxQueued && s.err == nil {
		s.err = errSlow
	}
	s.queue = append(s.queue, u)
	s.mu.Unlock()
	s.wake()
}

func (s *session) fail(err error) {
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	s.mu.Unlock()
	s.wake()
}

func (s *session) wake() {
	select {
	case s.wakeup <- struct{}{}:
	default:
	}
}

// take empties the queue.
func (s *session) take() ([]*update, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queue
	s.queue = nil
	return q, s.err
}

// update is one step for one session, before it is cut into messages.
type update struct {
	position model.Position
	puts     []*wire.Object
	changes  []*wire.SetChange
	deletes  []*wire.Ref
	snapshot bool
	listed   []*wire.Ref
	hold     bool
}

func (u *update) put(k key, b body) {
	u.puts = append(u.puts, &wire.Object{Kind: k.kind, Id: []byte(k.id), Version: b.version, Body: b.bytes})
}

func (u *update) drop(k key) { u.deletes = append(u.deletes, k.ref(0)) }

func (u *update) empty() bool { return len(u.puts)+len(u.changes)+len(u.deletes) == 0 && !u.snapshot }

// partBytes bounds a message, well below gRPC's 4 MiB.
const partBytes = 1 << 20

// parts cuts the update into messages; all but the last say that more follow.
func (u *update) parts() []*wire.ServerMessage {
	var out []*wire.ServerMessage
	part := &wire.Update{}
	size := 0
	flush := func(more bool) {
		part.Position, part.More, part.Snapshot, part.Hold = wire.FromPosition(u.position), more, u.snapshot, u.hold
		out = append(out, &wire.ServerMessage{Kind: &wire.ServerMessage_Update{Update: part}})
		part, size = &wire.Update{}, 0
	}
	room := func(n int) {
		if size+n > partBytes && size > 0 {
			flush(true)
		}
		size += n
	}
	for _, r := range u.deletes {
		room(len(r.Id) + 16)
		part.Deletes = append(part.Deletes, r)
	}
	for _, r := range u.listed {
		room(len(r.Id) + 16)
		part.Listed = append(part.Listed, r)
	}
	for _, o := range u.puts {
		room(len(o.Body) + len(o.Id) + 24)
		part.Puts = append(part.Puts, o)
	}
	for _, c := range u.changes {
		room(48 + 24*(len(c.Added)+len(c.Removed)))
		part.SetChanges = append(part.SetChanges, c)
	}
	flush(false)
	return out
}
