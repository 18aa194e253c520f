package config

import (
	"cmp"
	"time"

	"github.com/weft-cloud/weft/internal/model"
)

// Common is what server and agent share.
type Common struct {
	Host     string
	Debug    bool
	StateDir string
	TLS      TLS
	// MetricsBind is the host:port where metrics are read; "": nowhere.
	MetricsBind string
}

// TLS names the files of the mutual TLS between server and agents.
type TLS struct {
	CAFile, CertFile, KeyFile string
}

// Server is the configuration of `weft server`.
type Server struct {
	Common
	// FeedBind is the host:port on which the server listens for agents.
	FeedBind          string
	API               API
	Limits            Limits
	Database          Database
	AuthStrategy      string // "keystone" or "noauth"
	Keystone          Keystone
	Nova              Nova
	Policy            Policy
	Quotas            Quotas
	MAC               MAC
	Router            RouterDefaults
	DHCP              DHCPDefaults
	ML2               ML2
	AgentDownTime     time.Duration
	SecurityGroups    bool // [securitygroup] enable_security_group
	AllowOverlap      bool // allow_overlapping_ips
	VLANTransparent   bool
	AvailabilityZones []string // default_availability_zones
	EnableNewAgents   bool
	ServiceProviders  []string
}

// API is how the REST API is served.
type API struct {
	BindHost string
	BindPort uint16
	// TLS of the API itself; both empty: plain HTTP.
	CertFile, KeyFile, ClientCAFile string
	// LinkPrefix replaces scheme, host and port in the links of answers; empty: as the client called.
	LinkPrefix string
	// PageLimit is the most objects of one answer; 0 = no limit.
	PageLimit        int
	AllowBulk        bool
	FilterValidation bool
	MaxBody          int  // bytes of a request
	ProxyHeaders     bool // trust X-Forwarded-*
	// SocketTimeout is for how long a client may keep a connection waiting; 0: for ever.
	SocketTimeout time.Duration
}

// Limits are per object, not per project.
type Limits struct {
	DNSNameservers, HostRoutes, AddressPairs, ExtraRoutes int
}

// Keystone is [keystone_authtoken].
type Keystone struct {
	Credentials
	// PublicURL is what a client without a token is told (WWW-Authenticate).
	PublicURL string
	// CacheTime is how long a token's validity is believed without asking again; 0 = ask each time.
	CacheTime time.Duration
	// RevocationTime is how often Keystone is asked what was revoked; 0 = never.
	RevocationTime       time.Duration
	ServiceTokenRoles    []string
	ServiceTokenRequired bool
}

// Credentials are what a client of Keystone needs. AuthURL has no version at its end.
type Credentials struct {
	AuthURL                            string
	UserID, Username                   string // either
	Password                           Secret
	UserDomainID, UserDomainName       string
	ProjectID, ProjectName             string
	ProjectDomainID, ProjectDomainName string
	// An application credential takes the place of password and project if AppCredentialSecret is set: by its id, or by its name and the user.
	AppCredentialID, AppCredentialName string
	AppCredentialSecret                Secret
	AuthType                           string
	Region, Interface                  string
	CAFile, CertFile, KeyFile          string
	Insecure                           bool
	Timeout                            time.Duration // of one request
	Retries                            int
}

// AppliesCredential reports whether Weft presents itself by an application credential and not by a password.
func (c *Credentials) AppliesCredential() bool {
	return c.AuthType == "v3applicationcredential" || c.AuthType == "" && (c.AppCredentialID != "" || !c.AppCredentialSecret.IsZero())
}

// Who names the user, or the application credential, in messages.
func (c *Credentials) Who() string {
	if c.AppliesCredential() {
		return "application credential " + cmp.Or(c.AppCredentialID, c.AppCredentialName)
	}
	return cmp.Or(c.Username, c.UserID)
}

// Nova is whom the server tells of ports that became ready.
type Nova struct {
	Credentials
	// URL is a fixed endpoint (nova_url of old files); empty: found in Keystone's catalogue.
	URL            string
	OnPortStatus   bool // notify_nova_on_port_status_changes
	OnPortData     bool // notify_nova_on_port_data_changes
	EventsInterval time.Duration
}

// Enabled reports whether any event is to be sent.
func (n *Nova) Enabled() bool { return (n.OnPortStatus || n.OnPortData) && n.AuthURL != "" }

// Policy is [oslo_policy]. File ("": none) and Dirs are ready to open.
type Policy struct {
	File               string
	Dirs               []string
	DefaultRule        string
	EnforceScope       bool
	EnforceNewDefaults bool
}

// Quotas are the defaults of projects that have none of their own; negative = unlimited.
type Quotas struct {
	// Enforced is false with Neutron's null driver.
	Enforced bool
	Default  int            // of kinds that have no option
	Of       map[string]int // "network" → 100
}

// MAC is how MAC addresses are made: the first three octets of Base (four, if its fourth is not zero) and random ones.
type MAC struct {
	Base, DVRBase model.MAC
	Retries       int
}

// RouterDefaults are what a router is whose creator does not say.
type RouterDefaults struct {
	Distributed, HA     bool
	EnableDVR           bool
	SNAT                bool
	AutomaticL3Failover bool
}

// DHCPDefaults are what instances are told.
type DHCPDefaults struct {
	Lease time.Duration // negative = infinite
	// AgentsPerNetwork is how many network:dhcp ports a network has.
	AgentsPerNetwork int
	Domain           string
}

// ML2 is what network types there are and what they may take.
type ML2 struct {
	TypeDrivers, TenantTypes []string
	ExternalType             string
	Extensions               []string
	FlatNetworks             []string // "*" = any
	VNIs                     []Range
	VLANs                    []VLANRange
	PathMTU, PhysnetMTU      int
	PhysnetMTUs              map[string]int
	OverlayIPVersion         int
}
