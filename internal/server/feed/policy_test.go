package feed

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
	"github.com/weft-cloud/weft/internal/wire"
)

// A member of a remote group, and an address of an address group, that comes or goes is told as that one address to those whose ports'
// rules name the group, however many members there are.
func TestMembersAreToldOneByOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(t)
		defer b.stop()
		group, addrs := model.SecurityGroupID{UUID: model.UUID{7}}, model.AddressGroupID{UUID: model.UUID{8}}
		far, near := model.NetworkID{UUID: model.UUID{1}}, model.NetworkID{UUID: model.UUID{2}}
		member := func(i int) *model.Port {
			return &model.Port{ID: model.PortID{UUID: model.UUID{9, byte(i >> 8), byte(i)}}, NetworkID: far, Host: "c3", SecurityGroups: []model.SecurityGroupID{group},
				FixedIPs: []model.FixedIP{{Address: netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)})}}}
		}
		list := func(n int) (out []netip.Prefix) {
			for i := range n {
				out = append(out, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 8, 0, byte(i)}), 32))
			}
			return out
		}
		const many = 50
		b.write(func(tx *world.Tx) {
			tx.Networks.Put(&model.Network{ID: far})
			tx.Networks.Put(&model.Network{ID: near})
			tx.SecurityGroups.Put(&model.SecurityGroup{ID: group, Stateful: true})
			tx.AddressGroups.Put(&model.AddressGroup{ID: addrs, Addresses: list(many)})
			tx.SecurityGroupRules.Put(&model.SecurityGroupRule{ID: model.SecurityGroupRuleID{UUID: model.UUID{10}}, GroupID: group, Direction: model.Ingress,
				EtherType: model.EtherIP4, RemoteGroup: group})
			tx.SecurityGroupRules.Put(&model.SecurityGroupRule{ID: model.SecurityGroupRuleID{UUID: model.UUID{11}}, GroupID: group, Direction: model.Ingress,
				EtherType: model.EtherIP4, RemoteAddrs: addrs})
			for i := range many {
				tx.Ports.Put(member(i))
			}
			tx.Ports.Put(&model.Port{ID: model.PortID{UUID: model.UUID{12}}, NetworkID: near, Host: "c1", SecurityGroups: []model.SecurityGroupID{group}})
		})
		b.settled()
		one := b.connect("c1", nil, model.Position{})
		told := func(what string, added, removed int, f func(tx *world.Tx)) {
			t.Helper()
			b.write(f)
			b.settled()
			q, err := one.session.take()
			if err != nil || len(q) != 1 || len(q[0].puts) != 0 || len(q[0].deletes) != 0 || len(q[0].changes) != 1 {
				t.Fatalf("%s: %d updates, %v; want one change", what, len(q), err)
			}
			if c := q[0].changes[0]; len(c.Added) != added || len(c.Removed) != removed {
				t.Errorf("%s: added %v, removed %v", what, texts(c.Added), texts(c.Removed))
			}
		}
		told("a member comes", 1, 0, func(tx *world.Tx) { tx.Ports.Put(member(many)) })
		told("a member goes", 0, 1, func(tx *world.Tx) { tx.Ports.Delete(member(3).ID) })
		told("a member gets another address", 1, 1, func(tx *world.Tx) {
			p := *member(4)
			p.FixedIPs = []model.FixedIP{{Address: netip.MustParseAddr("10.77.0.1")}}
			tx.Ports.Put(&p)
		})
		told("an address comes", 1, 0, func(tx *world.Tx) { tx.AddressGroups.Put(&model.AddressGroup{ID: addrs, Addresses: list(many + 1)}) })
		told("an address goes", 0, 1, func(tx *world.Tx) { tx.AddressGroups.Put(&model.AddressGroup{ID: addrs, Addresses: list(many)}) })
	})
}

func texts(list []*wire.Prefix) (out []string) {
	for _, p := range list {
		if x, err := wire.ParsePrefix(p); err == nil {
			out = append(out, x.String())
		}
	}
	return out
}
