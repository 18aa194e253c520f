package model

// The kinds of flavors.
const (
	KindFlavor         Kind = "flavor"
	KindServiceProfile Kind = "service_profile"
)

// The identifiers of flavors and service profiles.
type (
	FlavorID         struct{ UUID }
	ServiceProfileID struct{ UUID }
)

// Flavor is a name under which projects choose how a service is provided (API reference: flavors).
type Flavor struct {
	ID          FlavorID `json:"id"`
	Name        string   `json:"name"`
	ServiceType string   `json:"service_type"`
	Enabled     bool     `json:"enabled"`
	// Profiles in the order in which they were added; the first that is enabled decides.
	Profiles []ServiceProfileID `json:"profiles,omitempty"`
	Meta
}

// ServiceProfile says how a flavor is provided: by a driver, or by what Metainfo tells one.
type ServiceProfile struct {
	ID       ServiceProfileID `json:"id"`
	Driver   string           `json:"driver,omitempty"`
	Metainfo string           `json:"metainfo,omitempty"`
	Enabled  bool             `json:"enabled"`
	Meta
}

// Types of services that flavors may be for (neutron-lib: plugins/constants.py).
const (
	ServiceFlavors = "FLAVORS"
	ServiceL3      = "L3_ROUTER_NAT"
)
