package agent

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/wire"
)

func TestFollowsAndReports(t *testing.T) {
	r := newRig(t)
	r.devices.set(tap(1))
	r.start()
	s := r.session()
	if s.hello.Host != "h0" || len(s.hello.Have) != 0 || s.hello.Position.GetRevision() != 0 {
		t.Errorf("hello of an agent with nothing: %v", s.hello)
	}
	s.send(full(5, base(), port(1), port(2)))
	s.reported(5, map[model.PortID]bool{portID(1): true, portID(2): false})
	r.plane.look(func() {
		if !r.plane.desired.InSync {
			t.Error("not in sync after a snapshot")
		}
	})
	r.devices.set(tap(1), tap(2))
	s.reported(5, map[model.PortID]bool{portID(2): true})
	r.devices.set(tap(2))
	s.reported(5, map[model.PortID]bool{portID(1): false})
	s.send(&wire.Update{Position: at(6), Deletes: list(port(1)...)})
	s.reported(6, map[model.PortID]bool{})
	if !r.plane.programmed(portID(2))() {
		t.Error("the deleted port is still programmed, or the other is not")
	}
}

func TestPartsAreAppliedTogether(t *testing.T) {
	r := newRig(t)
	r.devices.set(tap(1), tap(2))
	r.start()
	s := r.session()
	s.send(full(1, base()))
	s.reported(1, map[model.PortID]bool{})
	s.send(&wire.Update{Position: at(2), Puts: port(1), More: true})
	s.send(&wire.Update{Position: at(2), Puts: port(2)[:1], More: true})
	time.Sleep(20 * time.Millisecond) // gives an agent that does not wait the time to be wrong
	if !r.plane.programmed()() {
		t.Error("a part was applied before the whole")
	}
	s.send(&wire.Update{Position: at(2), Puts: port(2)[1:]})
	s.reported(2, map[model.PortID]bool{portID(1): true, portID(2): true})
}

func TestResume(t *testing.T) {
	r := newRig(t)
	r.devices.set(tap(1), tap(2))
	r.start()
	s := r.session()
	s.send(full(3, base(), port(1), port(2)))
	s.reported(3, map[model.PortID]bool{portID(1): true, portID(2): true})
	s.send(&wire.Update{Position: at(4), Deletes: list(port(1)...), More: true}) // the connection breaks within a step
	s.end <- errBroken
	s = r.session()
	if len(s.hello.Have) != 8 || s.hello.Position.GetRevision() != 3 {
		t.Fatalf("resumes with %d objects at %v, want 8 at 3", len(s.hello.Have), s.hello.Position)
	}
	u := full(4, base(), port(2))
	u.Puts = nil // all is there already
	s.send(u)
	s.reported(4, map[model.PortID]bool{portID(2): true})
	eventually(t, "port 1 is deleted", r.plane.programmed(portID(2)))
}

func TestListOfWhatIsNotHereResumes(t *testing.T) {
	r := newRig(t)
	r.start()
	s := r.session()
	u := full(3, base(), port(1))
	u.Puts = u.Puts[:len(u.Puts)-1]
	s.send(u)
	s = r.session()
	if len(s.hello.Have) != 5 {
		t.Errorf("resumes with %d objects, want the 5 that came", len(s.hello.Have))
	}
}

func TestHold(t *testing.T) {
	r := newRig(t)
	r.devices.set(tap(1), tap(2), tap(3))
	r.start()
	s := r.session()
	s.send(full(3, base(), port(1), port(2)))
	s.reported(3, map[model.PortID]bool{portID(1): true, portID(2): true})
	held := full(9, base(), port(3))
	held.Hold = true
	held.Position.Lineage = wire.ID(uuid('l', 2))
	s.send(held)
	s.reported(9, map[model.PortID]bool{portID(3): true})
	if !r.plane.programmed(portID(1), portID(2), portID(3))() {
		t.Error("a held snapshot deletes, or does not add")
	}
	// An ordinary step does not release it.
	s.send(&wire.Update{Position: at(10), Puts: port(3)})
	s.reported(10, map[model.PortID]bool{})
	if !r.plane.programmed(portID(1), portID(2), portID(3))() {
		t.Error("an ordinary step released what was held")
	}
	s.send(full(11, base(), port(3)))
	s.reported(11, map[model.PortID]bool{})
	eventually(t, "only port 3 is left", r.plane.programmed(portID(3)))
}

// restart: as after kill -9, nothing but the directory is left.
func TestRestartWhileTheServerIsAway(t *testing.T) {
	r := newRig(t)
	r.devices.set(tap(1))
	r.start()
	s := r.session()
	s.send(full(3, base(), port(1), port(2)))
	s.reported(3, map[model.PortID]bool{portID(1): true, portID(2): false})
	eventually(t, "the scope is on disk", func() bool { return fileExists(filepath.Join(r.dir, scopeFile)) })
	eventually(t, "the scope is whole", func() bool { u, err := r.agent.read(); return err == nil && len(u.Puts) == 8 })
	r.halt()
	r.server.grpc.Stop()

	r.plane = newFakePlane()
	r.plane.kernel[portID(7)] = true // something that the new agent knows nothing of
	r.devices.set(tap(1), tap(2))
	r.start()
	eventually(t, "ports come up from disk, and nothing goes", r.plane.programmed(portID(1), portID(2), portID(7)))
	r.plane.look(func() {
		if r.plane.desired.InSync {
			t.Error("in sync without a server")
		}
	})
	r.devices.set(tap(2))
	eventually(t, "the plane is told of the device that went", func() (ok bool) {
		r.plane.look(func() { ok = len(r.plane.desired.Devices) == 1 })
		return ok
	})
	r.serve() // the server comes back
	s = r.session()
	if len(s.hello.Have) != 8 {
		t.Errorf("resumes with %d objects, want 8", len(s.hello.Have))
	}
	s.send(full(3, base(), port(1), port(2)))
	s.reported(3, map[model.PortID]bool{portID(1): false, portID(2): true})
	eventually(t, "what nobody knows is deleted", r.plane.programmed(portID(2)))
}

func TestScopeOnDiskThatIsOfNoUse(t *testing.T) {
	tests := []struct {
		name, want string
		damage     func([]byte) []byte
	}{
		{"a bit flipped", "damaged", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }},
		{"cut", "damaged", func(b []byte) []byte { return b[:len(b)/2] }},
		{"empty", "not a scope", func([]byte) []byte { return nil }},
		{"of another version", "not a scope", func(b []byte) []byte { b[11] = '9'; return b }},
		{"of another host", "of host", func(b []byte) []byte { return []byte(strings.Replace(string(b), " h0\n", " h9\n", 1)) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.start()
			r.session().send(full(3, base()))
			eventually(t, "the scope is on disk", func() bool { _, err := r.agent.read(); return err == nil })
			r.halt()
			path := filepath.Join(r.dir, scopeFile)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, tt.damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path+".new-123", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := r.agent.read(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("read: %v, want %q", err, tt.want)
			}
			r.start()
			if s := r.session(); len(s.hello.Have) != 0 {
				t.Errorf("resumes with %d objects, want none", len(s.hello.Have))
			}
			if fileExists(path + ".new-123") {
				t.Error("the half-written file is still there")
			}
		})
	}
}

func TestFailedApplyIsRepeated(t *testing.T) {
	r := newRig(t)
	r.devices.set(tap(1))
	r.plane.err = errors.New("no memory")
	r.start()
	s := r.session()
	s.send(full(3, base(), port(1)))
	s.reported(0, map[model.PortID]bool{portID(1): false})
	r.plane.look(func() { r.plane.err = nil; r.plane.failed = []hostplan.Problem{{Kind: "port", ID: "x", Why: "y"}} })
	s.reported(3, map[model.PortID]bool{portID(1): true})
	eventually(t, "what the plane could not carry out is in the status", func() bool {
		st, err := ReadStatus(t.Context(), r.dir)
		return err == nil && slices.Contains(st.Problems, hostplan.Problem{Kind: "port", ID: "x", Why: "y"})
	})
	var before int
	r.plane.look(func() { before = r.plane.applies })
	eventually(t, "what failed is tried again", func() (ok bool) {
		r.plane.look(func() { ok = r.plane.applies > before+2 })
		return ok
	})
	r.plane.look(func() { r.plane.failed = nil })
	eventually(t, "no problem is left", func() bool {
		st, err := ReadStatus(t.Context(), r.dir)
		return err == nil && len(st.Problems) == 0 && st.Counts.Failures > 0
	})
}

func TestStatus(t *testing.T) {
	r := newRig(t)
	r.devices.set(tap(1))
	r.start()
	s := r.session()
	bad := &wire.Object{Kind: wire.Kind_KIND_SUBNET, Id: wire.ID(uuid('s', 9)), Version: 1, Body: []byte{0xff}}
	s.send(full(3, base(), port(1), []*wire.Object{bad}))
	s.reported(3, map[model.PortID]bool{portID(1): true})
	st, err := ReadStatus(t.Context(), r.dir)
	if err != nil {
		t.Fatal(err)
	}
	if !st.Server.Connected || st.Server.Server != "s1" || !st.InSync || st.Applied.Revision != 3 || len(st.Endpoints) != 1 || !st.Endpoints[0].Programmed || !st.Endpoints[0].Present {
		t.Errorf("status: %+v", st)
	}
	if d := st.Server.ClockOffset - time.Hour; d.Abs() > time.Minute {
		t.Errorf("clock offset %v, want about 1h", st.Server.ClockOffset)
	}
	if len(st.Problems) != 1 || !strings.Contains(st.Problems[0].Kind, "subnet") || st.Problems[0].ID != uuid('s', 9).String() {
		t.Errorf("problems: %v, want the unreadable subnet", st.Problems)
	}
	second := New(r.deps)
	if err := second.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "another agent") {
		t.Errorf("a second agent: %v", err)
	}
}

type echo struct{}

func (echo) Handle(p dataplane.Punt, st *hostplan.State) [][]byte {
	if st.Endpoints[p.Port] == nil {
		return nil
	}
	return [][]byte{p.Frame, p.Frame}
}

func TestPunts(t *testing.T) {
	r := newRig(t)
	r.deps.Responders = map[dataplane.PuntKind]Responder{dataplane.PuntRS: echo{}}
	r.devices.set(tap(1))
	r.start()
	s := r.session()
	s.send(full(3, base(), port(1)))
	s.reported(3, map[model.PortID]bool{portID(1): true})
	r.plane.punts <- dataplane.Punt{Kind: dataplane.PuntDHCP6, Port: portID(1)}
	r.plane.punts <- dataplane.Punt{Kind: dataplane.PuntRS, Port: portID(9)}
	r.plane.punts <- dataplane.Punt{Kind: dataplane.PuntRS, Port: portID(1)}
	eventually(t, "the answers are injected", func() (ok bool) {
		r.plane.look(func() { ok = r.plane.injected[portID(1)] == 2 && len(r.plane.injected) == 1 })
		return ok
	})
}

func TestHeartbeats(t *testing.T) {
	r := newRig(t)
	r.start()
	s := r.session()
	s.send(full(3, base(), port(1)))
	timeout := time.After(patience)
	for {
		select {
		case m := <-s.got:
			if h := m.GetHeartbeat(); h != nil && h.Applied.GetRevision() == 3 && h.Endpoints == 1 && h.Networks == 1 {
				return
			}
		case <-timeout:
			t.Fatal("no heartbeat with what is applied")
		}
	}
}
