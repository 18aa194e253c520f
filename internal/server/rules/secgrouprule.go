package rules

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// protocols are the names that rules may use, with their numbers (neutron-lib: constants.py, IP_PROTOCOL_MAP), in the
// order of Neutron's message.
var protocols = []struct {
	name   string
	number int
}{
	{"ah", 51}, {"dccp", 33}, {"egp", 8}, {"esp", 50}, {"gre", 47}, {"hopopt", 0}, {"icmp", 1}, {"igmp", 2}, {"ip", 0}, {"ipip", 4},
	{"ipv6-encap", 41}, {"ipv6-frag", 44}, {"ipv6-icmp", 58}, {"icmpv6", 58}, {"ipv6-nonxt", 59}, {"ipv6-opts", 60},
	{"ipv6-route", 43}, {"ospf", 89}, {"pgm", 113}, {"rsvp", 46}, {"sctp", 132}, {"tcp", 6}, {"udp", 17}, {"udplite", 136}, {"vrrp", 112},
}

// ProtocolNumber is the IP protocol that a rule's protocol names: -1 for any. A rule for IPv6 that says "icmp" means ICMPv6.
func ProtocolNumber(protocol, ether string) (int, bool) {
	if protocol == "" || protocol == "any" {
		return -1, true
	}
	n, err := strconv.Atoi(protocol)
	if err != nil {
		i := slices.IndexFunc(protocols, func(p struct {
			name   string
			number int
		}) bool {
			return p.name == strings.ToLower(protocol)
		})
		if i < 0 {
			return 0, false
		}
		n = protocols[i].number
		if protocols[i].name == "ip" {
			return -1, true
		}
	}
	if n < 0 || n > 255 {
		return 0, false
	}
	if n == 1 && ether == model.EtherIP6 {
		n = 58
	}
	return n, true
}

// withPorts are the protocols whose port range is a range of ports, in the order of Neutron's message.
var withPorts = []string{"dccp", "sctp", "tcp", "udp", "udplite"}

func hasPorts(n int) bool { return n == 6 || n == 17 || n == 33 || n == 132 || n == 136 }

// SecurityGroupRuleExtra is what a client sends for a rule beyond what is stored in it: for the group, the remote group and the
// remote address group what cannot be an identifier.
type SecurityGroupRuleExtra struct{ Group, Remote, Addrs string }

// CreateSecurityGroupRule checks v and puts it.
func (r *Rules) CreateSecurityGroupRule(tx *world.Tx, by *Actor, v *model.SecurityGroupRule, x *SecurityGroupRuleExtra) error {
	canonical(v)
	if err := checkRule(v); err != nil { // before the group is looked for, as in Neutron
		return err
	}
	if err := oneRemote(v, x); err != nil {
		return err
	}
	if err := checkRemotes(tx, by, v, x); err != nil { // before the group, as in Neutron
		return err
	}
	g := tx.SecurityGroups.Get(v.GroupID)
	if g == nil || !(by.Admin || by.AdvSvc || g.ProjectID == by.Project) {
		return noGroup(x.Group, v.GroupID)
	}
	if v.ProjectID == "" {
		v.ProjectID = g.ProjectID
	}
	for o := range tx.SecurityGroupRules.ByGroup(v.GroupID) {
		if sameRule(o, v) {
			return model.Errf(model.KindConflict, "SecurityGroupRuleExists", "Security group rule already exists. Rule id is %s.", o.ID)
		}
	}
	v.ID = model.SecurityGroupRuleID{UUID: tx.NewUUID()}
	v.BelongsDefault = g.Name == DefaultGroup
	tx.SecurityGroupRules.Put(v)
	touchGroup(tx, v.GroupID)
	return nil
}

// canonical writes what has several spellings in the one that Neutron shows.
func canonical(v *model.SecurityGroupRule) {
	if v.EtherType == "" {
		v.EtherType = model.EtherIP4
	}
	if v.EtherType == model.EtherIP6 {
		switch v.Protocol {
		case "icmp", "icmpv6":
			v.Protocol = "ipv6-icmp"
		case "1":
			v.Protocol = "58"
		}
	}
	if v.PortMin != nil && v.PortMax != nil && *v.PortMin == 1 && *v.PortMax == 65535 {
		v.PortMin, v.PortMax = nil, nil
	}
}

// CheckRulesTogether tests what the rules of one request have to do with each other: they are of one group and one project,
// and no two are the same.
func CheckRulesTogether(all []*model.SecurityGroupRule) error {
	for _, v := range all {
		if v.GroupID != all[0].GroupID {
			return model.Errf(model.KindInvalid, "SecurityGroupNotSingleGroupRules", "Only allowed to update rules for one security profile at a time")
		}
		if v.ProjectID != all[0].ProjectID {
			return model.Errf(model.KindInvalid, "SecurityGroupRulesNotSingleTenant", "Multiple tenant_ids in bulk security group rule create not allowed")
		}
	}
	for _, v := range all {
		canonical(v)
		if err := checkRule(v); err != nil {
			return err
		}
	}
	for i, v := range all {
		for _, o := range all[:i] {
			if sameRule(o, v) {
				return model.Errf(model.KindConflict, "DuplicateSecurityGroupRuleInPost", "Duplicate Security Group Rule in POST.")
			}
		}
	}
	return nil
}

// oneRemote tests that at most one remote side is given.
func oneRemote(v *model.SecurityGroupRule, x *SecurityGroupRuleExtra) error {
	n := 0
	for _, set := range []bool{v.RemotePrefix.IsValid(), !v.RemoteGroup.IsZero() || x.Remote != "", !v.RemoteAddrs.IsZero() || x.Addrs != ""} {
		if set {
			n++
		}
	}
	if n > 1 {
		return model.Errf(model.KindInvalid, "SecurityGroupMultipleRemoteEntites",
			"Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.")
	}
	return nil
}

// checkRemotes tests that the remote side is there, and of the rule's family.
func checkRemotes(tx *world.Tx, by *Actor, v *model.SecurityGroupRule, x *SecurityGroupRuleExtra) error {
	if !v.RemoteGroup.IsZero() || x.Remote != "" {
		g := tx.SecurityGroups.Get(v.RemoteGroup)
		if g == nil || !accessible(tx, by, model.KindSecurityGroup, g.ID.UUID, g.ProjectID) {
			return noGroup(x.Remote, v.RemoteGroup)
		}
	}
	if !v.RemoteAddrs.IsZero() || x.Addrs != "" {
		g := tx.AddressGroups.Get(v.RemoteAddrs)
		if g == nil || !accessible(tx, by, model.KindAddressGroup, g.ID.UUID, g.ProjectID) {
			return model.Errf(model.KindNotFound, "AddressGroupNotFound", "Address group %s could not be found.", cmp.Or(x.Addrs, v.RemoteAddrs.String()))
		}
	}
	if v.RemotePrefix.IsValid() && v.RemotePrefix.Addr().Is4() != (v.EtherType == model.EtherIP4) {
		return model.Errf(model.KindInvalid, "SecurityGroupRuleParameterConflict", "Conflicting value ethertype %s for CIDR %s", v.EtherType, v.RemoteText)
	}
	return nil
}

// CheckProtocol refuses a text that names no protocol; so does none at all.
func CheckProtocol(name string) error {
	if _, ok := ProtocolNumber(name, model.EtherIP4); !ok || name == "" || name == "any" {
		return noProtocol(name)
	}
	return nil
}

func noProtocol(name string) error {
	names := make([]string, 0, len(protocols))
	for _, p := range protocols {
		names = append(names, "'"+p.name+"'")
	}
	return model.Errf(model.KindInvalid, "SecurityGroupRuleInvalidProtocol", "Security group rule protocol %s not supported. Only protocol values "+
		"[None, %s] and integer representations [0 to 255] are supported.", name, strings.Join(names, ", "))
}

// checkRule tests what depends on the rule alone: protocol, ports, ICMP type and code.
func checkRule(v *model.SecurityGroupRule) error {
	n, ok := ProtocolNumber(v.Protocol, v.EtherType)
	if !ok || v.Protocol == "any" {
		return noProtocol(v.Protocol)
	}
	if v.EtherType == model.EtherIP4 && slices.Contains([]int{41, 43, 44, 58, 59, 60}, n) {
		return model.Errf(model.KindInvalid, "SecurityGroupEthertypeConflictWithProtocol", "Invalid ethertype %s for protocol %s.", v.EtherType, v.Protocol)
	}
	if v.PortMin == nil && v.PortMax == nil {
		return nil
	}
	switch {
	case n < 0:
		return model.Errf(model.KindInvalid, "SecurityGroupProtocolRequiredWithPorts", "Must also specify protocol if port range is given.")
	case hasPorts(n):
		return checkPorts(v)
	case n == 1 || n == 58:
		return checkICMP(v)
	}
	return model.Errf(model.KindInvalid, "SecurityGroupInvalidProtocolForPort",
		"Ports cannot be specified for protocol %d. Ports are only supported for %s.", n, strings.ToUpper(strings.Join(withPorts, ", ")))
}

func checkPorts(v *model.SecurityGroupRule) error {
	if v.PortMin == nil || v.PortMax == nil || *v.PortMin > *v.PortMax {
		return model.Errf(model.KindInvalid, "SecurityGroupInvalidPortRange", "For TCP/UDP protocols, port_range_min must be <= port_range_max")
	}
	if *v.PortMin == 0 {
		return model.Errf(model.KindInvalid, "SecurityGroupInvalidPortValue", "Invalid value for port %d", 0)
	}
	return nil
}

func checkICMP(v *model.SecurityGroupRule) error {
	for _, f := range []struct {
		name, attr string
		value      *int
	}{{"type", "port_range_min", v.PortMin}, {"code", "port_range_max", v.PortMax}} {
		if f.value != nil && *f.value > 255 {
			return model.Errf(model.KindInvalid, "SecurityGroupInvalidIcmpValue",
				"Invalid value for ICMP %s (%s) %d. It must be 0 to 255.", f.name, f.attr, *f.value)
		}
	}
	if v.PortMin == nil && v.PortMax != nil {
		return model.Errf(model.KindInvalid, "SecurityGroupMissingIcmpType",
			"ICMP code (port-range-max) %d is provided but ICMP type (port-range-min) is missing.", *v.PortMax)
	}
	return nil
}

// sameRule reports whether two rules of a group match the same packets by the same words. What costs little is compared first: a
// new rule is compared with all of its group.
func sameRule(a, b *model.SecurityGroupRule) bool {
	if a.Direction != b.Direction || a.EtherType != b.EtherType || !sameNumber(a.PortMin, b.PortMin) || !sameNumber(a.PortMax, b.PortMax) ||
		a.RemoteGroup != b.RemoteGroup || a.RemoteAddrs != b.RemoteAddrs || remoteRange(a) != remoteRange(b) {
		return false
	}
	pa, _ := ProtocolNumber(a.Protocol, a.EtherType)
	pb, _ := ProtocolNumber(b.Protocol, b.EtherType)
	return pa == pb
}

func sameNumber(a, b *int) bool { return a == b || a != nil && b != nil && *a == *b }

// remoteRange is the remote prefix as rules are compared by: with its host bits, and none for that of all addresses.
func remoteRange(v *model.SecurityGroupRule) netip.Prefix {
	if v.RemotePrefix.Bits() == 0 && v.RemotePrefix.Addr().IsUnspecified() {
		return netip.Prefix{}
	}
	return v.RemotePrefix
}

// NormalizedCIDR is the rule's remote prefix with the host bits cleared; invalid for none.
func NormalizedCIDR(v *model.SecurityGroupRule) netip.Prefix { return v.RemotePrefix.Masked() }

// DeleteSecurityGroupRule removes a rule.
func (r *Rules) DeleteSecurityGroupRule(tx *world.Tx, _ *Actor, v *model.SecurityGroupRule) error {
	tx.SecurityGroupRules.Delete(v.ID)
	touchGroup(tx, v.GroupID)
	return nil
}
