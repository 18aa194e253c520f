package config

import "time"

func (l *Loaded) keystoneOptions(t *table) {
	k := &l.Server.Keystone
	t.in("keystone_authtoken", ForServer)
	t.str(&k.PublicURL, "www_authenticate_uri", "", "Where a client without a token is sent (header WWW-Authenticate).").unset().was("", "auth_uri")
	t.credentials(&k.Credentials, &l.raw.keystone)
	t.opt("username").was("", "admin_user").was("", "user_name")
	t.opt("password").was("", "admin_password")
	t.opt("project_name").was("", "admin_tenant_name")
	t.seconds(&k.CacheTime, "token_cache_time", "300", "For how many seconds a token is believed before Keystone is asked again; -1: ask each time.")
	t.seconds(&k.RevocationTime, "revocation_cache_time", "10", "Every how many seconds Keystone is asked which tokens were revoked, so how long such a one works at most; 0: never, and it works for token_cache_time.")
	t.list(&k.ServiceTokenRoles, "service_token_roles", "service", "Roles that make a token good for X-Service-Token.")
	t.boolean(&k.ServiceTokenRequired, "service_token_roles_required", "false", "Insist that a service token has one of service_token_roles.")
	t.seconds(&k.Timeout, "http_connect_timeout", "10", "Seconds that Keystone may take to answer.").atLeast(&k.Timeout, time.Millisecond)
	t.integer(&k.Retries, "http_request_max_retries", "3", "How often a request to Keystone is repeated that did not get through.").between(&k.Retries, 0, 100)

	const old = "With auth_host, auth_port, auth_protocol and auth_admin_prefix, files of before Kilo name what auth_url is now."
	i := &l.raw.identity
	t.str(&i.uri, "identity_uri", "", "What auth_url is now.").unset()
	t.str(&i.host, "auth_host", "", old).unset()
	t.port(&i.port, "auth_port", "35357", old)
	t.str(&i.protocol, "auth_protocol", "https", old).oneOf("http", "https")
	t.str(&i.prefix, "auth_admin_prefix", "", old)
}

// credentials declares keystoneauth's options in the group that holds.
func (t *table) credentials(c *Credentials, old *novaV2) {
	t.str(&old.authURL, "auth_url", "", "Keystone's address, with or without /v3.").unset()
	t.str(&c.Username, "username", "", "User as whom Weft presents itself.").unset().was("", "user-name")
	t.str(&c.UserID, "user_id", "", "The same by id, in place of username.").unset().was("", "user-id")
	t.secret(&c.Password, "password", "The user's password.")
	t.str(&c.UserDomainID, "user_domain_id", "", "Domain of the user, by id; neither id nor name: `default`.").unset().was("", "user-domain-id")
	t.str(&c.UserDomainName, "user_domain_name", "", "Domain of the user, by name.").unset().was("", "user-domain-name")
	t.str(&c.ProjectID, "project_id", "", "Project of the user, by id.").unset().was("", "tenant_id")
	t.str(&c.ProjectName, "project_name", "", "Project of the user, by name.").unset().was("", "tenant_name")
	t.str(&c.ProjectDomainID, "project_domain_id", "", "Domain of the project, by id; neither id nor name: `default`.").unset()
	t.str(&c.ProjectDomainName, "project_domain_name", "", "Domain of the project, by name.").unset()
	t.str(&c.AppCredentialID, "application_credential_id", "", "Application credential as which Weft presents itself, in place of username, password and project.").unset()
	t.str(&c.AppCredentialName, "application_credential_name", "", "The same by name, with username or user_id.").unset()
	t.secret(&c.AppCredentialSecret, "application_credential_secret", "The application credential's secret.")
	t.str(&c.AuthType, "auth_type", "", "keystoneauth's name of how Weft presents itself. Weft takes what is set, a password or an application credential, always in Identity API v3; v2password is taken as v3's.").
		unset().oneOf("password", "v3password", "v2password", "v3applicationcredential").was("", "auth_plugin")
	t.str(&c.Region, "region_name", "", "Region whose endpoint is taken from the catalogue.").unset().was("", "os_region_name")
	t.str(&c.CAFile, "cafile", "", "Certificates to believe, in place of the system's.").unset()
	t.str(&c.CertFile, "certfile", "", "Certificate to present.").unset()
	t.str(&c.KeyFile, "keyfile", "", "The private key of certfile.").unset()
	t.boolean(&c.Insecure, "insecure", "false", "Do not verify certificates. For tests only.")
	t.gone("Weft authenticates by Identity API v3, with the options of this section", "auth_version", "auth_section")
}

// opt is the option of that name, declared just before, in the group that holds.
func (t *table) opt(name string) *Option {
	for i := len(t.opts) - 1; i >= 0; i-- {
		if t.opts[i].Group == t.group && t.opts[i].Option == name {
			return t.opts[i]
		}
	}
	panic("config: no option " + name + " in " + t.group)
}

func (l *Loaded) novaOptions(t *table) {
	n := &l.Server.Nova
	t.in("nova", ForServer)
	t.credentials(&n.Credentials, &l.raw.nova)
	t.opt("auth_url").was("DEFAULT", "nova_admin_auth_url")
	t.opt("username").was("DEFAULT", "nova_admin_username")
	t.opt("password").was("DEFAULT", "nova_admin_password")
	t.opt("project_id").was("DEFAULT", "nova_admin_tenant_id")
	t.opt("project_name").was("DEFAULT", "nova_admin_tenant_name")
	t.opt("region_name").was("DEFAULT", "nova_region_name")
	t.opt("cafile").was("DEFAULT", "nova_ca_certificates_file")
	t.opt("insecure").was("DEFAULT", "nova_api_insecure")
	t.str(&n.Interface, "endpoint_type", "public", "Which of Nova's endpoints to use.").oneOf("public", "internal", "admin", "publicURL", "internalURL", "adminURL")
	t.seconds(&n.Timeout, "timeout", "30", "Seconds that Nova may take to answer.").atLeast(&n.Timeout, time.Millisecond)
	t.in("DEFAULT", ForServer)
	t.str(&n.URL, "nova_url", "", "Nova's endpoint, in place of the catalogue's.").unset()
	t.boolean(&n.OnPortStatus, "notify_nova_on_port_status_changes", "true", "Tell Nova when a port became ACTIVE or DOWN; instances wait for it.")
	t.boolean(&n.OnPortData, "notify_nova_on_port_data_changes", "true", "Tell Nova when a port's addresses changed, or its floating IPs.")
	t.seconds(&n.EventsInterval, "send_events_interval", "2", "Seconds for which events to Nova are gathered into one request.")
	t.integer(&n.Retries, "http_retries", "3", "How often a request to Nova is repeated that did not get through.").between(&n.Retries, 0, 100)
}
