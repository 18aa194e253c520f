package outside

import (
	"net/netip"
	"slices"

	"github.com/weft-cloud/weft/internal/agent/frame"
	"github.com/weft-cloud/weft/internal/model"
)

// told is what a machine was told: where an address of its servers is.
type told struct {
	port model.PortID
	addr netip.Addr
	mac  model.MAC
}

// announcements is how often a machine is told the same: a frame may be lost.
const announcements = 2

// announce tells the machines on a line, each by frames of its own, where their servers are, when this host begins to serve them: the MAC is
// that of the host before it, but a switch between them has it at another port until it sees it here.
func (s *Server) announce(l *line, physnet string, v *view) {
	now := map[told]int{}
	for at, m := range v.outsider {
		if at.physnet != physnet {
			continue
		}
		for a, srv := range m.place {
			if srv.Metadata {
				continue
			}
			k := told{m.Port, a, srv.MAC}
			if now[k] = l.told[k]; now[k] == announcements {
				continue
			}
			now[k]++
			if err := l.wire.Send(slices.Concat(m.MAC[:], frame.Announcement(a, srv.MAC)[6:]), at.vlan); err != nil {
				s.d.Log.Debug("announcement not sent", "physicalNetwork", physnet, "port", m.Port, "error", err)
			}
		}
	}
	l.told = now
}
