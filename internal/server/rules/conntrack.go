package rules

import (
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// helperProtocols are the protocols of a conntrack helper that may be asked for, nil for any other (Neutron's default of
// allowed_conntrack_helpers).
func helperProtocols(name string) []string {
	switch name {
	case "amanda", "ftp", "irc", "pptp", "sane":
		return []string{"tcp"}
	case "netbios-ns", "snmp", "tftp":
		return []string{"udp"}
	case "h323", "sip":
		return []string{"tcp", "udp"}
	}
	return nil
}

// ConntrackHelperExtra is what a client sends for a conntrack helper beyond what is stored in it.
type ConntrackHelperExtra struct{}

// CreateConntrackHelper completes h and puts it.
func (r *Rules) CreateConntrackHelper(tx *world.Tx, by *Actor, h *model.ConntrackHelper, _ *ConntrackHelperExtra) error {
	h.ID = model.ConntrackHelperID{UUID: tx.NewUUID()}
	return r.UpdateConntrackHelper(tx, by, h)
}

// UpdateConntrackHelper tests h and puts it.
func (r *Rules) UpdateConntrackHelper(tx *world.Tx, _ *Actor, h *model.ConntrackHelper) error {
	known := helperProtocols(h.Helper)
	switch {
	case known == nil:
		return model.Errf(model.KindInvalid, "ConntrackHelperNotAllowed", "Conntrack Helper %s is not allowed.", h.Helper)
	case !slices.Contains(known, h.Protocol):
		return model.Errf(model.KindInvalid, "InvalidProtocolForHelper", "Conntrack Helper %s does not support: %s. Supported protocols are: %s",
			h.Helper, h.Protocol, strings.Join(known, ", "))
	}
	for o := range tx.ConntrackHelpers.ByRouter(h.Router) {
		if o.ID != h.ID && o.Protocol == h.Protocol && o.Port == h.Port && o.Helper == h.Helper {
			return badRequest("conntrack_helper", "A duplicate conntrack helper entry with same attributes already exists, conflicting values are "+
				"{'router_id': '%s', 'protocol': '%s', 'port': %d, 'helper': '%s'}", h.Router, h.Protocol, h.Port, h.Helper)
		}
	}
	tx.ConntrackHelpers.Put(h)
	touchRouter(tx, h.Router)
	return nil
}

// DeleteConntrackHelper deletes a helper.
func (r *Rules) DeleteConntrackHelper(tx *world.Tx, _ *Actor, h *model.ConntrackHelper) error {
	tx.ConntrackHelpers.Delete(h.ID)
	touchRouter(tx, h.Router)
	return nil
}
