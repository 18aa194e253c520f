package config

import (
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weft-cloud/weft/internal/model"
)

// seed reads files of the reference situation, which must be accepted as they are.
func seed(t *testing.T, names ...string) []Source {
	t.Helper()
	var files []string
	for _, n := range names {
		files = append(files, filepath.Join("testdata", n))
	}
	srcs, err := ReadSources(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	return srcs
}

func logNotices(t *testing.T, l *Loaded) {
	t.Helper()
	for _, n := range l.Notices {
		t.Log(n)
	}
}

func TestSeedController(t *testing.T) {
	l, err := LoadServer(seed(t, "neutron.conf", "controller-ml2_conf.ini", "l3_agent.ini"), "controller")
	if err != nil {
		t.Fatal(err)
	}
	logNotices(t, l)
	s := l.Server
	want := Keystone{
		Credentials: Credentials{
			AuthURL: "http://10.1.4.71:35357", Username: "neutron", Password: NewSecret("*******************"),
			ProjectName: "services", UserDomainID: "default", ProjectDomainID: "default",
			Timeout: 10 * time.Second, Retries: 3,
		},
		PublicURL: "http://10.1.4.71:5000/", CacheTime: 300 * time.Second, RevocationTime: 10 * time.Second, ServiceTokenRoles: []string{"service"},
	}
	if d := cmp.Diff(want, s.Keystone); d != "" {
		t.Error("[keystone_authtoken]", d)
	}
	wantDB := Database{
		Engine: "mysql", User: "neutron", Password: NewSecret("secret"), Host: "10.1.4.71", Port: 3306, Name: "neutron",
		MaxPoolSize: 10, ConnectionRecycle: time.Hour, RetryInterval: 10 * time.Second, MaxRetries: 10,
	}
	if d := cmp.Diff(wantDB, s.Database, cmpopts.EquateEmpty()); d != "" {
		t.Error("[database]", d)
	}
	wantNova := Nova{
		Credentials: Credentials{
			AuthURL: "http://10.1.4.71:35357", Username: "nova", Password: NewSecret("***********"), ProjectID: "**********************",
			UserDomainID: "default", ProjectDomainID: "default", Region: "RegionOne", Interface: "public", Timeout: 30 * time.Second, Retries: 3,
		},
		URL: "http://10.1.4.71:8774/v2", OnPortStatus: true, OnPortData: true, EventsInterval: 2 * time.Second,
	}
	if d := cmp.Diff(wantNova, s.Nova); d != "" {
		t.Error("nova", d)
	}
	wantML2 := ML2{
		TypeDrivers: []string{"flat", "vxlan"}, TenantTypes: []string{"vxlan"}, FlatNetworks: []string{"external"},
		VNIs: []Range{{10, 100}}, PhysnetMTU: 1500, OverlayIPVersion: 4,
	}
	if d := cmp.Diff(wantML2, s.ML2, cmpopts.EquateEmpty()); d != "" {
		t.Error("[ml2]", d)
	}
	if !s.Router.Distributed || s.Host != "controller" || s.API.BindPort != 9696 || s.AgentDownTime != 75*time.Second ||
		s.DHCP.Lease != 24*time.Hour || s.MAC.Base != (model.MAC{0xfa, 0x16, 0x3e}) || !s.SecurityGroups {
		t.Errorf("server = %+v", s)
	}
}

func TestSeedAgents(t *testing.T) {
	for _, tc := range []struct {
		name  string
		files []string
		mode  string
	}{
		{"controller", []string{"neutron.conf", "controller-ml2_conf.ini", "l3_agent.ini"}, "dvr_snat"},
		{"compute", []string{"neutron.conf", "compute-ml2_conf.ini"}, "dvr"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, err := LoadAgent(seed(t, tc.files...), tc.name)
			if err != nil {
				t.Fatal(err)
			}
			logNotices(t, l)
			a := l.Agent
			if a.L3.Mode != tc.mode || a.Host != tc.name || a.Server != "10.1.4.71:9697" || a.DataPlane != "ebpf" || a.LocalIP != (netip.Addr{}) {
				t.Errorf("agent = %+v", a)
			}
			if d := cmp.Diff([]Pair{{"external", "br-ex"}}, a.BridgeMappings); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestSeedHasNoUnknownOption holds the table to what the reference situation uses: each line is either an option of
// Weft's or one of which it can say what it does instead.
func TestSeedHasNoUnknownOption(t *testing.T) {
	files, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range files {
		if f.IsDir() {
			continue
		}
		n++
		l, _ := load(seed(t, f.Name()), "h")
		for _, x := range l.Notices {
			if strings.Contains(x.Text, "not an option") {
				t.Error(x)
			}
		}
	}
	if n < 4 {
		t.Fatalf("%d files of the reference situation in testdata, want 4", n)
	}
}

// TestNeutronsOwnFiles reads the files of Debian's neutron-common with every option uncommented: none may be a fault, and
// of each there is something to say. WEFT_NEUTRON_FILES is where they are, if not where the package puts them.
func TestNeutronsOwnFiles(t *testing.T) {
	dir := os.Getenv("WEFT_NEUTRON_FILES")
	if dir == "" {
		dir = "/usr/share/neutron-common"
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("%v; install neutron-common", err)
	}
	option := regexp.MustCompile(`(?m)^#([a-z][a-zA-Z0-9_-]* ?=.*)$`)
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.Contains("neutron.conf ml2_conf.ini openvswitch_agent.ini l3_agent.ini dhcp_agent.ini metadata_agent.ini", d.Name()) || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		set := strings.ReplaceAll(option.ReplaceAllString(string(text), "$1"), "<None>", "")
		l, faults := load([]Source{{Name: d.Name(), Text: []byte(set)}}, "h")
		for _, f := range faults {
			t.Error(f)
		}
		for _, x := range l.Notices {
			// Debian's file has the options of [designate] behind those of [ssl], without their section.
			if strings.Contains(x.Text, "not an option") && x.Group != "ssl" {
				t.Error(x)
			}
		}
		n++
		return nil
	})
	if err != nil || n == 0 {
		t.Errorf("%d files read, %v", n, err)
	}
}
