package external

import (
	"context"
	"iter"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"time"

	ether "github.com/weft-cloud/weft/internal/agent/frame"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// Deps are what a Speaker needs. All are required unless said otherwise.
type Deps struct {
	Plane dataplane.Outside
	// Resend is the plane's; nil: packets that waited are lost, and their senders repeat them.
	Resend func(model.PortID, []byte) error
	// Receive is the plane's, for packets that came from a wire and not from a port; nil: those that waited are lost.
	Receive func(model.NetworkID, []byte) error
	// Known lists what the plane has learned; nil: nothing is kept fresh.
	Known func() ([]dataplane.OutsideNeighbor, error)
	// Repeats is how many times an address is announced when it comes here (send_arp_for_ha); 0: not at all.
	Repeats int
	Now     func() time.Time
	Log     *slog.Logger
}

// Active are the addresses that are served here now.
type Active struct {
	FloatingIPs map[model.FloatingIPID]bool
	NDPProxies  map[model.NDPProxyID]bool
	// Gateways are the routers whose outer leg is in place.
	Gateways map[model.RouterID]bool
	// Sure: a server has said so, and is within reach. Otherwise it is what this host has heard once, and another may have it now.
	Sure bool
}

// Limits of what is kept.
const (
	maxEntries     = 4096 // next hops that are being asked for
	maxWaiting     = 2048 // packets, of all ports
	maxWaitingPort = 16   // packets, of one port, or of all machines of one network
)

const (
	askEvery    = time.Second
	asks        = 3
	freshFor    = 30 * time.Second // then it is asked again
	lookEvery   = 5 * time.Second  // at what the plane knows
	beat        = 50 * time.Millisecond
	perBeat     = 50 // announcements
	claimGrace  = 3 * time.Second
	defendAfter = time.Second
	doubtEvery  = 5 * time.Second // who claims an address of ours is asked whether it still has it
	claimKept   = 3*doubtEvery + time.Second
	twinKept    = time.Minute // another host of the cloud, which is not asked
	twinAfter   = 2 * time.Second
	unsureFor   = 10 * time.Second // what a host that is alone believes to have is announced all the same
)

// Speaker does what the package is for. All its state is of the goroutine of Run.
type Speaker struct {
	Deps
	states  chan *hostplan.State
	actives chan Active
	punts   chan dataplane.Punt

	state   *hostplan.State
	active  Active
	own     map[key]owned
	entries map[key]*entry
	waiting map[source]int
	total   int
	// met are those that the plane knows.
	met map[key]bool
	// refresh counts how often something that is known was asked without an answer.
	refresh map[key]int
	looked  time.Time
	due     []announcement
	// unsaid is what came while nobody could say whether it is still here, since when.
	unsaid map[key]time.Time
	claims map[key]claim
	told   []hostplan.Problem
}

// key is an address on an external network.
type key struct {
	external model.NetworkID
	addr     netip.Addr
}

// owned is an address that is served here.
type owned struct {
	mac  model.MAC
	kind model.Kind
	id   string
}

// entry is a next hop that is being asked for.
type entry struct {
	sender owned
	from   netip.Addr
	asked  int
	next   time.Time
	frames []waitingFrame
}

type waitingFrame struct {
	from  source
	frame []byte
}

// source is where a packet came from: a port of this host, or the wire of a network.
type source struct {
	port model.PortID
	wire model.NetworkID
}

// claim is somebody else's word that an address of ours is theirs.
type claim struct {
	mac                model.MAC
	first, last, asked time.Time
}

// New returns a Speaker; nothing happens before Run.
func New(d Deps) *Speaker {
	return &Speaker{
		Deps: d, states: make(chan *hostplan.State, 1), actives: make(chan Active, 1), punts: make(chan dataplane.Punt, 256),
		own: map[key]owned{}, entries: map[key]*entry{}, waiting: map[source]int{}, met: map[key]bool{}, refresh: map[key]int{}, claims: map[key]claim{}, unsaid: map[key]time.Time{},
	}
}

// Update hands over a new State; the newest counts. It does not block. One goroutine may call it.
func (s *Speaker) Update(st *hostplan.State) { replace(s.states, st) }

// Serve says which addresses are served here; the newest counts. It does not block. One goroutine may call it.
func (s *Speaker) Serve(a Active) { replace(s.actives, a) }

func replace[T any](c chan T, v T) {
	select {
	case <-c:
	default:
	}
	c <- v
}

// Handle takes a punt of PuntExternal or PuntNeighbor; one that finds no room is dropped, as the network may drop any. The
// frame is copied. It is an agent.Responder that replies nothing.
func (s *Speaker) Handle(p dataplane.Punt, _ *hostplan.State) [][]byte {
	p.Frame = slices.Clone(p.Frame)
	select {
	case s.punts <- p:
	default:
	}
	return nil
}

// Run works until ctx is done, and tells the problems whenever they are others.
func (s *Speaker) Run(ctx context.Context, changed func([]hostplan.Problem)) error {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s.state = <-s.states:
			s.takeOwn()
		case s.active = <-s.actives:
			s.takeOwn()
		case p := <-s.punts:
			s.punt(p)
		case <-tick.C:
			s.round()
			if now := s.problems(); !slices.Equal(now, s.told) {
				s.told = now
				changed(now)
			}
		}
	}
}

// takeOwn finds out what is served here, and announces what has come.
func (s *Speaker) takeOwn() {
	if s.state == nil {
		return
	}
	now := map[key]owned{}
	for id, f := range s.state.FloatingIPs {
		if s.active.FloatingIPs[id] {
			now[key{f.External, f.Address}] = owned{f.MAC, model.KindFloatingIP, id.String()}
		}
	}
	for id, n := range s.state.NDPProxies {
		if s.active.NDPProxies[id] {
			now[key{n.External, n.Address}] = owned{n.MAC, model.KindNDPProxy, id.String()}
		}
	}
	for id, c := range s.state.Centrals {
		if c.Gateway == nil || !s.active.Gateways[id] {
			continue
		}
		for _, a := range c.Gateway.Addresses {
			now[key{c.Gateway.External, a.Addr()}] = owned{c.Gateway.MAC, model.KindRouter, id.String()}
		}
	}
	s.routersHere(now)
	before := s.own
	s.own = now
	for k, o := range now {
		if before[k] != o {
			s.unsaid[k] = s.Now()
		}
	}
	s.say()
	maps.DeleteFunc(s.claims, func(k key, _ claim) bool { _, mine := now[k]; return !mine })
	for k, e := range s.entries {
		if !s.maySpeak(k, e) { // another question would lead the address back to here
			s.drop(e)
			delete(s.entries, k)
		}
	}
}

// maySpeak reports whether what asks for a next hop is still this host's.
func (s *Speaker) maySpeak(k key, e *entry) bool {
	for f := range s.voices(k) {
		if f.Address == e.from && f.MAC == e.sender.mac {
			return true
		}
	}
	from, o, ok := s.asRouter(k)
	return ok && from == e.from && o.mac == e.sender.mac
}

func (s *Speaker) punt(p dataplane.Punt) {
	if s.state == nil {
		return
	}
	k := key{p.External, p.NextHop}
	if p.Kind == dataplane.PuntExternal {
		s.resolve(k, p)
		return
	}
	h, err := parse(p.Frame)
	if err != nil {
		return
	}
	k.addr = h.addr
	if o, mine := s.own[k]; mine {
		s.claimed(k, o, h.mac)
		return
	}
	s.learned(k, h.mac)
}

// resolve asks for the next hop of a packet, which waits.
func (s *Speaker) resolve(k key, p dataplane.Punt) {
	e := s.entries[k]
	if e == nil {
		from, sender, ok := s.senderOf(k, p)
		if !ok || len(s.entries) >= maxEntries {
			return
		}
		e = &entry{sender: sender, from: from}
		s.entries[k] = e
	}
	if src, ok := s.sourceOf(p); ok && s.waiting[src] < maxWaitingPort && s.total < maxWaiting {
		ether.Complete(p.Frame)
		e.frames = append(e.frames, waitingFrame{src, p.Frame})
		s.waiting[src]++
		s.total++
	}
	if e.asked == 0 {
		s.ask(k, e)
	}
}

// senderOf is the floating IP that the packet leaves with, or the proxied IPv6 address: never the router's own address, for which the
// neighbours would learn a MAC that is not its.
func (s *Speaker) senderOf(k key, p dataplane.Punt) (netip.Addr, owned, bool) {
	src := senderIn(p.Frame)
	var best *hostplan.FloatingIP
	for f := range s.voices(k) {
		if f.Port == p.Port && (best == nil || f.Fixed == src || best.Fixed != src && f.ID.Compare(best.ID.UUID) < 0) {
			best = f
		}
	}
	if best == nil {
		return s.asRouter(k)
	}
	return best.Address, owned{mac: best.MAC}, true
}

// voices are the distributed floating IPs of an address's external network and family, and NDP proxies in the form of such: what may ask
// for the address.
func (s *Speaker) voices(k key) iter.Seq[*hostplan.FloatingIP] {
	return func(yield func(*hostplan.FloatingIP) bool) {
		if k.addr.Is4() {
			for _, f := range s.state.FloatingIPs {
				if f.External == k.external && !f.Central && f.Address.Is4() && !yield(f) {
					return
				}
			}
			return
		}
		for _, n := range s.state.NDPProxies {
			if n.External == k.external && !n.Central && !yield(n.Floating()) {
				return
			}
		}
	}
}

// senderIn is the source address of an IP packet; invalid: it is none.
func senderIn(frame []byte) netip.Addr {
	switch {
	case len(frame) >= etherLen+20 && frame[etherLen]>>4 == 4:
		return netip.AddrFrom4([4]byte(frame[etherLen+12 : etherLen+16]))
	case len(frame) >= etherLen+40 && frame[etherLen]>>4 == 6:
		return netip.AddrFrom16([16]byte(frame[etherLen+8 : etherLen+24]))
	}
	return netip.Addr{}
}

func (s *Speaker) ask(k key, e *entry) {
	e.asked++
	e.next = s.Now().Add(askEvery)
	s.send(k.external, question(e.from, k.addr, e.sender.mac))
}

func (s *Speaker) send(external model.NetworkID, frame []byte) {
	if err := s.Plane.SendOutside(external, frame); err != nil {
		s.Log.Debug("not sent to an external network", "network", external, "error", err)
	}
}

// learned takes in who has an address: if it was asked for, or is known by another MAC.
func (s *Speaker) learned(k key, mac model.MAC) {
	if s.entries[k] == nil && !s.met[k] { // anybody may answer what nobody asked
		return
	}
	if err := s.Plane.Learn(k.external, k.addr, mac); err != nil {
		s.Log.Debug("not learned", "address", k.addr, "error", err)
		return
	}
	delete(s.refresh, k)
	s.met[k] = true
	if e := s.entries[k]; e != nil {
		delete(s.entries, k)
		for _, f := range s.drop(e) {
			if err := s.again(f); err != nil {
				s.Log.Debug("a packet that waited is lost", "port", f.from.port, "network", f.from.wire, "error", err)
			}
		}
	}
}

// drop takes what waits out of the count.
func (s *Speaker) drop(e *entry) []waitingFrame {
	list := e.frames
	e.frames = nil
	for _, f := range list {
		s.total--
		if s.waiting[f.from]--; s.waiting[f.from] == 0 {
			delete(s.waiting, f.from)
		}
	}
	return list
}

// round is what time brings.
func (s *Speaker) round() {
	now := s.Now()
	for k, e := range s.entries {
		switch {
		case now.Before(e.next):
		case e.asked < asks:
			s.ask(k, e)
		default: // nobody is there: the next packet asks anew
			s.drop(e)
			delete(s.entries, k)
		}
	}
	s.say()
	s.speak(now)
	s.doubt(now)
	if s.Known != nil && now.Sub(s.looked) >= lookEvery {
		s.looked = now
		s.look()
	}
}

// look asks again what has been silent, and forgets what does not answer.
func (s *Speaker) look() {
	known, err := s.Known()
	if err != nil {
		s.Log.Debug("what is known of external networks cannot be read", "error", err)
		return
	}
	here := map[key]bool{}
	for _, n := range known {
		k := key{n.External, n.Address}
		here[k] = true
		if n.Silent < freshFor {
			delete(s.refresh, k)
			continue
		}
		if s.refresh[k] >= asks {
			delete(s.refresh, k)
			if err := s.Plane.Forget(k.external, k.addr); err != nil {
				s.Log.Debug("not forgotten", "address", k.addr, "error", err)
			}
			continue
		}
		s.refresh[k]++
		if from, o, ok := s.anyVoice(k); ok { // an agent that has just started may have none yet
			s.send(k.external, question(from, k.addr, o.mac))
		}
	}
	s.met = here
	maps.DeleteFunc(s.refresh, func(k key, _ int) bool { return !here[k] })
}

// anyVoice is a floating IP or proxied address of the external network that may ask; always the same while it is here.
func (s *Speaker) anyVoice(k key) (netip.Addr, owned, bool) {
	var best *hostplan.FloatingIP
	if s.state == nil {
		return netip.Addr{}, owned{}, false
	}
	for f := range s.voices(k) {
		active := s.active.FloatingIPs[f.ID] || s.active.NDPProxies[model.NDPProxyID(f.ID)]
		if active && (best == nil || f.ID.Compare(best.ID.UUID) < 0) {
			best = f
		}
	}
	if best == nil {
		return s.asRouter(k)
	}
	return best.Address, owned{mac: best.MAC}, true
}
