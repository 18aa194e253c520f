package tally

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-cloud/weft/internal/model"
)

func port(n byte) model.PortID { return model.PortID{UUID: model.UUID{n}} }

// TestLimit: a port past its share is refused, another is not, and time gives the share back.
func TestLimit(t *testing.T) {
	now := time.Unix(1000, 0)
	b := New(Deps{Now: func() time.Time { return now }, PerSecond: 2, Burst: 3})
	ask := func(n byte) (ok int) {
		for range 5 {
			if b.Allow(port(n), "ra") {
				ok++
			}
		}
		return ok
	}
	if got := ask(1); got != 3 {
		t.Errorf("%d of the burst", got)
	}
	if got := ask(2); got != 3 {
		t.Errorf("the other port: %d", got)
	}
	now = now.Add(time.Second)
	if got := ask(1); got != 2 {
		t.Errorf("%d after a second", got)
	}
	if p := b.Of(port(1)); p.Asked != 10 || p.Limited != 5 {
		t.Errorf("%+v", p)
	}
}

// TestNote: the newest exchanges are kept, in order, and a port that is gone is forgotten.
func TestNote(t *testing.T) {
	now := time.Unix(1000, 0)
	b := New(Deps{Now: func() time.Time { return now }})
	for i := range keep + 2 {
		e := Exchange{Service: "dhcpv4", Got: "DISCOVER", Why: string(rune('a' + i))}
		if i%2 == 0 {
			e.Answer = "OFFER"
		}
		b.Note(port(1), e)
	}
	p := b.Of(port(1))
	if len(p.Last) != keep || p.Last[0].Why != "c" || p.Last[keep-1].Why != string(rune('a'+keep+1)) || p.Answered != 5 {
		t.Errorf("%+v", p)
	}
	if !p.Last[0].At.Equal(now) {
		t.Errorf("at %v", p.Last[0].At)
	}
	b.Keep(func(id model.PortID) bool { return id != port(1) })
	if d := cmp.Diff(Port{}, b.Of(port(1))); d != "" {
		t.Error(d)
	}
}

// TestTotals: what ports asked that are gone still counts, by service.
func TestTotals(t *testing.T) {
	now := time.Unix(1000, 0)
	b := New(Deps{Now: func() time.Time { return now }, PerSecond: 1, Burst: 1})
	b.Allow(port(1), "dhcpv4")
	b.Allow(port(1), "dhcpv6") // too many
	b.Count(port(2), "dns", true)
	b.Count(port(2), "dns", false)
	b.Note(port(1), Exchange{Service: "dhcpv4", Answer: "OFFER"})
	b.Note(port(2), Exchange{Service: "dhcpv4", Why: "no subnet"})
	b.Note(port(2), Exchange{Service: "dns", Answer: "A"})
	if d := cmp.Diff(map[string]Share{"dhcpv4": {1, 0}, "dhcpv6": {1, 1}}, b.Of(port(1)).Services); d != "" {
		t.Error(d)
	}
	before := b.Totals()
	b.Keep(func(model.PortID) bool { return false })
	b.Note(port(3), Exchange{Service: "dns", Answer: "A"})
	want := Totals{Asked: 4, Limited: 2, Services: map[string]Exchanges{"dhcpv4": {1, 1}, "dns": {1, 0}}}
	if d := cmp.Diff(want, before); d != "" {
		t.Error(d)
	}
	want.Services["dns"] = Exchanges{2, 0}
	if d := cmp.Diff(want, b.Totals()); d != "" {
		t.Error(d)
	}
}
