package rules

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// tellNova asks for the events that a change of a port is to Nova, in the change's own transaction; now is nil for a
// deletion. Only ports of instances are Nova's business (neutron/notifiers/nova.py, _is_compute_port).
func (r *Rules) tellNova(tx *world.Tx, old, now *model.Port) {
	of := now
	if of == nil {
		of = old
	}
	if !ofInstance(of) {
		return
	}
	e := model.NovaEvent{Server: of.DeviceID, Tag: of.ID.String(), Status: model.NovaCompleted}
	if r.cfg.NovaData {
		switch {
		case now == nil:
			e.Name = model.NovaDeleted
			emit(tx, e)
			return
		case !slices.Equal(old.FixedIPs, now.FixedIPs) || old.MAC != now.MAC:
			emit(tx, model.NovaEvent{Name: model.NovaChanged, Server: e.Server, Tag: e.Tag})
		}
	}
	if !r.cfg.NovaStatus || now == nil || old.Status == now.Status {
		return
	}
	switch {
	case old.Status == model.StatusActive && now.Status == model.StatusDown:
		e.Name = model.NovaUnplugged
	case now.Status == model.StatusActive:
		e.Name = model.NovaPlugged
	case now.Status == model.StatusError:
		e.Name, e.Status = model.NovaPlugged, model.NovaFailed
	default:
		return
	}
	emit(tx, e)
}

// tellNovaFloating tells Nova, which shows floating IPs among an instance's addresses from a memory of its own, of the ports that got
// or lost one; nil stands for a floating IP that is not there before or afterwards. A port's own end or change of addresses is
// tellNova's to tell.
func (r *Rules) tellNovaFloating(tx *world.Tx, old, now *model.FloatingIP) {
	var before, after model.FloatingIP
	if old != nil {
		before = *old
	}
	if now != nil {
		after = *now
	}
	if !r.cfg.NovaData || before.Port == after.Port && before.FixedIP == after.FixedIP {
		return
	}
	told := model.PortID{}
	for _, id := range []model.PortID{before.Port, after.Port} {
		if p := tx.Ports.Get(id); p != nil && id != told && ofInstance(p) {
			emit(tx, model.NovaEvent{Name: model.NovaChanged, Server: p.DeviceID, Tag: id.String()})
			told = id
		}
	}
}

// ofInstance reports whether a port is one of Nova's.
func ofInstance(p *model.Port) bool {
	_, err := model.ParseUUID(p.DeviceID)
	return err == nil && strings.HasPrefix(p.DeviceOwner, "compute:")
}

func emit(tx *world.Tx, e model.NovaEvent) {
	body, err := json.Marshal(e)
	if err != nil {
		panic("rules: an event of strings cannot fail to encode: " + err.Error())
	}
	tx.Emit(model.IntentNova, body)
}
