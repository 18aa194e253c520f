package world

import (
	"github.com/weft-cloud/weft/internal/model"
)

// World is all objects at one position. A published World never changes.
type World struct {
	pos model.Position
	// batch is the id of the batch that made pos: two histories may share a revision, never a batch.
	batch model.UUID
	// Usage counts objects per project.
	Usage Usage

	Networks Networks
	Segments Segments
	Subnets  Subnets
	Ports    Ports
	Bindings Bindings
	Routers  Routers
	Agents   Agents
	Hosts    Hosts

	SecurityGroups     SecurityGroups
	SecurityGroupRules SecurityGroupRules
	AddressGroups      AddressGroups
	RBACPolicies       RBACPolicies
	Quotas             Quotas

	QoSPolicies   QoSPolicies
	QoSRules      QoSRules
	SubnetPools   SubnetPools
	AddressScopes AddressScopes

	FloatingIPs      FloatingIPs
	PortForwardings  PortForwardings
	ConntrackHelpers ConntrackHelpers

	Trunks Trunks

	SegmentRanges SegmentRanges

	MeteringLabels      MeteringLabels
	MeteringLabelRules  MeteringLabelRules
	Flavors             Flavors
	ServiceProfiles     ServiceProfiles
	Topologies          Topologies
	DefaultRules        DefaultRules
	Logs                Logs
	LocalIPs            LocalIPs
	LocalIPAssociations LocalIPAssociations
	NDPProxies          NDPProxies
}

// New is the empty World of a lineage.
func New(lineage model.UUID) *World {
	return &World{
		pos:      model.Position{Lineage: lineage},
		Usage:    newUsage(),
		Networks: newNetworks(),
		Segments: newSegments(),
		Subnets:  newSubnets(),
		Ports:    newPorts(),
		Bindings: newBindings(),
		Routers:  newRouters(),
		Agents:   newAgents(),
		Hosts:    newHosts(),

		SecurityGroups:     newSecurityGroups(),
		SecurityGroupRules: newSecurityGroupRules(),
		AddressGroups:      newAddressGroups(),
		RBACPolicies:       newRBACPolicies(),
		Quotas:             newQuotas(),

		QoSPolicies:   newQoSPolicies(),
		QoSRules:      newQoSRules(),
		SubnetPools:   newSubnetPools(),
		AddressScopes: newAddressScopes(),

		FloatingIPs:      newFloatingIPs(),
		PortForwardings:  newPortForwardings(),
		ConntrackHelpers: newConntrackHelpers(),

		Trunks: newTrunks(),

		SegmentRanges: newSegmentRanges(),

		MeteringLabels:      newMeteringLabels(),
		MeteringLabelRules:  newMeteringLabelRules(),
		Flavors:             newFlavors(),
		ServiceProfiles:     newServiceProfiles(),
		Topologies:          newTopologies(),
		DefaultRules:        newDefaultRules(),
		Logs:                newLogs(),
		LocalIPs:            newLocalIPs(),
		LocalIPAssociations: newLocalIPAssociations(),
		NDPProxies:          newNDPProxies(),
	}
}

// Position is where in the order of all changes this World stands.
func (w *World) Position() model.Position { return w.pos }

// table is what a World asks of each of its tables.
type table interface {
	kind() model.Kind
	bind(*Tx)
	load(body []byte, revision uint64) (before, after any, err error)
	decode(body []byte, revision uint64, known words) (any, error)
	fill(rows []any) error
	drop(key string) (before any, err error)
	Len() int
}

// tables lists every table of the World. A new resource is one field above, one line in New and one here.
func (w *World) tables() []table {
	return []table{&w.Networks, &w.Segments, &w.Subnets, &w.Ports, &w.Bindings, &w.Routers, &w.Agents, &w.Hosts,
		&w.SecurityGroups, &w.SecurityGroupRules, &w.AddressGroups, &w.RBACPolicies, &w.Quotas,
		&w.QoSPolicies, &w.QoSRules,
		&w.SubnetPools, &w.AddressScopes,
		&w.FloatingIPs, &w.PortForwardings, &w.ConntrackHelpers, &w.Trunks,
		&w.SegmentRanges,
		&w.MeteringLabels, &w.MeteringLabelRules, &w.Flavors, &w.ServiceProfiles, &w.Topologies, &w.DefaultRules,
		&w.Logs, &w.LocalIPs, &w.LocalIPAssociations, &w.NDPProxies}
}

// Counts is how many objects there are of each kind.
func (w *World) Counts() map[model.Kind]int {
	out := map[model.Kind]int{}
	for _, t := range w.tables() {
		out[t.kind()] += t.Len()
	}
	return out
}

func (w *World) table(kind model.Kind) table {
	for _, t := range w.tables() {
		if t.kind() == kind {
			return t
		}
	}
	return nil
}
