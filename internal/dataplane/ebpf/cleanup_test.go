package ebpf

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/weft-cloud/weft/internal/linux"
)

// Cleanup takes everything of ours away, however the programs were attached, and is content with nothing.
func TestCleanup(t *testing.T) {
	for _, attach := range []string{"auto", "clsact"} {
		t.Run(attach, func(t *testing.T) {
			c := newCloud(t, Config{Attach: attach}, nil)
			c.must(c.planes["compute1"].Close())
			c.planes["compute1"] = nil
			for range 2 {
				c.must(linux.InNetns(c.ns("compute1"), func() error { return Cleanup(c.pins("compute1")) }))
			}
			if _, err := os.Stat(c.pins("compute1")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the pin directory stayed: %v", err)
			}
			if _, err := linux.LinkByName(c.ns("compute1"), VXLANDevice); !linux.IsNoLink(err) {
				t.Errorf("%s stayed: %v", VXLANDevice, err)
			}
			c.must(linux.InNetns(c.ns("compute1"), func() error {
				l, err := netlink.LinkByName(c.device("red1"))
				if err != nil {
					return err
				}
				qs, err := netlink.QdiscList(l)
				for _, q := range qs {
					if q.Type() == "clsact" {
						t.Error("a clsact qdisc stayed")
					}
				}
				return err
			}))
		})
	}
}

// What is wrong with the configuration is said with its cure.
func TestConfigErrors(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: loads BPF programs")
	}
	for _, x := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"no BPF file system", Config{PinDir: t.TempDir()}, "mount -t bpf"},
		{"redirect", Config{PinDir: t.TempDir(), Redirect: "fast"}, "auto or plain"},
		{"attach", Config{PinDir: t.TempDir(), Attach: "xdp"}, "auto or clsact"},
	} {
		t.Run(x.name, func(t *testing.T) {
			p, err := New(x.cfg)
			if err == nil {
				p.Close() //nolint:errcheck // the test has failed
			}
			if err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("error %v, want one with %q", err, x.want)
			}
		})
	}
}
