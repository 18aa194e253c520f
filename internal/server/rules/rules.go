package rules

import (
	"encoding/binary"
	"math/big"
	"net/netip"
	"time"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// Config is the settings that rules depend on, in the words of Neutron's options.
type Config struct {
	// TypeDrivers are the network types that may be used at all, TenantTypes those tried in turn for a network without
	// provider attributes. ExternalType is the type of external networks without them; empty: as the others.
	TypeDrivers, TenantTypes []string
	ExternalType             string
	VNIRanges, GRERanges     []Range
	// VLANRanges: physical network to the VLANs that tenants may get; a physical network without ranges is for
	// explicit requests only.
	VLANRanges map[string][]Range
	// FlatNetworks are the physical networks of flat networks; "*": any.
	FlatNetworks []string
	// GlobalMTU is global_physnet_mtu, PathMTU path_mtu (0: as GlobalMTU), PhysnetMTUs physical_network_mtus.
	GlobalMTU, PathMTU uint32
	PhysnetMTUs        map[string]uint32
	// OverlayIPv6: overlay_ip_version is 6, so tunnels cost 20 bytes more.
	OverlayIPv6 bool
	// BaseMAC and DVRBaseMAC: octets that are not 0 (of the fourth) or the first three are kept, the rest is random.
	BaseMAC, DVRBaseMAC model.MAC
	// RouterDistributed and L3HA are the defaults of new routers; EnableSNAT is enable_snat_by_default.
	RouterDistributed, L3HA, EnableSNAT bool
	// Quotas by kind; negative: unlimited. DefaultQuota is that of kinds which are missing.
	Quotas       map[model.Kind]int
	DefaultQuota int
	// NoDVR: routers cannot be distributed (enable_dvr = false).
	NoDVR bool
	// NoOverlap: subnets of different networks may not overlap either (allow_overlapping_ips = false).
	NoOverlap bool
	// DHCPAgents is dhcp_agents_per_network: how many network:dhcp ports a network with DHCP has; 0: none.
	DHCPAgents int
	// NewAgentsDown: an agent seen for the first time gets no work until somebody sets its admin_state_up.
	NewAgentsDown bool
	// DefaultZones are the availability zones for gateways of routers that name none.
	DefaultZones []string

	MaxNameservers, MaxHostRoutes, MaxRoutes, MaxAddressPairs int
	// DNSDomain ends with a dot.
	DNSDomain string
	// VLANTransparent allows networks to ask for vlan_transparent.
	VLANTransparent bool
	// NovaStatus and NovaData: Nova is told of ports' status and addresses (notify_nova_on_port_…_changes).
	NovaStatus, NovaData bool
}

// Range is the segmentation ids from Min to Max, both included.
type Range struct{ Min, Max uint32 }

// Defaults are Neutron's defaults of Config, with VXLAN as the tenants' type.
func Defaults() Config {
	return Config{
		TypeDrivers: []string{model.TypeLocal, model.TypeFlat, model.TypeVLAN, model.TypeGRE, model.TypeVXLAN},
		TenantTypes: []string{model.TypeVXLAN},
		GlobalMTU:   1500,
		BaseMAC:     model.MAC{0xfa, 0x16, 0x3e}, DVRBaseMAC: model.MAC{0xfa, 0x16, 0x3f},
		EnableSNAT:   true,
		DefaultQuota: -1,
		Quotas: map[model.Kind]int{
			model.KindNetwork: 100, model.KindSubnet: 100, model.KindPort: 500, model.KindRouter: 10,
		},
		DHCPAgents:     1,
		MaxNameservers: 5, MaxHostRoutes: 20, MaxRoutes: 30, MaxAddressPairs: 10,
		DNSDomain: "openstacklocal.",
	}
}

// Liveness tells when a host's agent was last heard of.
type Liveness interface {
	Alive(host string) (last time.Time, alive bool)
}

// Deps is what New needs; all are required unless said otherwise.
type Deps struct {
	Config   Config
	Liveness Liveness
	// Reported are the problems that a host's agent told last, in words; nil: nobody knows any.
	Reported func(host string) []string
}

// Rules are the rules under one configuration.
type Rules struct {
	cfg      Config
	live     Liveness
	reported func(host string) []string
	// released are addresses given back lately, which are handed out again only when nothing else is left. A hint,
	// used by the writer's goroutine alone.
	released [256]allocation
	next     int
	// registering is the host that is being registered: alive by that, whatever Liveness says yet.
	registering string
}

type allocation struct {
	subnet model.SubnetID
	addr   netip.Addr
}

// New makes the rules. Methods that take a Tx belong to the writer's goroutine; the others may be used by any.
func New(d Deps) *Rules { return &Rules{cfg: d.Config, live: d.Liveness, reported: d.Reported} }

// Config is the configuration that the rules go by; not to be written.
func (r *Rules) Config() *Config { return &r.cfg }

// Alive reports when a host's agent was last heard of, and whether that is recent.
func (r *Rules) Alive(host string) (last time.Time, alive bool) { return r.live.Alive(host) }

// Troubles are what is wrong with a host, in words: what its agent told last, and what the objects tell of it.
func (r *Rules) Troubles(w *world.World, host string) []string {
	var out []string
	if r.reported != nil {
		out = append(out, r.reported(host)...)
	}
	for _, p := range r.HostProblems(w, host) {
		out = append(out, p.Kind+" "+p.ID+": "+p.Why)
	}
	return out
}

// serves reports whether a host's agent is there to serve.
func (r *Rules) serves(host string) bool {
	_, alive := r.live.Alive(host)
	return alive || host == r.registering
}

// idText is an identifier in a message: also the zero one, which else prints as nothing.
func idText(u model.UUID) string {
	if u.IsZero() {
		return "00000000-0000-0000-0000-000000000000"
	}
	return u.String()
}

// Actor is on whose behalf a rule runs.
type Actor struct {
	Project, User string
	Roles         []string
	// Admin may act in every project; AdvSvc is an advanced service (load balancing and the like).
	Admin, AdvSvc bool
}

// Opt is a value that the client may have left out.
type Opt[T any] struct {
	V   T
	Set bool
}

// Some is a value that is there.
func Some[T any](v T) Opt[T] { return Opt[T]{v, true} }

func badRequest(resource, format string, args ...any) error {
	e := model.Errf(model.KindInvalid, "BadRequest", format, args...)
	e.Message = "Bad " + resource + " request: " + e.Message + "."
	return e
}

// pick is a random number below n (n > 0).
func pick(tx *world.Tx, n uint64) uint64 {
	u := tx.NewUUID()
	return binary.BigEndian.Uint64([]byte{u[0], u[1], u[2], u[3], u[4], u[5], u[14], u[15]}) % n
}

// pickBig is a random number below n (n > 0).
func pickBig(tx *world.Tx, n *big.Int) *big.Int {
	u, v := tx.NewUUID(), tx.NewUUID()
	x := new(big.Int).SetBytes(append(append([]byte{}, u[9:]...), append(v[9:], u[:6]...)...))
	return x.Mod(x, n)
}

// newMAC makes a MAC of base and random octets that taken does not hold for.
func newMAC(tx *world.Tx, base model.MAC, taken func(model.MAC) bool) (model.MAC, bool) {
	fixed := 3
	if base[3] != 0 {
		fixed = 4
	}
	for range 64 {
		u, m := tx.NewUUID(), base
		copy(m[fixed:], u[:])
		if !m.IsZero() && !taken(m) {
			return m, true
		}
	}
	return model.MAC{}, false
}
