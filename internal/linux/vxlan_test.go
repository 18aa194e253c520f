package linux

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
)

func TestVXLANIsMadeOnce(t *testing.T) {
	ns := netnsName(t, "vx")
	v := VXLAN{Name: "vx0", Port: 4789}
	first, err := EnsureVXLAN(ns, v)
	if err != nil || !first.Up {
		t.Fatalf("%+v, %v", first, err)
	}
	if again, err := EnsureVXLAN(ns, v); err != nil || again.Index != first.Index {
		t.Errorf("second time: %+v, %v; the first had index %d", again, err, first.Index)
	}
}

// Who has the UDP port is named, and nothing half-made stays.
func TestVXLANPortTaken(t *testing.T) {
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name, want string
		take       func() error
	}{
		{"by a process", fmt.Sprintf("process %d (%s)", os.Getpid(), strings.TrimSpace(string(comm))), func() error {
			c, err := net.ListenPacket("udp", ":4789")
			if err == nil {
				t.Cleanup(func() { c.Close() })
			}
			return err
		}},
		{"by a device", "the vxlan device other", func() error {
			a := netlink.NewLinkAttrs()
			a.Name = "other"
			l := &netlink.Vxlan{LinkAttrs: a, FlowBased: true, Port: 4789}
			if err := netlink.LinkAdd(l); err != nil {
				return err
			}
			return netlink.LinkSetUp(l)
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			ns := netnsName(t, strings.ReplaceAll(filepath.Base(x.name), " ", ""))
			if err := InNetns(ns, x.take); err != nil {
				t.Fatal(err)
			}
			_, err := EnsureVXLAN(ns, VXLAN{Name: "vx0", Port: 4789})
			if err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("error %v, want one that names %q", err, x.want)
			}
			if _, err := LinkByName(ns, "vx0"); !IsNoLink(err) {
				t.Errorf("vx0 stayed: %v", err)
			}
		})
	}
}
