package dptest

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/weft-cloud/weft/internal/hostplan"
)

// RunWireChanges changes the groups of ports at random, again and again, and lets instances talk in between over the connections that
// there are and new ones: what arrives on real interfaces is what forward says. seed makes a run again.
func RunWireChanges(t *testing.T, w Wire, seed uint64, rounds int) {
	t.Logf("seed %d", seed)
	x := changer{rand.New(rand.NewPCG(seed, 0))}
	cloud := Demo()
	oracles := map[string]Plane{}
	for _, h := range cloud.Hosts {
		oracles[h.Name] = &Oracle{}
	}
	apply(t, w, cloud)
	if err := w.Forget(); err != nil {
		t.Fatal(err)
	}
	delivered, dropped := 0, 0
	for range rounds {
		x.change(cloud)
		states := cloud.States()
		for name, o := range oracles {
			if err := o.Apply(states[name]); err != nil {
				t.Fatal(err)
			}
		}
		apply(t, w, cloud)
		for i := range 8 {
			s := x.send()
			want, err := walk(cloud, oracles, states, s)
			if err != nil {
				t.Fatal(err)
			}
			s.Want = want
			if len(want.To) > 0 {
				delivered++
			} else {
				dropped++
			}
			if s.onWire(t, i, w); t.Failed() {
				for _, p := range cloud.Ports {
					t.Logf("%s: %+v", p.Name, p.Policy)
				}
				t.FailNow()
			}
		}
	}
	t.Logf("%d frames delivered, %d refused, as forward says", delivered, dropped)
	if delivered < rounds/4 || dropped < rounds/4 {
		t.Errorf("too much of one kind to say anything: %d delivered, %d refused", delivered, dropped)
	}
}

type changer struct{ *rand.Rand }

func oneOf[T any](x changer, list ...T) T { return list[x.IntN(len(list))] }

// change gives some ports other rules, and the set that rules name other members.
func (x changer) change(c *Cloud) {
	var members []netip.Prefix
	for _, p := range c.Ports {
		for _, a := range p.Addresses {
			if x.IntN(2) == 0 {
				members = append(members, netip.PrefixFrom(a, a.BitLen()))
			}
		}
	}
	c.Sets = []Set{{Name: "members", Prefixes: append(members, netip.MustParsePrefix("172.16.43.0/24"))}}
	for i := range c.Ports {
		if x.IntN(3) > 0 {
			continue
		}
		p := &hostplan.Policy{Stateful: x.IntN(4) > 0}
		for _, v6 := range []bool{false, true} {
			p.Rules = append(p.Rules, x.rules(true, v6)...)
			p.Rules = append(p.Rules, x.rules(false, v6)...)
		}
		sortRules(p.Rules)
		c.Ports[i].Policy = p
	}
}

// rules are those of one direction and family of several groups.
func (x changer) rules(egress, v6 bool) []hostplan.Rule {
	if x.IntN(2) == 0 {
		return []hostplan.Rule{Any(egress, v6)}
	}
	var out []hostplan.Rule
	for range x.IntN(3) {
		r := Allow(egress, v6, oneOf(x, int16(hostplan.AnyProtocol), 6, 17, 1, 132), -1, -1)
		if r.Protocol > 1 && x.IntN(2) == 0 {
			r = Allow(egress, v6, r.Protocol, 50, 1000)
		}
		switch x.IntN(3) {
		case 0:
			r.RemoteSet, r.ID = SetID("members"), RuleID("set "+r.ID.String())
		case 1:
			r.Remote = netip.PrefixFrom(addr("blue1", v6), map[bool]int{false: 24, true: 64}[v6]).Masked()
			r.ID = RuleID("near " + r.ID.String())
		}
		out = append(out, r)
	}
	return out
}

// send is a packet between two instances of the tenant, of few connections, so that they meet again.
func (x changer) send() Send {
	ports := []string{"red1", "red2", "red3", "blue1", "blue2"}
	x.Shuffle(len(ports), func(i, j int) { ports[i], ports[j] = ports[j], ports[i] })
	p := place{"", ports[0], ports[1], x.IntN(2) == 0}
	from, to := uint16(1000), oneOf(x, uint16(53), 60)
	if x.IntN(2) == 0 {
		from, to = to, from
	}
	ip := p.ip()
	switch x.IntN(6) {
	case 0:
		ip = ip.Ping(1, 1)
	case 1:
		ip = ip.ICMP(p.pick(0, 129), 0, 1<<16|1, nil)
	case 2:
		ip = ip.TCP(from, to, oneOf[uint8](x, SYN, SYN|ACK, ACK, FIN|ACK), nil)
	case 3:
		ip = ip.ported(132, from, to)
	case 4:
		whole := ip.UDP(from, to, bytesOf(1600))
		ip = oneOf(x, p.part(whole, 0, 800), p.part(whole, 800, 800))
	default:
		ip = ip.UDP(from, to, nil)
	}
	return Send{From: p.src, Frame: p.frame(ip)}
}
