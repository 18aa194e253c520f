package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What pinging takes for a loss: an answer that is missing, but for those of the last half second.
func TestLostEchoes(t *testing.T) {
	said := func(sent int, missing ...int) string {
		var b strings.Builder
		n := 0
	next:
		for i := 1; i <= sent; i++ {
			for _, m := range missing {
				if m == i {
					continue next
				}
			}
			n++
			fmt.Fprintf(&b, "64 bytes from 172.16.43.6: icmp_seq=%d ttl=63 time=0.1 ms\n", i)
		}
		fmt.Fprintf(&b, "%d packets transmitted, %d received\n", sent, n)
		return b.String()
	}
	for _, x := range []struct {
		text string
		lost bool
	}{{said(200), false}, {said(200, 200), false}, {said(200, 100), true}, {said(200, 150), true}, {said(200, 151), false}, {"", true}} {
		if got := lostEchoes(x.text, 50); (got != "") != x.lost {
			t.Errorf("%q, want lost %v:\n%s", got, x.lost, x.text)
		}
	}
	cmd := exec.Command("ping", "-n", "-i", "0.01", "127.0.0.1") // what it says is read right
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it says more than its status
	if lost := lostEchoes(out.String(), 2); lost != "" {
		t.Errorf("on loopback %s were lost:\n%s", lost, out.String())
	}
}
