package rules

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// BindingInactive is the status of an extended binding that is not the port's own.
const BindingInactive = "INACTIVE"

// BindingRequest is what a client sends for a binding.
type BindingRequest struct {
	Host     string
	VNICType Opt[string]
	Profile  Opt[json.RawMessage]
}

// PortBindings are a port's bindings to hosts: its own, which is active, and those prepared for a live migration.
func PortBindings(w *world.World, p *model.Port) []*model.PortBinding {
	var out []*model.PortBinding
	if p.Host != "" {
		out = append(out, ownBinding(p))
	}
	for b := range w.Bindings.ByPort(p.ID) {
		if !b.Distributed {
			out = append(out, b)
		}
	}
	return out
}

func ownBinding(p *model.Port) *model.PortBinding {
	return &model.PortBinding{PortID: p.ID, Host: p.Host, VNICType: p.VNICType, VIFType: p.VIFType, VIFDetails: p.VIFDetails,
		Profile: p.Profile, Status: model.StatusActive}
}

func errNoBinding(p *model.Port, host string) error {
	return model.Errf(model.KindNotFound, "PortBindingNotFound", "Binding for port %s for host %s could not be found.", p.ID, host)
}

// FindBinding is a port's binding to a host.
func FindBinding(w *world.World, p *model.Port, host string) (*model.PortBinding, error) {
	i := slices.IndexFunc(PortBindings(w, p), func(b *model.PortBinding) bool { return b.Host == host })
	if i < 0 {
		return nil, errNoBinding(p, host)
	}
	return PortBindings(w, p)[i], nil
}

// CheckCompute tests that a port is an instance's: no other has bindings that clients may see or change.
func CheckCompute(p *model.Port) error {
	if strings.HasPrefix(p.DeviceOwner, model.OwnerComputePrefix) {
		return nil
	}
	return model.Errf(model.KindInvalid, "BadRequest", "Bad port request: Invalid port %s. Operation only valid on compute ports.", p.ID)
}

// CreateBinding prepares a port for a further host. The first binding of an instance's port is active at once.
func (r *Rules) CreateBinding(tx *world.Tx, p *model.Port, q BindingRequest) error {
	if err := CheckCompute(p); err != nil {
		return err
	}
	if b, _ := FindBinding(&tx.World, p, q.Host); b != nil {
		return model.Errf(model.KindConflict, "PortBindingAlreadyExists", "Binding for port %s on host %s already exists.", p.ID, q.Host)
	}
	probe := *p
	probe.Host, probe.Profile, probe.VNICType = q.Host, q.Profile.V, model.VNICNormal
	if q.VNICType.Set {
		probe.VNICType = q.VNICType.V
	}
	if p.Host == "" {
		probe.Status = model.StatusDown
	}
	r.bind(tx, tx.Networks.Get(p.NetworkID), &probe)
	if probe.VIFType == model.VIFBindingFailed {
		return errBinding(p, q.Host)
	}
	if p.Host == "" {
		tx.Ports.Put(&probe)
		return nil
	}
	b := ownBinding(&probe)
	b.Status = BindingInactive
	tx.Bindings.Put(b)
	return nil
}

func errBinding(p *model.Port, host string) error {
	return model.Errf(model.KindConflict, "PortBindingError",
		"Binding for port %s on host %s could not be created: there is no live agent on the host that reaches the port's network.", p.ID, host)
}

// UpdateBinding changes what a binding is made with.
func (r *Rules) UpdateBinding(tx *world.Tx, p *model.Port, q BindingRequest) error {
	b, err := FindBinding(&tx.World, p, q.Host)
	if err != nil {
		return err
	}
	probe := *p
	probe.Host, probe.VNICType, probe.Profile = b.Host, b.VNICType, b.Profile
	if q.VNICType.Set {
		probe.VNICType = q.VNICType.V
	}
	if q.Profile.Set {
		probe.Profile = q.Profile.V
	}
	r.bind(tx, tx.Networks.Get(p.NetworkID), &probe)
	if probe.VIFType == model.VIFBindingFailed {
		return errBinding(p, q.Host)
	}
	if b.Status == model.StatusActive {
		tx.Ports.Put(&probe)
		return nil
	}
	c := ownBinding(&probe)
	c.Status = BindingInactive
	tx.Bindings.Put(c)
	return nil
}

// DeleteBinding removes a port's binding to a host; without its active one the port is unbound.
func (r *Rules) DeleteBinding(tx *world.Tx, p *model.Port, host string) error {
	if p.Host == host && host != "" {
		c := *p
		c.Host, c.Status = "", model.StatusDown
		r.bind(tx, tx.Networks.Get(p.NetworkID), &c)
		tx.Ports.Put(&c)
		return nil
	}
	if _, err := FindBinding(&tx.World, p, host); err != nil {
		return err
	}
	tx.Bindings.Delete(world.BindingKey{Port: p.ID, Host: host})
	return nil
}

// ActivateBinding moves a port to a host that it has been prepared for; its binding there till now becomes inactive.
func (r *Rules) ActivateBinding(tx *world.Tx, p *model.Port, host string) error {
	b, err := FindBinding(&tx.World, p, host)
	if err != nil {
		return err
	}
	if b.Status == model.StatusActive {
		return model.Errf(model.KindConflict, "PortBindingAlreadyActive", "Binding for port %s on host %s is already active.", p.ID, host)
	}
	if p.Host != "" {
		old := ownBinding(p)
		old.Status = BindingInactive
		tx.Bindings.Put(old)
	}
	c := *p
	c.Host, c.VNICType, c.VIFType, c.VIFDetails, c.Profile, c.Status = b.Host, b.VNICType, b.VIFType, b.VIFDetails, b.Profile, model.StatusDown
	if c.VIFType == model.VIFOther {
		c.Status = model.StatusActive
	}
	tx.Ports.Put(&c)
	tx.Bindings.Delete(world.BindingKey{Port: p.ID, Host: host})
	return nil
}
