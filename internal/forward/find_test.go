package forward_test

import (
	"errors"
	"testing"

	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/forward"
)

func TestFind(t *testing.T) {
	w := forward.NewWorld(dptest.Demo().States())
	red1 := dptest.PortID("red1")
	for _, text := range []string{"red1", red1.String(), red1.String()[:8], red1.DeviceName(), dptest.PortMAC("red1").String(), "FA:16:3E:8B:AB:97"} {
		if id, err := w.Find(text); err != nil || id != red1 {
			t.Errorf("%q is %s, %v; want red1", text, id, err)
		}
	}
	for _, text := range []string{"", "nobody", red1.String()[:7], "172.16.42.99"} {
		if _, err := w.Find(text); !errors.Is(err, forward.ErrNoPort) {
			t.Errorf("%q: error %v, want ErrNoPort", text, err)
		}
	}
	var many *forward.AmbiguousError
	if _, err := w.Find("172.16.42.11"); !errors.As(err, &many) || len(many.Ports) != 2 {
		t.Errorf("the address of red1 and red1-b: error %v, want both ports", err)
	}
	if id, err := w.Find("fd00:42::c"); err != nil || id != dptest.PortID("red2") {
		t.Errorf("fd00:42::c is %s, %v; want red2", id, err)
	}
	if name := w.Names()(red1.UUID); name != "red1" {
		t.Errorf("red1 is named %q", name)
	}
}
