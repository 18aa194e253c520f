package linux

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// following runs fn in ns and returns what it tells; fn ends with the test.
func following(t *testing.T, ns string, fn func(ctx context.Context, changed func(map[string]Link)) error) <-chan map[string]Link {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	told, done := make(chan map[string]Link, 1000), make(chan error, 1)
	go func() {
		done <- InNetns(ns, func() error { return fn(ctx, func(m map[string]Link) { told <- m }) })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the watch ends with %v", err)
		}
	})
	return told
}

func until(t *testing.T, told <-chan map[string]Link, what string, ok func(map[string]Link) bool) {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		select {
		case m := <-told:
			if ok(m) {
				return
			}
		case <-timeout:
			t.Fatalf("never: %s", what)
		}
	}
}

func TestWatchLinks(t *testing.T) {
	ns := netnsName(t, "w")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(AddVeth(Veth{Name: "tapthere", Netns: ns, Peer: End{Name: "other", Netns: ns}}))
	told := following(t, ns, func(ctx context.Context, changed func(map[string]Link)) error { return WatchLinks(ctx, "tap", changed) })
	until(t, told, "the one that is there", func(m map[string]Link) bool { return len(m) == 1 && !m["tapthere"].Up && m["tapthere"].Kind == "veth" })
	must(SetUp(ns, "tapthere"))
	until(t, told, "up", func(m map[string]Link) bool { return m["tapthere"].Up })
	must(SetMTU(ns, "tapthere", 1400))
	until(t, told, "mtu", func(m map[string]Link) bool { return m["tapthere"].MTU == 1400 })
	must(AddBridge(ns, "br", 1500))
	must(SetMaster(ns, "tapthere", "br")) // a bridge speaks of its ports, too, also when they leave it
	must(AddVeth(Veth{Name: "tapnew", Netns: ns, Peer: End{Name: "other2", Netns: ns}}))
	must(DelLink(ns, "br"))
	must(SetMTU(ns, "tapnew", 1300))
	until(t, told, "both, one with the new MTU", func(m map[string]Link) bool { return len(m) == 2 && m["tapnew"].MTU == 1300 })
	must(DelLink(ns, "tapthere"))
	until(t, told, "one", func(m map[string]Link) bool { return len(m) == 1 })
}

func TestWatchLinksSurvivesOverflow(t *testing.T) {
	const pairs = 60
	ns := netnsName(t, "o")
	overflowed := false
	told := following(t, ns, func(ctx context.Context, changed func(map[string]Link)) error {
		s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
		if err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, func() { s.Close() })
		defer stop()
		if err := s.SetReceiveBufferSize(1, false); err != nil {
			return err
		}
		for i := range pairs {
			if err := AddVeth(Veth{Name: fmt.Sprintf("tap%d", i), Netns: "", Peer: End{Name: fmt.Sprintf("o%d", i), Netns: ""}}); err != nil {
				return err
			}
		}
		w := linkWatch{socket: s, prefix: "tap", changed: changed, links: map[int]Link{}} // before the first list: only messages count
		for !overflowed {
			if err := w.receive(time.Second); err != nil {
				return fmt.Errorf("before the overflow showed: %w", err)
			}
			overflowed = len(w.links) == pairs
		}
		w.tell()
		err = w.run()
		return errors.Join(err, ctx.Err())
	})
	until(t, told, "all", func(m map[string]Link) bool { return len(m) == pairs })
}
