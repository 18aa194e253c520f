package ebpf

import (
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/linux"
)

// What the host's own processes reach of the floating IPs that it serves itself (docs/pipeline.md, section 19): none by an address that the host
// has on the external network, for nothing of ours hangs on what the host sends; all of them by the router outside, from any other
// address of the host's.
func TestHostToFloatingIPHere(t *testing.T) {
	b := newBeyond(t, Config{}, "veth", nil)
	float, management := dptest.FloatingOf("red1"), netip.MustParseAddr("192.0.2.21")
	if ttl, err := b.ping("world", float, wait); err != nil {
		t.Fatalf("TTL %d, %v", ttl, err)
	}
	if ttl, err := b.ping("compute1", dptest.OutsideRouter, wait); err != nil {
		t.Fatalf("TTL %d, %v", ttl, err)
	}
	if ttl, err := b.ping("compute1", float, 500*time.Millisecond); err == nil {
		t.Errorf("the host reaches a floating IP of its own by its address on the external network (TTL %d): say so in docs/pipeline.md", ttl)
	}
	ns, world := b.ns("compute1"), b.ns("world")
	b.must(linux.AddAddr(ns, "lo", netip.PrefixFrom(management, 32)))
	b.must(linux.SetUp(ns, "lo"))
	// The router outside leads a packet back to where it came from, and would say that there is a shorter way, which there is not.
	for _, s := range []struct{ ns, key, value string }{
		{ns, "net/ipv4/conf/all/accept_redirects", "0"}, {ns, "net/ipv4/conf/" + nicName + "/accept_redirects", "0"}, {world, "net/ipv4/ip_forward", "1"},
	} {
		_, err := linux.SetSysctl(s.ns, s.key, s.value)
		b.must(err)
	}
	b.inNetns("compute1", "ip", "route", "add", float.String(), "via", dptest.OutsideRouter.String(), "dev", nicName, "src", management.String())
	b.inNetns("world", "ip", "route", "add", management.String(), "via", b.own.String(), "dev", "wire")
	if ttl, err := b.ping("compute1", float, wait); err != nil || ttl != 62 {
		t.Errorf("by the router outside: TTL %d, %v", ttl, err)
	}
	data := make([]byte, 1<<18)
	if caller, err := b.transferAt("compute1", "red1", float, b.addr("red1", false), data); err != nil || caller != management {
		t.Errorf("TCP by the router outside: caller %s, %v", caller, err)
	}
}

// inNetns is what a command in a namespace says; it must succeed.
func (b *beyond) inNetns(name string, args ...string) {
	b.t.Helper()
	var out []byte
	err := linux.InNetns(b.ns(name), func() (err error) { out, err = exec.Command(args[0], args[1:]...).CombinedOutput(); return err })
	if err != nil {
		b.t.Fatalf("%v: %v\n%s", args, err, out)
	}
}
