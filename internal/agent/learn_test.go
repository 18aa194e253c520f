package agent

import (
	"net/netip"
	"sync"
	"testing"
	"time"

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
	p.lock.Lock()
	p.facts = facts
	p.lock.Unlock()
	p.changed <- struct{}{}
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
	if got := s.learned(); len(got) != 1 || netip.AddrFrom4([4]byte(got[0].Address)) != vip.Address || model.MAC(got[0].Mac) != vip.MAC {
		t.Errorf("told %v, want %v", got, vip)
	}
	p.learn(vip, other)
	if got := s.learned(); len(got) != 2 {
		t.Errorf("told %v, want two", got)
	}
	p.lock.Lock()
	if p.resent != 1 {
		t.Errorf("%d announcements, want 1, of what no pair lists", p.resent)
	}
	p.lock.Unlock()
	s.end <- errBroken
	if got := r.session().learned(); len(got) != 2 {
		t.Errorf("told after a reconnect %v, want two", got)
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
