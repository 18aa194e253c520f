package agent

import (
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/wire"
)

// Compile is the State that the agent of a host makes of these objects. What cannot be read is among the State's
// problems, as it is on the host.
func Compile(host string, o hostplan.Options, u *wire.Update) (*hostplan.State, error) {
	s := newScope(host, o)
	if err := s.step(u); err != nil {
		return nil, err
	}
	return s.state(), nil
}
