package differential

import "regexp"

// deliberate are differences that are meant, by a pattern of what a report says of them, each with the reason. docs/api.md
// has the same list in words. Where what was asked or said tells them apart, sent is a pattern of the request and of Weft's answer, and
// theirs one of Neutron's.
var deliberate = []struct {
	what   *regexp.Regexp
	reason string
	sent   string
	theirs string
}{
	{regexp.MustCompile(`segmentation_id: \d+ / \d+$`), "a segment that a server chose", "", ""},
	{regexp.MustCompile(`address_groups?(\[\])?\.(shared|created_at|updated_at|revision_number): .* / missing$`), "Neutron leaves them out of groups without addresses", "", ""},
	{regexp.MustCompile(`404 RbacPolicyNotFound / 400 InvalidInput$`), "Neutron's TypeError, told as if it were the client's fault", "", ""},
	{regexp.MustCompile(`\.ports?(\[\])?\.dns_domain: .* / ""$`), "kept and shown with a warning; Neutron without a DNS driver forgets it without a dns_name", "", ""},
	{regexp.MustCompile(`port_associations/(ID|no-id): 404 LocalIPNotFound / 404 LocalIPAssociationNotFound$`), "what is beneath nothing is not found: the parent is named", "", ""},
	{regexp.MustCompile(`\.floatingip\.dns_(name|domain): .* / ""$`), "kept and shown with a warning; Neutron without a DNS driver forgets them", "", ""},
	{regexp.MustCompile(`port_associations(/\?)?: status 404 LocalIPNotFound / 200 $`), "what is beneath nothing is not found", "", ""},
	{regexp.MustCompile(`/ID: 404 RouterNotFound / 404 ConntrackHelperNotFound$`), "what is beneath nothing is not found: the parent is named", "", ""},
	{regexp.MustCompile(`/port_associations: 404 LocalIPNotFound / 400 LocalIP\w+$`), "what is beneath nothing is not found: the parent is named", "", ""},
	{regexp.MustCompile(`/routers: 404 AvailabilityZoneNotFound / 409 Conflict$`), "of two faults that Neutron's parts find each for itself, and join to one, the first is told", "", ""},
	{regexp.MustCompile(`rule_type\.drivers\[\]\.name: "weft" / "openvswitch"$`), "who is asked about QoS", "", ""},
	{regexp.MustCompile(`segment\.description: null / ""$`), "null until somebody gives one; Neutron has either", "", ""},
	{regexp.MustCompile(`network-ip-availabilities/ID(/\?)?: 404 NetworkNotFound / 404 HTTPNotFound$`), "what was not found is named", "", ""},
	{regexp.MustCompile(`^GET .*\?: status 404 \w+NotFound / 200 $`), "a marker that is not there is 404 in every list", `[?&]marker=`, ""},
	{regexp.MustCompile(`(add|remove)_extraroutes: (status 400 HTTPBadRequest / 200 |400 HTTPBadRequest / 400 AddrFormatError)$`), "routes are read as an update of the router reads them", "", ""},
	{regexp.MustCompile(`_extraroutes: \.router\.(distributed|ha): missing / `), "no answer has more than the caller may see", "", ""},
	{regexp.MustCompile(`^PUT /routers/ID: \.router\.enable_ndp_proxy: false / true$`), "an update that does not speak of it switches nothing on", "", ""},
	{regexp.MustCompile(`/routers(/ID)?: (status 400 HTTPBadRequest / 20[01] |400 HTTPBadRequest / 409 RouterExternalGatewayInUseByFloatingIp)$`), "external_gateway_info is a dictionary or null; Neutron takes [] for null", `(?s)"external_gateway_info": ?(\[\]|"").*external_gateway_info`, ""},
	{regexp.MustCompile(`409 ExternalIpAddressExhausted / 400 ExternalIpAddressExhausted$`), "exhaustion is a conflict, as everywhere else", "", ""},
	{regexp.MustCompile(`/networks(/ID)?: status 20[01]  / 409 NeutronDbObjectDuplicateEntry$`), "Neutron stores a network's dns_domain twice and fails", `"dns_domain"`, ""},
	{regexp.MustCompile(`security_group_rules?(\[\])?\.description: "" / null$`), "rules that groups begin with have the description that all have without one", "", ""},
	{regexp.MustCompile(`^GET .*: 0 elements \[\] / |^GET .*: \d+ elements .* / (0 elements )?\[\]$`), "revisions count the whole store's writes", `[?&]revision_number=`, ""},
	{regexp.MustCompile(`network_segment_ranges: status 400 BadRequest / 201 $`), "a range of a physical network that is not configured could never be used", `is not in network_vlan_ranges`, ""},
	{regexp.MustCompile(`/ndp_proxies: 404 RouterNotFound / 409 PortUnreachableRouter$`), "what was not found is named", "", ""},
	{regexp.MustCompile(`/routers/ID/conntrack_helpers/ID: 404 RouterNotFound / 404 HTTPNotFound$`), "what is beneath nothing is not found: the parent is named", "", ""},
	{regexp.MustCompile(`rbac-policies(/ID)?: (status 200  / 409 RbacPolicyInUse|404 RbacPolicyNotFound / 400 InvalidInput)$`), "an update of nothing takes nothing away; what was not found is named", "", ""},
	{regexp.MustCompile(`^PUT /[\w/-]+: status 200  / 403 PolicyNotAuthorized$`), "policy is not asked about attributes that nobody sent", `: \{\}\}\n`, ""},
	{regexp.MustCompile(`port_associations: (status 201  / 400|409 LocalIPAssociationExists / 400) LocalIPNoRequestedIP$`), "of addresses of two families that of the local IP's is meant", "", ""},
	{regexp.MustCompile(`minimum_packet_rate_rules(/ID)?: (409 QoSRuleParameterConflict / 409 QoSRulesConflict|status 409 QoSRuleParameterConflict / 20[01] )$|packet_rate_limit_rules(/ID)?: status 409 QoSRuleParameterConflict / 20[01] $`), "no packet rate can be guaranteed above its limit, as no bandwidth can", "", ""},
	{regexp.MustCompile(`/tags: status 400 InvalidInput / 200 $`), "a tag of no letters has no path by which it could be asked for or taken away", `"tags":\[[^\]]*""`, ""},
	{regexp.MustCompile(`metering-label-rules(/ID)?(/\?)?: status 200  / 404 HTTPNotFound$`), "whose label it is sees its rules", "", ""},
	{regexp.MustCompile(`\.(hardware_offload_type|hints): .* / missing$`), "an extension of later releases", "", ""},
	{regexp.MustCompile(`^POST \S+/(ID|no-id|host-a|hostless)(/\?)?: ((status )?405 HTTPMethodNotAllowed|403 PolicyNotAuthorized|404 \w+NotFound) / `), "what is there is not made again beneath its own name; Neutron creates another", "", ""},
	{regexp.MustCompile(`^POST \S+: .* / 400 HTTPBadRequest$|^POST .* / "Bulk operation not supported"$`), "several are created by one request wherever one is", `^\w+: POST \S+ \{"\w+s":`, ""},
	{regexp.MustCompile(`^(POST|DELETE) /(agents|network-ip-availabilities|qos/alias-[\w-]+)(/ID|\.json|/|/\?)?: 405 HTTPMethodNotAllowed / (400|404) \w+$`), "what cannot be created has no body that is right", "", ""},
	{regexp.MustCompile(`^GET .*\?: (status 200  / 400 (HTTPBadRequest|BadRequest|InvalidInput)|400 (InvalidInput|HTTPBadRequest) / 400 ((HTTP)?BadRequest|InvalidInput))$`), "more attributes are filters and sort keys than Neutron's", "",
		`invalid attribute for (filtering|sort_keys|sort key)|not supported for filtering|IP protocol '.*' is not supported`},
	{regexp.MustCompile(`^GET .*\?: status 400 InvalidInput / 200 $`), "what is no number is no revision's", `[?&]revision_number=`, ""},
	{regexp.MustCompile(`^GET /agents/\?: status (400 (HTTP)?BadRequest|404 \w+) / 200 $`), "agents are sorted and paged as all else is; Neutron does not look at what is asked", `sort_|limit=|marker=`, ""},
	{regexp.MustCompile(`^(POST|PUT) /flavors(/ID)?: status 404 ServiceProfileNotFound / 20[01] $`), "a profile that is not there is named; Neutron leaves out what it does not find", `"service_profiles":`, ""},
	{regexp.MustCompile(`^GET /qos/(alias-minimum-packet-rate-rules|policies/ID/minimum_packet_rate_rules)/ID(/\?)?: status 200  / 404 (HTTPNotFound)?$`), "whose policy it is sees its minimum packet rates", "", ""},
	{regexp.MustCompile(`/ports(/ID)?: status 400 HTTPBadRequest / 20[01] $`), "a host's name is a text", `"binding:host_id":`, ""},
	{regexp.MustCompile(`^DELETE /qos/policies/ID/\w+: 404 QosRuleNotFound: "QoS rule None could not be found\." / `), "no rule was named; Neutron names the policy twice", "", ""},
	{regexp.MustCompile(`/odd: 404 \w+NotFound / 404 HTTPNotFound$`), "what is beneath nothing is not found: the parent is named", "", ""},
	{regexp.MustCompile(`"Invalid input for operation: an extra DHCP option needs opt_name\." / `), "what is missing is named", "", ""},
	{regexp.MustCompile(`is not a valid RBAC object type: write one of .*" / ".* is not a valid RBAC object type\."$`), "Neutron does not say which types there are", "", ""},
	{regexp.MustCompile(`"Invalid input for operation: port .* is not an integer\." / "Invalid input for operation: .* is not an integer\."$`), "the field is named", "", ""},
	{regexp.MustCompile(`"(Invalid input for h|Cannot update read-only|Attribute |Unrecognized attribute|Failed to parse).* / "Unrecognized attribute\(s\) .*"$|^POST /networks: 400 InvalidInput / 400 HTTPBadRequest$|/ports(/ID)?: (status 20[01] |403 PolicyNotAuthorized) / 400 HTTPBadRequest$`), "an attribute of a later release, or of one of Neutron's forms only",
		`"(hints|hardware_offload_type|vlan_transparent|belongs_to_default_sg|resource_versions|gw_port_id|ha_vr_id|revision_number|updated_at|created_at)":`, ""},
	{regexp.MustCompile(`^(BREW|TRACE|OPTIONS|get) \S+: (status )?40[45] `), "no method is there but those that there are; Neutron answers others as a GET", "", ""},
	{regexp.MustCompile(`^HEAD \S+: 405  / 404 $`), "HEAD is nowhere", "", ""},
	{regexp.MustCompile(`: (status )?400 HTTPBadRequest / `), "an If-Match that names no revision is refused; Neutron passes over it", `\[If-Match: "?x"?\]`, ""},
	{regexp.MustCompile(`: status 412 RevisionNumberConstraintFailed / 20[04] $`), "If-Match holds for every resource that has a revision", `\[If-Match: revision_number=`, ""},
	{regexp.MustCompile(`^GET \S+: (status )?404 \w+ / (200 |404 HTTPNotFound)$`), "an id is what stands between two slashes; MariaDB passes over a blank at its end", `GET /\S+/[^/ ]*%2[0F]`, ""},
	{regexp.MustCompile(`^GET \S+/\?: (status )?400 (HTTP)?BadRequest(: .*)? / `), "a query's parts are divided by & alone, and escapes are whole", `\?(limit=1;odd=1|id=%ZZ)`, ""},
	{regexp.MustCompile(`^GET \S+: (status )?\d+ \w* / 406 HTTPNotAcceptable$`), "answers are JSON, whatever else is accepted", `\[Accept: `, ""},
	{regexp.MustCompile(`: (400 HTTPBadRequest|404 \w+NotFound) / 404 HTTPNotFound$`), "an id may have a dot", `\.xml `, ""},
	{regexp.MustCompile(`: 412 RevisionNumberConstraintFailed: "(Constrained to -?\d+, but current revision is )\d+" / "Constrained to -?\d+, but current revision is \d+`), "revisions count the whole store's writes", "", ""},
	{regexp.MustCompile(`/networks: (status 201 |400 VlanTransparencyDriverError) / 400 HTTPBadRequest$`), "vlan_transparent is known, also where no driver has it", `"vlan_transparent":`, ""},
	{regexp.MustCompile(`^PUT /networks/ID: status 400 InvalidInput / 200 $`), "an MTU below what IPv6 needs is refused where there are IPv6 subnets", `"mtu":`, ""},
	{regexp.MustCompile(`^POST /networks: status 201  / 400 InvalidInput$`), "nothing at all is the server's choice, also written as an empty text", `"provider:(network_type|physical_network)":""`, ""},
	{regexp.MustCompile(`^PUT /networks/ID: status 400 InvalidInput / 200 $`), "an update of segments is refused, also one to nothing in particular", `"segments":\[\{\}\]`, ""},
	{regexp.MustCompile(`/networks(/ID)?: 400 InvalidInput: "Invalid input for operation: segmentation_id out of range`), "of two faults the number's is told first", `"provider:segmentation_id":-1`, ""},
	{regexp.MustCompile(`409 NetworkInUse: "(Unable to complete operation on network [^ ]+ There are one or more ports still in use on the network, id for these ports is: ).*" / "Unable to complete operation on network [^ ]+ There are one or more ports`), "the ports come in the order of their ids", "", ""},
	{regexp.MustCompile(`^PATCH \S+/odd: 405 HTTPMethodNotAllowed / 404 HTTPNotFound$`), "what is nowhere has no such method", "", ""},
	{regexp.MustCompile(`^GET /ports(/ID)?/\?: 400 InvalidInput: ".*write ip_address=A, .*" / ".* is not of the form <key>=\[value\]\."$`), "what may be written is said", "", ""},
	{regexp.MustCompile(`/bindings\S*: (status )?403 PolicyNotAuthorized / (200 |404 (PortBinding|HTTP)NotFound|409 PortBindingAlreadyExists)$`), "bindings are for administrators and services, as in later releases", "", ""},
	{regexp.MustCompile(`/ports/ID/bindings\S*: ((status )?409 PortBindingError|status 200 |(status )?404 PortBindingNotFound) / `), "without an agent Neutron leaves behind, or loses, what it could not bind", "", ""},
	{regexp.MustCompile(`^POST /ports/ID/bindings: (status )?400 HTTPBadRequest / (201 |409 PortBindingAlreadyExists)$`), "a binding is to a host that has a name", `"host":`, ""},
	{regexp.MustCompile(`/routers(/ID)?: status 20[01]  / 404 FlavorNotFound$`), "a router may have no flavor", `"flavor_id":(null|"")`, ""},
	{regexp.MustCompile(`409 RouterGatewayNotValid: ".*" / ".*The request body not contain external gateway information\."$`), "what is missing is said whenever it is", "", ""},
	{regexp.MustCompile(`^(POST|PUT) \S+: 400 HTTPBadRequest: "(Cannot update read-only attribute|Attribute '|Attribute '…').*" / "(Cannot update read-only attribute|Attribute '|Failed to parse request\. Required)`), "which attributes come first hangs on the order in which Neutron loaded its extensions", `"(revision_number|created_at|updated_at|tags)":`, ""},
	{regexp.MustCompile(`^POST /security-group-rules: 400 SecurityGroupInvalidPortValue / 400 SecurityGroupRuleInvalidProtocol$`), "what is no port is found before what is no protocol", "", ""},
	{regexp.MustCompile(`^POST /security-group-rules: 404 SecurityGroupNotFound: `), "no group is that of no id", `"security_group_id":""`, ""},
	{regexp.MustCompile(`Invalid data format for nameserver: .*" / ".* is not a valid nameserver\. `), "a text is no list of letters", "", ""},
	{regexp.MustCompile(`^PUT /subnets/ID: status 400 HTTPBadRequest / 200 $`), "a dictionary is no list", `:\{\}\}\}`, ""},
	{regexp.MustCompile(`^PUT /service_profiles/ID: status 400 ServiceProfileEmpty / 200 $`), "a profile with nothing in it is refused, by an update, too", "", ""},
	{regexp.MustCompile(`^POST /segments: 400 InvalidInput: ".*network_type required\." / ".*network_type value '.*' not supported\."$`), "an empty type is none", `"network_type":""`, ""},
	{regexp.MustCompile(`^GET /rbac-policies/\?: status (400 BadRequest|404 \w+) / 200 $`), "lists of RBAC policies have pages", `limit=|marker=`, ""},
	{regexp.MustCompile(`404 RbacPolicyNotFound: "RBAC policy of type unknown with ID .*" / "RBAC policy of type \w+ with ID `), "nothing is said of what the caller does not see", "", ""},
	{regexp.MustCompile(`^(POST|PUT) /rbac-policies(/ID)?: 400 InvalidInput: ".*Only admins can manipulate policies on objects they do not own"`), "the reason alone", "", `Callback neutron`},
	{regexp.MustCompile(`^GET /security-group-rules/\?: status 400 InvalidCIDR / 200 $`), "ranges are written out", `remote_ip_prefix=7`, ""},
	{regexp.MustCompile(`^(POST|PUT) /metering/metering-label-rules: status 400 HTTPBadRequest / 201 $`), "ranges are written out", `_ip_prefix":"[^/"]*"`, ""},
	{regexp.MustCompile(`^GET /network-ip-availabilities/\?: status 400 InvalidInput / 200 $`), "what is no version of IP is refused", `[?&]ip_version=`, ""},
	{regexp.MustCompile(`^\w+ /qos/alias-[\w-]+/ID(/\?)?: 404 QosRuleNotFound / 404 QosPolicyNotFound$`), "nothing is said of a policy that the caller does not see", "", ""},
	{regexp.MustCompile(`/network_segment_ranges/ID(/\?)?: 404 HTTPNotFound / 404 $`), "Neutron says 404, and shows it", "", ""},
	{regexp.MustCompile(`is not in \[.*\]\." / ".* is not in valid_values\."$`), "Neutron does not say which values there are", "", ""},
}

// meant is the reason for which a difference is deliberate, and the pattern that says so; "" if it is not.
func meant(what string, q request, weft, neutron *answer) (reason, pattern string) {
	for _, d := range deliberate {
		if d.what.MatchString(what) && regexp.MustCompile(d.sent).MatchString(q.String()+"\n"+weft.text) && regexp.MustCompile(d.theirs).MatchString(neutron.text) {
			return d.reason, d.what.String()
		}
	}
	return "", ""
}
