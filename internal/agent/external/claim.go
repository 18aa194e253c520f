package external

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// claimed notes that somebody else says that an address of ours is theirs.
func (s *Speaker) claimed(k key, o owned, mac model.MAC) {
	now := s.Now()
	c, known := s.claims[k]
	if !known || c.mac != mac {
		c = claim{mac: mac, first: now}
		if mac != o.mac {
			// We were here first; but not at once: the address may have moved to another host, and this one be about to hear of it.
			s.defend(k, o, now.Add(defendAfter))
		}
	}
	if mac == o.mac && s.active.Sure {
		// A host that had the address before has come back, and switches send there what is ours. It will be told, if it is not cut off;
		// then it does not answer this.
		s.defend(k, o, now.Add(twinAfter))
	}
	c.last = now
	s.claims[k] = c
}

// defend says once more, a while later, that an address is here.
func (s *Speaker) defend(k key, o owned, at time.Time) {
	if !slices.ContainsFunc(s.due, func(a announcement) bool { return a.key == k }) {
		s.due = append(s.due, announcement{k, o, 1, at})
	}
}

// doubt asks whoever claims an address of ours for it: an answer keeps the claim alive, and without one it is over. IPv4 is asked as a
// probe is (RFC 5227, section 2.1.1), IPv6 from the link-local address of our MAC. Another host with the same MAC is not asked: each question
// would lead its traffic here.
func (s *Speaker) doubt(now time.Time) {
	for k, c := range s.claims {
		mac := s.own[k].mac
		if now.Sub(c.asked) < doubtEvery || now.Sub(c.first) < defendAfter || c.mac == mac {
			continue
		}
		c.asked = now
		s.claims[k] = c
		from := hostplan.LinkLocal(mac)
		if k.addr.Is4() {
			from = netip.IPv4Unspecified()
		}
		s.send(k.external, question(from, k.addr, mac))
	}
}

// problems are claims that last: while an address moves from host to host both may have it for a moment.
func (s *Speaker) problems() []hostplan.Problem {
	now := s.Now()
	var out []hostplan.Problem
	for k, c := range s.claims {
		o, kept := s.own[k], claimKept
		if c.mac == o.mac {
			kept = twinKept
		}
		if now.Sub(c.last) > kept {
			delete(s.claims, k)
			continue
		}
		if now.Sub(c.first) < claimGrace {
			continue
		}
		who := "by " + c.mac.String() + ": find that machine and give it another address"
		if c.mac == o.mac {
			who = "by another host of this cloud, with the same MAC: is an agent there cut off from its server?"
		}
		out = append(out, hostplan.Problem{Kind: string(o.kind), ID: o.id, Why: fmt.Sprintf("the address %s, which is served here, is claimed on external network %s %s", k.addr, k.external, who)})
	}
	slices.SortFunc(out, func(a, b hostplan.Problem) int { return strings.Compare(a.Kind+a.ID+a.Why, b.Kind+b.ID+b.Why) })
	return out
}
