package feed_test

import (
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/server/feed"
)

// TestLivenessClockSetBack: what was written down before the clock was set back does not make a dead host look alive for as long.
func TestLivenessClockSetBack(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	l := feed.NewLiveness(func() time.Time { return now }, time.Minute)
	l.Seen("host1", now.Add(time.Hour))
	if last, alive := l.Alive("host1"); !alive || !last.Equal(now) {
		t.Errorf("heard of at %v, alive %t; it is %v", last, alive, now)
	}
	l.Seen("host2", now.Add(-2*time.Minute))
	if _, alive := l.Alive("host2"); alive {
		t.Error("a host that has said nothing for two minutes is alive")
	}
	now = now.Add(61 * time.Second)
	if _, alive := l.Alive("host1"); alive {
		t.Error("a host that has not been heard of since the clock was set back is alive")
	}
}
