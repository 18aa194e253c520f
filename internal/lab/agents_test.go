package lab

import (
	"strings"
	"testing"

	"github.com/weft-cloud/weft/internal/agent"
	"github.com/weft-cloud/weft/internal/model"
)

func TestStanding(t *testing.T) {
	at := func(revision uint64) model.Position { return model.Position{Revision: revision} }
	well := func() agent.Status {
		s := agent.Status{Host: "compute1", Listed: true, Position: at(7), Applied: at(7)}
		s.Server.Connected = true
		return s
	}
	for _, c := range []struct {
		name, want string
		change     func(*agent.Status)
	}{
		{"well", "", func(*agent.Status) {}},
		{"silent", "does not answer", func(s *agent.Status) { *s = agent.Status{} }},
		{"not connected yet", "no connection to the server yet", func(s *agent.Status) { s.Server.Connected = false }},
		{"disconnected", "no connection to the server (refused)", func(s *agent.Status) { s.Server.Connected, s.Server.Error = false, "refused" }},
		{"connected, not listed", "has not carried out yet", func(s *agent.Status) { s.Listed = false }},
		{"behind", "revision 6 of 7", func(s *agent.Status) { s.Applied = at(6) }},
		{"held", "release", func(s *agent.Status) { s.Held = true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := well()
			c.change(&s)
			got := standing("compute1", s)
			if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("said %q, want %q", got, c.want)
			}
			if settled(s) != (c.want == "" || c.name == "disconnected" || c.name == "not connected yet" || c.name == "held") {
				t.Errorf("settled: %v", settled(s))
			}
		})
	}
}
