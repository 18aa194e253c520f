package feed

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
	"github.com/weft-cloud/weft/internal/wire"
)

// hub follows the world and knows who follows which topic. Its goroutine owns all of it; others ask through calls.
type hub struct {
	writer    *world.Writer
	log       *slog.Logger
	calls     chan func()
	world     *world.World
	sessions  map[string]*session // by host
	followers map[topic]map[*session]struct{}
	// sets are address sets that somebody follows, as they are in world; one that is not here is read from the world.
	sets map[model.UUID]*memberSet
	// alive tells of a host whether its agent lives; serving is which host serves each provider network's outsiders.
	alive   func(host string) bool
	serving map[model.NetworkID]string
}

func newHub(w *world.Writer, log *slog.Logger) *hub {
	return &hub{writer: w, log: log, calls: make(chan func()), sessions: map[string]*session{}, followers: map[topic]map[*session]struct{}{},
		sets: map[model.UUID]*memberSet{}, alive: func(string) bool { return true }}
}

func (h *hub) run(ctx context.Context) error {
	head := h.writer.Head()
	h.world = head.World
	h.serving = elect(h.world, h.alive)
	look := time.NewTicker(electEvery)
	defer look.Stop()
	commits := make(chan *world.Commit)
	go func() {
		for {
			next, err := head.Next(ctx)
			if err != nil {
				close(commits)
				return
			}
			head = next
			select {
			case commits <- next:
			case <-ctx.Done():
			}
		}
	}()
	for {
		select {
		case f := <-h.calls:
			f()
		case <-look.C:
			h.reelect()
		case c, ok := <-commits:
			if !ok {
				return nil
			}
			h.commit(c)
		}
	}
}

// do runs f in the hub's goroutine and waits for it; false if ctx ended first.
func (h *hub) do(ctx context.Context, f func()) bool {
	done := make(chan struct{})
	select {
	case h.calls <- func() { f(); close(done) }:
		<-done
		return true
	case <-ctx.Done():
		return false
	}
}

// join starts a session: it replaces an earlier one of the same host and is sent a snapshot.
func (h *hub) join(s *session, have map[key]uint64, at model.Position) {
	if old := h.sessions[s.host]; old != nil {
		old.fail(errReplaced)
		h.leave(old)
	}
	h.sessions[s.host] = s
	s.topics = interest{}
	h.reelect() // the host lives, by its coming
	h.refollow(s, h.interest(s.host))
	h.snapshot(s, have, at)
}

func (h *hub) leave(s *session) {
	if h.sessions[s.host] == s {
		delete(h.sessions, s.host)
	}
	h.refollow(s, interest{})
}

func (h *hub) refollow(s *session, want interest) {
	for t := range s.topics {
		if _, keep := want[t]; !keep {
			delete(h.followers[t], s)
			if len(h.followers[t]) == 0 {
				delete(h.followers, t)
				if t.kind == topicSet {
					delete(h.sets, t.id)
				}
			}
		}
	}
	for t := range want {
		if h.followers[t] == nil {
			h.followers[t] = map[*session]struct{}{}
		}
		h.followers[t][s] = struct{}{}
	}
	s.topics = want
}

// snapshot sends what the agent lacks and the list of all that it should have.
func (h *hub) snapshot(s *session, have map[key]uint64, at model.Position) {
	u := &update{position: h.world.Position(), snapshot: true}
	endpoints, stay := 0, 0
	for k := range have {
		if k.kind == wire.Kind_KIND_ENDPOINT {
			endpoints++
		}
	}
	for t := range s.topics {
		members(h.world, t, func(k key) {
			b, ok := lookup(h.world, k)
			if !ok {
				return
			}
			u.listed = append(u.listed, k.ref(b.version))
			version, known := have[k]
			if known && k.kind == wire.Kind_KIND_ENDPOINT {
				stay++
			}
			if !known || version != b.version {
				u.put(k, b)
			}
		})
	}
	u.hold = heldBack(endpoints, stay) || (!at.Lineage.IsZero() && at.Lineage != u.position.Lineage)
	u.hold = u.hold && !s.released
	if u.hold {
		h.log.Warn("snapshot held: the host keeps what it has until an operator releases it", "host", s.host, "endpoints", endpoints, "staying", stay)
	}
	s.held = u.hold
	s.send(u)
}

// heldBack reports whether a snapshot takes so much from a host that a person should look first: more than half of at
// least heldMinimum ports.
func heldBack(had, stay int) bool { return had >= heldMinimum && stay*2 < had }

const heldMinimum = 4

// dismiss ends the connection of a host whose last agent was deleted: it comes back, and registers again.
func (h *hub) dismiss(c world.Change) {
	if v, ok := c.Old.(*model.Host); ok && h.world.Hosts.Get(v.Name) == nil {
		if s := h.sessions[v.Name]; s != nil {
			s.fail(errDeleted)
		}
	}
}

// commit tells everybody interested what a commit changed.
func (h *hub) commit(c *world.Commit) {
	before := h.world
	h.world = c.World
	if c.Reset {
		for _, s := range h.sessions {
			s.fail(errReset) // it comes back and resumes
		}
		clear(h.sets)
		return
	}
	changes := h.follow(c)
	objects := map[item]struct{}{}
	restless := map[*session]struct{}{}
	electing := false
	for _, b := range c.Batches {
		for _, change := range b.Changes {
			touched(before, h.world, change, func(i item) { objects[i] = struct{}{} })
			electing = electing || decides(change)
			h.dismiss(change)
			moves(h.world, change, func(t topic) {
				for s := range h.followers[t] {
					restless[s] = struct{}{}
				}
			}, func(host string) {
				if s := h.sessions[host]; s != nil {
					restless[s] = struct{}{}
				}
			})
		}
	}
	if electing {
		for _, host := range h.elect() {
			if s := h.sessions[host]; s != nil {
				restless[s] = struct{}{}
			}
		}
	}
	h.tell(func(of func(*session) *update) {
		stays := h.shift(before, restless, of)
		h.spread(before, spreading{objects, stays, changes}, of)
	})
}

// tell sends each session what fill has put into its update.
func (h *hub) tell(fill func(of func(*session) *update)) {
	updates := map[*session]*update{}
	fill(func(s *session) *update {
		if updates[s] == nil {
			updates[s] = &update{position: h.world.Position()}
		}
		return updates[s]
	})
	for s, u := range updates {
		if !u.empty() {
			s.send(u)
		}
	}
}

// shift re-derives the interest of sessions that a commit may have changed it of. They are sent all objects of topics
// that they come to, and deletions of those that they leave. It returns, per such session, the topics followed both
// before and after.
func (h *hub) shift(before *world.World, restless map[*session]struct{}, of func(*session) *update) map[*session]interest {
	stays := map[*session]interest{}
	for s := range restless {
		old, want := s.topics, h.interest(s.host)
		both := interest{}
		for t := range want {
			if _, had := old[t]; had {
				both[t] = struct{}{}
				continue
			}
			members(h.world, t, func(k key) {
				if b, ok := lookup(h.world, k); ok {
					of(s).put(k, b)
				}
			})
		}
		for t := range old {
			if _, keep := want[t]; !keep {
				members(before, t, func(k key) {
					if _, ok := lookup(before, k); ok {
						of(s).drop(k)
					}
				})
			}
		}
		h.refollow(s, want)
		stays[s] = both
	}
	return stays
}

// spreading is what a commit may have changed, the topics that sessions stay with whose interest it changed, too, and what it did to
// address sets.
type spreading struct {
	objects map[item]struct{}
	stays   map[*session]interest
	changes map[model.UUID]*setChange
}

// spread sends changed objects to those who follow their topics, before and after.
func (h *hub) spread(before *world.World, x spreading, of func(*session) *update) {
	items := slices.SortedFunc(maps.Keys(x.objects), func(a, b item) int { return compareKeys(a.key, b.key) })
	for _, i := range items {
		t, k := i.topic, i.key
		if len(h.followers[t]) == 0 {
			continue
		}
		var n *news
		if k.kind == wire.Kind_KIND_ADDRESS_SET {
			n = h.setNews(before, t.id, x.changes)
		} else {
			n = h.news(before, i)
		}
		if n == nil {
			continue
		}
		for s := range h.followers[t] {
			if both, shifted := x.stays[s]; shifted {
				if _, follows := both[t]; !follows {
					continue // it has just been sent the whole topic
				}
			}
			switch {
			case n.gone:
				of(s).drop(k)
			case n.change != nil && s.changes:
				u := of(s)
				u.changes = append(u.changes, n.change)
			default:
				of(s).put(k, n.whole())
			}
		}
	}
}

// news is what a commit means to those who follow an object under its topic; nil: nothing.
func (h *hub) news(before *world.World, i item) *news {
	old, was := in(before, i.topic, i.key)
	now, is := in(h.world, i.topic, i.key)
	if !was && !is || was && is && old.version == now.version {
		return nil
	}
	return &news{gone: !is, whole: func() body { return now }}
}

// in is lookup, for objects that are under one topic or another according to what they say.
func in(w *world.World, t topic, k key) (body, bool) {
	if t.kind == topicHost {
		var u model.UUID
		copy(u[:], k.id)
		if k.kind == wire.Kind_KIND_FLOATING_IP {
			if !placedAt(w, model.FloatingIPID{UUID: u}, t.host) {
				return body{}, false
			}
			return lookup(w, k)
		}
		if k.kind == wire.Kind_KIND_NDP_PROXY {
			if !proxyPlacedAt(w, model.NDPProxyID{UUID: u}, t.host) {
				return body{}, false
			}
			return lookup(w, k)
		}
		p := w.Ports.Get(model.PortID{UUID: u})
		if p == nil || p.Host != t.host || !endpoint(p) {
			return body{}, false
		}
	}
	return lookup(w, k)
}
