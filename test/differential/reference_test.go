package differential

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/weft-cloud/weft/test/rig"
)

// neutronConf has the plugins and drivers of the server that ../../internal/server/api/testdata/neutron-zed.json was
// recorded with: it lists the same 112 extensions.
const neutronConf = `[DEFAULT]
core_plugin = ml2
service_plugins = router,segments,trunk,qos,metering,network_ip_availability,auto_allocate,flavors,port_forwarding,conntrack_helper,log,local_ip,ndp_proxy,network_segment_range
transport_url = fake://
auth_strategy = keystone
bind_host = 127.0.0.1
bind_port = %[2]d
api_workers = 1
rpc_workers = 0
rpc_state_report_workers = 0
state_path = %[1]s
api_paste_config = %[1]s/paste.ini
notify_nova_on_port_status_changes = False
notify_nova_on_port_data_changes = False
router_distributed = False
[database]
connection = %[3]s
[oslo_concurrency]
lock_path = %[1]s/lock
[quotas]
quota_driver = neutron.db.quota.driver_nolock.DbQuotaNoLockDriver
[ml2]
type_drivers = flat,vlan,vxlan
tenant_network_types = vxlan
mechanism_drivers = openvswitch
extension_drivers = port_security,qos,dns_domain_ports,subnet_dns_publish_fixed_ip,data_plane_status,uplink_status_propagation,port_device_profile,port_numa_affinity_policy,tag_ports_during_bulk_creation
[ml2_type_flat]
flat_networks = *
[ml2_type_vlan]
network_vlan_ranges = physnet1:100:200,physnet2:300:400
[ml2_type_vxlan]
vni_ranges = 1:5000
`

// asked is beneath which path Neutron's half asks Keystone who calls, as it does where it is used.
const asked = "/asked"

// paste leaves out the filter that asks Keystone: the headers say who calls. Callers without a token go where it is not left out; no
// Keystone is needed to turn them away.
const paste = `[composite:neutron]
use = egg:Paste#urlmap
/: versions
/v2.0: api
/asked: strangers
[composite:strangers]
use = call:neutron.auth:pipeline_factory
keystone = request_id catch_errors authtoken versionsapp
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
[composite:api]
use = call:neutron.auth:pipeline_factory
keystone = request_id catch_errors keystonecontext extensions app
[composite:versions]
use = call:neutron.auth:pipeline_factory
keystone = proxy versionsapp
[filter:request_id]
paste.filter_factory = oslo_middleware:RequestId.factory
[filter:catch_errors]
paste.filter_factory = oslo_middleware:CatchErrors.factory
[filter:proxy]
paste.filter_factory = oslo_middleware.http_proxy_to_wsgi:HTTPProxyToWSGI.factory
[filter:keystonecontext]
paste.filter_factory = neutron.auth:NeutronKeystoneContext.factory
[filter:extensions]
paste.filter_factory = neutron.api.extensions:plugin_aware_extension_middleware_factory
[app:versionsapp]
paste.app_factory = neutron.pecan_wsgi.app:versions_factory
[app:app]
paste.app_factory = neutron.api.v2.router:APIRouter.factory
`

// tables makes Neutron's tables from its models, which takes seconds; its migrations take minutes.
const tables = `import sys
from sqlalchemy import create_engine
from neutron.db.migration.models import head
head.get_metadata().create_all(create_engine(sys.argv[1]))
`

// hurried runs neutron-server without the pauses before a transaction is tried again: what can never succeed is tried twenty times there, which
// takes nearly three minutes by pauses of up to ten seconds, and nobody else writes here.
const hurried = `import sys, types
from neutron.cmd.eventlet.server import main
from oslo_db import api
api.time = types.SimpleNamespace(sleep=lambda seconds: None)
sys.argv[0] = "neutron-server"
sys.exit(main())
`

// startNeutron runs neutron-server with a MariaDB of its own, as it is used (on SQLite, which has one writer, runs were seen
// to hang at a write), and without a message broker, and returns its base URL.
func startNeutron(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	database, err := rig.NewDatabase("neutron")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = database.Close() }) // nothing in it is wanted any more
	connection := "mysql+pymysql://root@localhost/neutron?unix_socket=" + database.Socket
	conf := filepath.Join(dir, "neutron.conf")
	for path, text := range map[string]string{conf: fmt.Sprintf(neutronConf, dir, port, connection), filepath.Join(dir, "paste.ini"): paste} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Debian's Python, which has Neutron's modules; another may come first in PATH.
	if out, err := exec.Command("/usr/bin/python3", "-c", tables, connection).CombinedOutput(); err != nil {
		t.Fatalf("make Neutron's tables: %v\n%s", err, out)
	}
	logPath := filepath.Join(dir, "log")
	log, err := os.Create(logPath)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("/usr/bin/python3", "-c", hurried, "--config-file", conf)
	cmd.Stdout, cmd.Stderr = log, log
	// Its workers are children, and end without it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it has nothing to save
		_ = cmd.Wait()
		if text, err := os.ReadFile(logPath); err == nil && t.Failed() {
			if keep := os.Getenv("WEFT_TEST_NEUTRON_LOG"); keep != "" {
				_ = os.WriteFile(keep, text, 0o600) // for who wants to know why
			}
		}
	})
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	ctx, cancel := context.WithTimeout(t.Context(), patience) // it was seen to take four minutes on a machine that did ten other things
	defer cancel()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(r); err == nil {
			_ = resp.Body.Close()
			return url
		}
		select {
		case <-ctx.Done():
			text, _ := os.ReadFile(logPath)
			t.Fatalf("Neutron does not answer; it says:\n%s", text)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
