package agent

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/wire"
)

// learningPlane is a fakePlane that has learned what a test says.
type learningPlane struct {
	*fakePlane
	changed chan struct{}
	lock    sync.Mutex
	facts   []dataplane.Learned
	resent  int
}

func (p *learningPlane) LearnedChanged() <-chan struct{} { return p.changed }

func (p *learningPlane) Learned() ([]dataplane.Learned, error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	return p.facts, nil
}

func (p *learningPlane) Resend(model.PortID, []byte) error {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.resent++
	return nil
}

func (p *learningPlane) learn(facts ...dataplane.Learned) {
	p.set(facts...)
	p.changed <- struct{}{}
}

// set says nothing of the change.
func (p *learningPlane) set(facts ...dataplane.Learned) {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.facts = facts
}

// The server is told what this host's ports have, each time that it changes and after each connect; what no pair lists is
// announced to the other hosts, and what one lists is left to its port to announce.
func TestTellsWhatIsLearned(t *testing.T) {
	r := newRig(t)
	p := &learningPlane{fakePlane: r.plane, changed: make(chan struct{})}
	r.over = p
	r.devices.set(tap(1))
	r.start()
	s := r.session()
	s.send(full(1, base(), port(1)))
	s.reported(1, map[model.PortID]bool{portID(1): true})
	vip := dataplane.Learned{Port: portID(1), Address: netip.MustParseAddr("10.0.0.100"), MAC: model.MAC{0, 0, 0x5e, 0, 1, 7}, Listed: true}
	other := dataplane.Learned{Port: portID(1), Address: netip.MustParseAddr("10.0.0.101"), MAC: model.MAC{2, 0, 0, 0, 0, 1}, Age: time.Second}
	p.learn(vip)
	if got := s.learnedOf(1); netip.AddrFrom4([4]byte(got[0].Address)) != vip.Address || model.MAC(got[0].Mac) != vip.MAC {
		t.Errorf("told %v, want %v", got, vip)
	}
	p.learn(vip, other)
	s.learnedOf(2)
	p.lock.Lock()
	if p.resent != 1 {
		t.Errorf("%d announcements, want 1, of what no pair lists", p.resent)
	}
	p.lock.Unlock()
	s.end <- errBroken
	s = r.session()
	s.send(full(1, base(), port(1)))
	if got := s.learned(); len(got) != 2 {
		t.Errorf("told after a reconnect %v, want two", got)
	}
}

// An address that another host has taken at the server is told again if this host's port still has it, and not otherwise.
func TestTellsAgainWhatWasTaken(t *testing.T) {
	r := newRig(t)
	vip := dataplane.Learned{Port: portID(1), Address: netip.MustParseAddr("10.0.0.100"), MAC: model.MAC{0, 0, 0x5e, 0, 1, 7}, Listed: true}
	p := &learningPlane{fakePlane: r.plane, changed: make(chan struct{})}
	r.over = p
	r.devices.set(tap(1))
	r.start()
	s := r.session()
	s.send(full(1, base(), port(1)))
	s.reported(1, map[model.PortID]bool{portID(1): true})
	p.learn(vip)
	s.learnedOf(1)
	with, without := learnedBy(port(1), vip), port(1)
	s.send(&wire.Update{Position: at(2), Puts: with})
	s.reported(2, nil)
	s.send(&wire.Update{Position: at(3), Puts: without})
	if got := s.learned(); len(got) != 1 {
		t.Errorf("told %v, want what was taken", got)
	}
	s.send(&wire.Update{Position: at(4), Puts: with})
	s.reported(4, nil)
	p.set()
	s.send(&wire.Update{Position: at(5), Puts: without})
	if got := s.learned(); len(got) != 0 {
		t.Errorf("told %v, want nothing: the plane believes the other", got)
	}
}

// learnedBy are the objects of a port, with what the server was told that it has.
func learnedBy(objects []*wire.Object, l dataplane.Learned) []*wire.Object {
	var out []*wire.Object
	for _, o := range objects {
		if o.Kind != wire.Kind_KIND_PORT {
			out = append(out, o)
			continue
		}
		var m wire.Port
		if err := proto.Unmarshal(o.Body, &m); err != nil {
			panic(err)
		}
		m.Learned = append(m.Learned, &wire.AddressPair{Mac: l.MAC[:], Prefix: wire.FromPrefix(netip.PrefixFrom(l.Address, l.Address.BitLen()))})
		out = append(out, object(o.Kind, o.Id, &m))
	}
	return out
}

// learnedOf waits for a report that says n things of what was learned.
func (f *fakeSession) learnedOf(n int) []*wire.Learned {
	f.t.Helper()
	for {
		if got := f.learned(); len(got) == n {
			return got
		}
	}
}

// learned waits for a report that says what was learned.
func (f *fakeSession) learned() []*wire.Learned {
	f.t.Helper()
	for end := time.After(patience); ; {
		select {
		case m := <-f.got:
			if l := m.GetReport().GetLearned(); l != nil {
				return l.Entries
			}
		case <-end:
			f.t.Fatal("never told what was learned")
		}
	}
}
