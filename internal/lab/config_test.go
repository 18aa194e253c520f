package lab

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/config"
)

func testRecord() *Record {
	r := &Record{ID: "x", Options: Options{Computes: 2, UnderlayMTU: 1600, StateDir: "/var/lib/weft-lab", VIF: "veth", Redirect: "plain"}}
	r.Passwords.Service = "secret"
	return r
}

func sources(files []file) []config.Source {
	var out []config.Source
	for _, f := range files {
		out = append(out, config.Source{Name: f.name, Text: []byte(f.text)})
	}
	return out
}

func TestServerFilesSayWhatTheLabNeeds(t *testing.T) {
	l, err := config.LoadServer(sources(testRecord().serverFiles()), "machine")
	if err != nil {
		t.Fatal(err)
	}
	s := &l.Server
	if s.FeedBind != "192.168.70.10:9697" || !s.Router.Distributed || s.Host != "controller" || s.StateDir != "/var/lib/weft-lab/server" {
		t.Errorf("feed %s, distributed %v, host %s, state %s", s.FeedBind, s.Router.Distributed, s.Host, s.StateDir)
	}
	if s.ML2.PathMTU != 1600 || s.ML2.PhysnetMTU != 1600 || s.ML2.PhysnetMTUs["external"] != 1500 {
		t.Errorf("MTUs %d %d %v", s.ML2.PathMTU, s.ML2.PhysnetMTU, s.ML2.PhysnetMTUs)
	}
	if len(s.ML2.VNIs) != 1 || s.ML2.VNIs[0].First != 10 || s.ML2.VNIs[0].Last != 100 {
		t.Errorf("VNIs %v", s.ML2.VNIs)
	}
	for _, n := range l.Notices {
		t.Errorf("notice: %s", n)
	}
}

func TestAgentFilesSayWhatTheLabNeeds(t *testing.T) {
	r := testRecord()
	for i, h := range r.Hosts() {
		l, err := config.LoadAgent(sources(r.agentFiles(h)), "machine")
		if err != nil {
			t.Fatal(err)
		}
		a := &l.Agent
		mode := "dvr"
		if i == 0 {
			mode = "dvr_snat"
		}
		if a.Host != h.Name || a.LocalIP != h.Underlay || a.L3.Mode != mode || a.DataPlane != "ebpf" || a.Redirect != "plain" || a.PinDir != PinRoot+"/"+h.Name {
			t.Errorf("%+v", a)
		}
		if a.Server != "192.168.70.10:9697" || !strings.HasPrefix(a.StateDir, "/var/lib/weft-lab/agent-") {
			t.Errorf("server %s, state %s", a.Server, a.StateDir)
		}
	}
}

func TestHosts(t *testing.T) {
	r := &Record{Options: Options{Computes: MaxComputes}}
	hosts := r.Hosts()
	if len(hosts) != MaxComputes+1 || hosts[8].Name != "compute8" || hosts[8].Underlay.String() != "192.168.70.18" {
		t.Errorf("%+v", hosts)
	}
	for _, h := range hosts {
		if !r.couldBeOurs(h.Netns) || len(h.Name+"-ext") > 15 { // IFNAMSIZ
			t.Errorf("%+v", h)
		}
	}
	if r.couldBeOurs("weft-compute9") || r.couldBeOurs("other") {
		t.Error("a name that is not the lab's is taken for it")
	}
	if !slices.Equal(r.Computes()[:2], []string{"compute1", "compute2"}) {
		t.Errorf("%v", r.Computes())
	}
}

// An old kernel, or one with a part left out, is told by what it lacks and with the cure.
func TestKernelIsRefusedByWhatItLacks(t *testing.T) {
	for name, x := range map[string]struct {
		err  error
		want string
	}{
		"too old":       {fmt.Errorf("the kernel lacks bpf_loop: %w", unix.EINVAL), "Linux 6.1 or newer"},
		"not permitted": {fmt.Errorf("load a program: %w", unix.EPERM), "CAP_BPF"},
	} {
		err := checkKernel(os.DevNull, func() error { return x.err })
		if err == nil || !strings.Contains(err.Error(), x.want) || !errors.Is(err, x.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := checkKernel(os.DevNull, func() error { return nil }); err != nil {
		t.Error(err)
	}
	if err := checkKernel("/dev/net/none", func() error { return nil }); err == nil || !strings.Contains(err.Error(), "modprobe tun") {
		t.Errorf("no tap devices: %v", err)
	}
}

func TestOptionsAreRefusedByName(t *testing.T) {
	good := Options{Computes: 2, UnderlayMTU: 1500, Demo: true, VIF: "veth", Redirect: "auto"}
	if err := checkOptions(good); err != nil {
		t.Fatal(err)
	}
	for flag, spoil := range map[string]func(*Options){
		"--computes":     func(o *Options) { o.Computes = 0 },
		"--underlay-mtu": func(o *Options) { o.UnderlayMTU = 1349 },
		"--vif":          func(o *Options) { o.VIF = "" },
		"--redirect":     func(o *Options) { o.Redirect = "x" },
	} {
		o := good
		spoil(&o)
		if err := checkOptions(o); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: %v", flag, err)
		}
	}
}
