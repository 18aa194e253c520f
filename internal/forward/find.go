package forward

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// AmbiguousError: several ports are called that.
type AmbiguousError struct {
	Text  string
	Ports []model.PortID // sorted
}

func (e *AmbiguousError) Error() string {
	var ids []string
	for _, p := range e.Ports {
		ids = append(ids, p.String())
	}
	return fmt.Sprintf("%q is %d ports: %s; give a port's id", e.Text, len(e.Ports), strings.Join(ids, ", "))
}

// Find is the port that a person means: its id or the first characters of it (8 or more), its name, its instance's id, its
// device, its MAC or one of its fixed IPs. Errors: ErrNoPort, *AmbiguousError (addresses are not unique: tenants overlap).
func (w *World) Find(text string) (model.PortID, error) {
	var found []model.PortID
	for _, h := range w.Hosts {
		for id, e := range h.State.Endpoints {
			if called(e, text) {
				found = append(found, id)
			}
		}
	}
	slices.SortFunc(found, func(a, b model.PortID) int { return a.Compare(b.UUID) })
	switch found = slices.Compact(found); len(found) {
	case 0:
		return model.PortID{}, fmt.Errorf("port %q: %w", text, ErrNoPort)
	case 1:
		return found[0], nil
	}
	return model.PortID{}, &AmbiguousError{text, found}
}

func called(e *hostplan.Endpoint, text string) bool {
	switch {
	case text == "":
		return false
	case text == e.Name, text == e.DeviceID, text == e.Device, strings.EqualFold(text, e.MAC.String()):
		return true
	case len(text) >= 8 && strings.HasPrefix(e.Port.String(), strings.ToLower(text)):
		return true
	}
	return slices.ContainsFunc(e.Addresses, func(p netip.Prefix) bool { return p.Addr().String() == text })
}

// Names are the names of the ports that the hosts have.
func (w *World) Names() Names {
	names := map[model.UUID]string{}
	for _, h := range w.Hosts {
		for id, e := range h.State.Endpoints {
			if e.Name != "" {
				names[id.UUID] = e.Name
			}
		}
	}
	return func(id model.UUID) string { return names[id] }
}
