package config

import (
	"fmt"
	"net"
	"strconv"
)

// raw holds what is read only to compute something else: mostly older options that became one.
type raw struct {
	statePath             string
	connection            Secret
	pageLimit             string
	useSSL                bool
	quotaDriver           string
	physnetMTUs           []Pair
	vniRanges, vlanRanges string
	bridgeMappings        string
	externalBridge        string
	identity              identityV2
	keystone, nova        novaV2
	distributed           bool
	transportURL          Secret
	rabbitHost            string
	rabbitHosts           []string
}

// identityV2 is how [keystone_authtoken] named Keystone up to Kilo.
type identityV2 struct {
	host, protocol, prefix, uri string
	port                        uint16
}

// novaV2 is an auth_url that may end in a version.
type novaV2 struct{ authURL string }

// table declares every option, bound to l.
func (l *Loaded) table() *table {
	t := &table{}
	l.commonOptions(t)
	l.apiOptions(t)
	l.resourceOptions(t)
	l.databaseOptions(t)
	l.keystoneOptions(t)
	l.novaOptions(t)
	l.policyOptions(t)
	l.quotaOptions(t)
	l.ml2Options(t)
	l.agentOptions(t)
	l.l3Options(t)
	l.dhcpOptions(t)
	l.metadataOptions(t)
	l.brokerOptions(t)
	goneOptions(t)
	return t
}

func (l *Loaded) commonOptions(t *table) {
	c := &l.Server.Common
	t.in("DEFAULT", ForServer|ForAgent)
	t.str(&c.Host, "host", "", "Name of this host as Nova and the API know it (binding:host_id); the same for all services of a machine.").
		unset().shown("<host name>")
	t.boolean(&c.Debug, "debug", "false", "Log every object that is handled, too.")
	t.str(&l.raw.statePath, "state_path", "/var/lib/neutron",
		"Where Neutron kept its state. Weft only lets other options refer to it ($state_path); its own place is [weft] state_dir.")

	t.in("weft", ForServer|ForAgent)
	t.str(&c.StateDir, "state_dir", "/var/lib/weft",
		"Where Weft keeps what must outlive a restart: the default database, what an agent was last told.").must(nonEmpty(&c.StateDir))
	t.str(&c.TLS.CAFile, "ca_file", "$state_dir/tls/ca.pem", "Certificate of the authority that signs those of server and agents.")
	t.str(&c.TLS.CertFile, "cert_file", "$state_dir/tls/cert.pem", "This host's certificate for the connection of server and agents.")
	t.str(&c.TLS.KeyFile, "key_file", "$state_dir/tls/key.pem", "The private key of cert_file.")
	t.str(&c.MetricsBind, "metrics_bind", "", "host:port where whoever reaches it may read metrics, without a password (docs/metrics.md); not set: nowhere. On localhost: 127.0.0.1:9698.").
		unset().must(hostPort(&c.MetricsBind))
}

// hostPort checks the address of a listener, "" is none.
func hostPort(s *string) func() error {
	return func() error {
		if *s == "" {
			return nil
		}
		_, port, err := net.SplitHostPort(*s)
		if _, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil {
			return fmt.Errorf("%q is not host:port; write it as 127.0.0.1:9698, or :9698 for every address", *s)
		}
		return nil
	}
}

func (l *Loaded) brokerOptions(t *table) {
	const help = "Weft has no broker. An agent without [weft] server takes the host named here for the server's."
	t.in("DEFAULT", ForAgent)
	o := t.secret(&l.raw.transportURL, "transport_url", help)
	o.Shown = ""
	t.str(&l.raw.rabbitHost, "rabbit_host", "", help).unset().was("oslo_messaging_rabbit", "rabbit_host")
	t.list(&l.raw.rabbitHosts, "rabbit_hosts", "", help).unset().was("oslo_messaging_rabbit", "rabbit_hosts")
}
