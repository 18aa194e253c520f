package feed

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// BenchmarkMember is what one member of a remote group of so many costs the server that comes or goes, from the write until it is in the
// queue of a host that has a rule for the group. The host has no business with the members' network.
func BenchmarkMember(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w, h, stop := open(b)
			defer stop()
			write := func(f func(tx *world.Tx)) {
				if _, err := w.Do(context.Background(), "test", func(tx *world.Tx) error { f(tx); return nil }); err != nil {
					b.Fatal(err)
				}
			}
			group := model.SecurityGroupID{UUID: model.UUID{7}}
			far, near := model.NetworkID{UUID: model.UUID{1}}, model.NetworkID{UUID: model.UUID{2}}
			member := func(i int) *model.Port {
				return &model.Port{ID: model.PortID{UUID: model.UUID{9, byte(i >> 8), byte(i)}}, NetworkID: far, Host: "c3", SecurityGroups: []model.SecurityGroupID{group},
					FixedIPs: []model.FixedIP{{Address: netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)})}}}
			}
			write(func(tx *world.Tx) {
				tx.Networks.Put(&model.Network{ID: far})
				tx.Networks.Put(&model.Network{ID: near})
				tx.SecurityGroups.Put(&model.SecurityGroup{ID: group, Stateful: true})
				tx.SecurityGroupRules.Put(&model.SecurityGroupRule{ID: model.SecurityGroupRuleID{UUID: model.UUID{10}}, GroupID: group, Direction: model.Ingress,
					EtherType: model.EtherIP4, RemoteGroup: group})
				for i := range n {
					tx.Ports.Put(member(i))
				}
				tx.Ports.Put(&model.Port{ID: model.PortID{UUID: model.UUID{12}}, NetworkID: near, Host: "c1", SecurityGroups: []model.SecurityGroupID{group}})
			})
			s := newSession("c1")
			s.changes = true
			told := func() int {
				changes := 0
				for changes == 0 {
					<-s.wakeup
					q, err := s.take()
					if err != nil {
						b.Fatal(err)
					}
					for _, u := range q {
						if u.snapshot {
							return 0
						}
						changes += len(u.changes)
					}
				}
				return changes
			}
			h.do(context.Background(), func() { h.join(s, nil, model.Position{}) })
			told()
			change := func(i int) {
				write(func(tx *world.Tx) {
					if i%2 == 0 {
						tx.Ports.Put(member(n))
					} else {
						tx.Ports.Delete(member(n).ID)
					}
				})
				if told() != 1 {
					b.Fatal("not one change")
				}
			}
			change(0) // the first one reads the group
			change(1)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				change(i)
			}
		})
	}
}
