package rules

import (
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// bind says how a port is plugged in on its host.
func (r *Rules) bind(tx *world.Tx, n *model.Network, p *model.Port) {
	if p.VNICType == "" {
		p.VNICType = model.VNICNormal
	}
	p.VIFDetails = nil
	switch {
	case p.DeviceOwner == model.OwnerDVRInterface:
		p.VIFType, p.Host = model.VIFDistributed, ""
		return
	case p.Host == "":
		p.VIFType = model.VIFUnbound
		return
	}
	was := p.VIFType
	p.VIFType, p.VIFDetails = r.vif(tx, n, p)
	switch model.VIFOther {
	case p.VIFType:
		p.Status = model.StatusActive // nobody will report it
	case was:
		p.Status = model.StatusDown
	}
}

// details of a bound port (binding:vif_details). port_filter: security groups are this network's business, not the
// hypervisor's.
const (
	detailsTap   = `{"port_filter":true,"connectivity":"l2"}`
	detailsOther = `{"port_filter":false,"connectivity":"l2"}`
	detailsOVS   = `{"port_filter":true,"connectivity":"l2","ovs_hybrid_plug":false,"datapath_type":"system","bridge_name":"br-int"}`
)

// vif is the interface type on the port's host; binding_failed without a live host that can carry the network. The host of a
// bare-metal machine is the machine: it has no agent, and its wire is the physical network's.
func (r *Rules) vif(tx *world.Tx, n *model.Network, p *model.Port) (string, []byte) {
	if p.VNICType == model.VNICBaremetal && onProvider(&tx.World, n.ID) {
		return model.VIFOther, []byte(detailsOther)
	}
	h := tx.Hosts.Get(p.Host)
	if h == nil || p.VNICType != model.VNICNormal || !carries(&tx.World, h, n.ID) {
		return model.VIFBindingFailed, nil
	}
	if !r.serves(h.Name) {
		return model.VIFBindingFailed, nil
	}
	if h.DataPlane == "ovs" {
		return model.VIFOVS, []byte(detailsOVS)
	}
	return model.VIFTap, []byte(detailsTap)
}

// onProvider reports whether a network has a segment that a machine without an agent can be on.
func onProvider(w *world.World, n model.NetworkID) bool {
	for s := range w.Segments.ByNetwork(n) {
		if s.NetworkType == model.TypeFlat || s.NetworkType == model.TypeVLAN {
			return true
		}
	}
	return false
}

// carries reports whether a host can reach one of a network's segments.
func carries(w *world.World, h *model.Host, n model.NetworkID) bool {
	for s := range w.Segments.ByNetwork(n) {
		if reaches(h, s) {
			return true
		}
	}
	return false
}

// reaches reports whether a host can reach a segment.
func reaches(h *model.Host, s *model.Segment) bool {
	switch s.NetworkType {
	case model.TypeVXLAN, model.TypeGRE:
		return h.VTEP.IsValid()
	case model.TypeFlat, model.TypeVLAN:
		_, ok := h.BridgeMappings[s.Physnet]
		return ok
	}
	return true
}

// PortUp records that a host has programmed a port. A port that is neither bound there nor distributed is left alone: a
// host is not trusted beyond itself. It is idempotent.
func (r *Rules) PortUp(tx *world.Tx, host string, port model.PortID) error {
	return r.setPortStatus(tx, host, port, model.StatusActive)
}

// PortDown records that a port is no longer programmed on a host. It is idempotent.
func (r *Rules) PortDown(tx *world.Tx, host string, port model.PortID) error {
	return r.setPortStatus(tx, host, port, model.StatusDown)
}

func (r *Rules) setPortStatus(tx *world.Tx, host string, id model.PortID, status string) error {
	p := tx.Ports.Get(id)
	if p == nil {
		return nil
	}
	if p.VIFType == model.VIFDistributed {
		r.setBindingStatus(tx, p, host, status)
		status = combined(tx, p.ID)
	} else if p.Host != host {
		return nil
	}
	if p.Status != status {
		c := *p
		c.Status = status
		r.tellNova(tx, p, &c)
		tx.Ports.Put(&c)
	}
	return nil
}

// setBindingStatus keeps the row of a distributed port on a host; a row that is down is removed.
func (r *Rules) setBindingStatus(tx *world.Tx, p *model.Port, host, status string) {
	key := world.BindingKey{Port: p.ID, Host: host}
	old := tx.Bindings.Get(key)
	if status == model.StatusDown {
		tx.Bindings.Delete(key)
		return
	}
	if old != nil && old.Status == status {
		return
	}
	b := &model.PortBinding{PortID: p.ID, Host: host, VNICType: model.VNICNormal, VIFType: model.VIFDistributed, Distributed: true, Status: status}
	if id, err := model.ParseUUID(p.DeviceID); err == nil {
		b.RouterID = model.RouterID{UUID: id}
	}
	tx.Bindings.Put(b)
}

// combined is the status of a distributed port: active if any host has it so, else down if any has, else build.
func combined(tx *world.Tx, id model.PortID) string {
	status := model.StatusDown
	for b := range tx.Bindings.ByPort(id) {
		switch {
		case !b.Distributed:
		case b.Status == model.StatusActive:
			return model.StatusActive
		case b.Status == model.StatusBuild:
			status = model.StatusBuild
		}
	}
	return status
}
