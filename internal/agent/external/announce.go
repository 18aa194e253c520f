package external

import (
	"time"

	"github.com/weft-cloud/weft/internal/model"
)

// announcement is one that is due: the first at once, the others a second apart.
type announcement struct {
	key   key
	owned owned
	left  int
	at    time.Time
}

// announce says times times that an address is here.
func (s *Speaker) announce(k key, o owned, times int, now time.Time) {
	if times > 0 {
		s.due = append(s.due, announcement{k, o, times, now})
	}
	s.speak(now)
}

// say announces what has come here, as soon as that is sure: a host that comes back has the addresses of before until its server takes
// them away, and would lead them to itself.
func (s *Speaker) say() {
	now := s.Now()
	for k, since := range s.unsaid {
		o, mine := s.own[k]
		switch {
		case !mine:
		case s.active.Sure || now.Sub(since) >= unsureFor:
			s.announce(k, o, s.Repeats, now)
		default:
			continue
		}
		delete(s.unsaid, k)
	}
}

// speak sends what is due, at most perBeat addresses at once: a host that starts has thousands.
func (s *Speaker) speak(now time.Time) {
	sent := 0
	rest := s.due[:0]
	for _, a := range s.due {
		if now.Before(a.at) || sent >= perBeat {
			rest = append(rest, a)
			continue
		}
		if s.own[a.key] != a.owned {
			continue // it has changed hands since
		}
		sent++
		if a.key.addr.Is4() { // some listen to requests only, some to answers only
			s.send(a.key.external, arp(arpAsk, a.key.addr, a.key.addr, a.owned.mac))
			s.send(a.key.external, arp(arpAnswer, a.key.addr, a.key.addr, a.owned.mac))
		} else {
			s.send(a.key.external, advertisement(a.key.addr, a.owned.mac, a.owned.kind == model.KindRouter))
		}
		if a.left--; a.left > 0 {
			a.at = now.Add(time.Second)
			rest = append(rest, a)
		}
	}
	s.due = rest
}
