package rules

import (
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// Provider is one way in which routers are provided. Driver is the name that service profiles know it by: Neutron's,
// since they are written for it.
type Provider struct {
	Name, Driver    string
	Distributed, HA bool
}

// ServiceTypes are the services that flavors may be for; not to be written.
var ServiceTypes = []string{model.ServiceFlavors, model.ServiceL3, "AUTO_ALLOCATED", "CONNTRACKHELPER", "LOCAL_IP", "LOGGING", "METERING",
	"NDPPROXY", "PORTFORWARDING", "QOS", "SEGMENTS", "TRUNK"}

// Providers are the ways in which routers can be provided under this configuration.
func (r *Rules) Providers() []Provider {
	const base = "neutron.services.l3_router.service_providers."
	all := []Provider{
		{"dvrha", base + "dvrha.DvrHaDriver", true, true},
		{"dvr", base + "dvr.DvrDriver", true, false},
		{"ha", base + "ha.HaDriver", false, true},
		{"single_node", base + "single_node.SingleNodeDriver", false, false},
	}
	return slices.DeleteFunc(all, func(p Provider) bool { return p.Distributed && r.cfg.NoDVR })
}

func (r *Rules) provider(driver string) (Provider, bool) {
	all := r.Providers()
	i := slices.IndexFunc(all, func(p Provider) bool { return p.Driver == driver })
	if i < 0 {
		return Provider{}, false
	}
	return all[i], true
}

// FlavorExtra is what a client sends for a flavor or service profile beyond what is stored in it.
type FlavorExtra struct{}

// CreateFlavor completes f and puts it.
func (r *Rules) CreateFlavor(tx *world.Tx, _ *Actor, f *model.Flavor, _ *FlavorExtra) error {
	f.ID = model.FlavorID{UUID: tx.NewUUID()}
	return r.putFlavor(tx, f)
}

// UpdateFlavor puts f, which is old with what the client changed.
func (r *Rules) UpdateFlavor(tx *world.Tx, _ *Actor, f *model.Flavor) error {
	return r.putFlavor(tx, f)
}

func (r *Rules) putFlavor(tx *world.Tx, f *model.Flavor) error {
	for _, p := range f.Profiles {
		if tx.ServiceProfiles.Get(p) == nil {
			return errNoProfile(p)
		}
	}
	tx.Flavors.Put(f)
	return nil
}

func errNoProfile(p model.ServiceProfileID) error {
	return model.Errf(model.KindNotFound, "ServiceProfileNotFound", "Service Profile %s could not be found.", idText(p.UUID))
}

// DeleteFlavor deletes a flavor that no router is of.
func (r *Rules) DeleteFlavor(tx *world.Tx, _ *Actor, f *model.Flavor) error {
	for v := range tx.Routers.All() {
		if v.FlavorID == f.ID.String() {
			return model.Errf(model.KindConflict, "FlavorInUse", "Flavor %s is used by some service instance.", f.ID)
		}
	}
	tx.Flavors.Delete(f.ID)
	return nil
}

// AddProfile adds a service profile to a flavor.
func (r *Rules) AddProfile(tx *world.Tx, f *model.Flavor, p model.ServiceProfileID) error {
	if tx.ServiceProfiles.Get(p) == nil {
		return errNoProfile(p)
	}
	if slices.Contains(f.Profiles, p) {
		return model.Errf(model.KindConflict, "FlavorServiceProfileBindingExists", "Service Profile %s is already associated with flavor %s.", p, f.ID)
	}
	c := *f
	c.Profiles = append(slices.Clone(f.Profiles), p)
	tx.Flavors.Put(&c)
	return nil
}

// RemoveProfile takes a service profile from a flavor.
func (r *Rules) RemoveProfile(tx *world.Tx, f *model.Flavor, p model.ServiceProfileID) error {
	if !slices.Contains(f.Profiles, p) {
		return model.Errf(model.KindNotFound, "FlavorServiceProfileBindingNotFound", "Service Profile %s is not associated with flavor %s.", idText(p.UUID), f.ID)
	}
	c := *f
	c.Profiles = without(f.Profiles, p)
	tx.Flavors.Put(&c)
	return nil
}

// PutServiceProfile completes p (a new one has no id yet) and puts it. A profile that a flavor has is not changed.
func (r *Rules) PutServiceProfile(tx *world.Tx, _ *Actor, p *model.ServiceProfile, _ *FlavorExtra) error {
	if p.Driver == "" && p.Metainfo == "" {
		return model.Errf(model.KindInvalid, "ServiceProfileEmpty", "Service Profile needs either a driver or metainfo.")
	}
	if _, known := r.provider(p.Driver); p.Driver != "" && !known {
		return model.Errf(model.KindNotFound, "ServiceProfileDriverNotFound", "Service Profile driver %s could not be found.", p.Driver)
	}
	if p.ID.IsZero() {
		p.ID = model.ServiceProfileID{UUID: tx.NewUUID()}
	} else if err := profileFree(tx, p.ID); err != nil {
		return err
	}
	tx.ServiceProfiles.Put(p)
	return nil
}

func profileFree(tx *world.Tx, p model.ServiceProfileID) error {
	for f := range tx.Flavors.All() {
		if slices.Contains(f.Profiles, p) {
			return model.Errf(model.KindConflict, "ServiceProfileInUse", "Service Profile %s is used by some service instance.", p)
		}
	}
	return nil
}

// DeleteServiceProfile deletes a profile that no flavor has.
func (r *Rules) DeleteServiceProfile(tx *world.Tx, _ *Actor, p *model.ServiceProfile) error {
	if err := profileFree(tx, p.ID); err != nil {
		return err
	}
	tx.ServiceProfiles.Delete(p.ID)
	return nil
}

// NextProvider is the profile of a flavor that decides now, and the provider of its driver (zero: the profile has none).
func (r *Rules) NextProvider(w *world.World, f *model.Flavor) (*model.ServiceProfile, Provider, error) {
	if !f.Enabled {
		return nil, Provider{}, model.Errf(model.KindUnavailable, "FlavorDisabled", "Flavor is not enabled.")
	}
	if len(f.Profiles) == 0 {
		return nil, Provider{}, model.Errf(model.KindNotFound, "FlavorServiceProfileBindingNotFound", "Flavor %s has no service profile.", f.ID)
	}
	for _, id := range f.Profiles {
		if p := w.ServiceProfiles.Get(id); p != nil && p.Enabled {
			v, known := r.provider(p.Driver)
			if p.Driver != "" && !known { // of a configuration before this one
				return nil, v, model.Errf(model.KindNotFound, "ServiceProfileDriverNotFound", "Service Profile driver %s could not be found.", p.Driver)
			}
			return p, v, nil
		}
	}
	return nil, Provider{}, model.Errf(model.KindUnavailable, "ServiceProfileDisabled", "Service Profile is not enabled.")
}

// flavored makes a new router what its flavor says.
func (r *Rules) flavored(tx *world.Tx, v *model.Router, x *RouterExtra) error {
	if v.FlavorID == "" {
		return nil
	}
	id, err := model.ParseUUID(v.FlavorID)
	f := tx.Flavors.Get(model.FlavorID{UUID: id})
	switch {
	case err != nil || f == nil:
		return model.Errf(model.KindNotFound, "FlavorNotFound", "Flavor %s could not be found.", v.FlavorID)
	case f.ServiceType != model.ServiceL3:
		return badRequest("router", "flavor %s is for %s, not for routers (%s)", f.ID, f.ServiceType, model.ServiceL3)
	case x.Distributed.Set || x.HA.Set:
		return badRequest("router", "The flavor decides about 'distributed' and 'ha': send either flavor_id or these")
	}
	p, how, err := r.NextProvider(&tx.World, f)
	if err != nil {
		return err
	}
	if p.Driver == "" {
		return badRequest("router", "service profile %s of flavor %s names no driver", p.ID, f.ID)
	}
	v.FlavorID = f.ID.String()
	x.Distributed, x.HA = Some(how.Distributed), Some(how.HA)
	return nil
}

// keepsFlavor refuses to change of a router what its flavor has decided.
func keepsFlavor(old *model.Router, x *RouterExtra) error {
	if old.FlavorID != "" && (x.Distributed.Set && x.Distributed.V != old.Distributed || x.HA.Set && x.HA.V != old.HA) {
		return badRequest("router", "The router's flavor decides about 'distributed' and 'ha': make a router of another flavor instead")
	}
	return nil
}
