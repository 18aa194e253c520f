package feed

import (
	"google.golang.org/protobuf/proto"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
	"github.com/weft-cloud/weft/internal/wire"
)

func groupTopic(id model.SecurityGroupID) topic { return topic{kind: topicGroup, id: id.UUID} }
func setTopic(id model.UUID) topic              { return topic{kind: topicSet, id: id} }

// policyTopics yields what a port's security depends on: its groups and the address sets that their rules name.
func policyTopics(w *world.World, p *model.Port, yield func(topic)) {
	for _, g := range p.SecurityGroups {
		yield(groupTopic(g))
		for r := range w.SecurityGroupRules.ByGroup(g) {
			if set := remoteOf(r); !set.IsZero() {
				yield(setTopic(set))
			}
		}
	}
}

// remoteOf is the address set that a rule names; zero: none.
func remoteOf(r *model.SecurityGroupRule) model.UUID {
	if !r.RemoteGroup.IsZero() {
		return r.RemoteGroup.UUID
	}
	return r.RemoteAddrs.UUID
}

// touchedPolicy yields the groups and sets that a changed object is part of.
func touchedPolicy(v any, yield func(topic, key)) {
	group := func(id model.SecurityGroupID) {
		yield(groupTopic(id), uuidKey(wire.Kind_KIND_SECURITY_GROUP, id.UUID))
	}
	switch v := v.(type) {
	case *model.SecurityGroup:
		group(v.ID)
		yield(setTopic(v.ID.UUID), uuidKey(wire.Kind_KIND_ADDRESS_SET, v.ID.UUID))
	case *model.SecurityGroupRule:
		group(v.GroupID)
	case *model.AddressGroup:
		yield(setTopic(v.ID.UUID), uuidKey(wire.Kind_KIND_ADDRESS_SET, v.ID.UUID))
	case *model.Port:
		for _, g := range v.SecurityGroups {
			yield(setTopic(g.UUID), uuidKey(wire.Kind_KIND_ADDRESS_SET, g.UUID))
		}
	}
}

// groupBody is a security group with its rules.
func groupBody(w *world.World, id model.SecurityGroupID) proto.Message {
	g := w.SecurityGroups.Get(id)
	if g == nil {
		return nil
	}
	m := &wire.SecurityGroup{Id: wire.ID(id.UUID), Stateful: g.Stateful}
	for r := range w.SecurityGroupRules.ByGroup(id) {
		m.Rules = append(m.Rules, ruleBody(r))
	}
	return m
}

func ruleBody(r *model.SecurityGroupRule) *wire.Rule {
	number, _ := rules.ProtocolNumber(r.Protocol, r.EtherType)
	m := &wire.Rule{Id: wire.ID(r.ID.UUID), Egress: r.Direction == model.Egress, Ipv6: r.EtherType == model.EtherIP6,
		Protocol: int32(number), PortMin: -1, PortMax: -1, RemoteSet: wire.ID(remoteOf(r))}
	if r.PortMin != nil {
		m.PortMin = int32(*r.PortMin)
	}
	if r.PortMax != nil {
		m.PortMax = int32(*r.PortMax)
	}
	if r.RemotePrefix.IsValid() {
		m.Remote = wire.FromPrefix(r.RemotePrefix.Masked())
	}
	return m
}
