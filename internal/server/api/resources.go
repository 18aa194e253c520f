package api

// resources declares everything that the API offers. A new resource is one line here and a file of its own.
func resources(s *server) []endpoint {
	r := s.deps.Rules
	n, v, a := networkResource(r), routerResource(r), agentResource(r)
	schedulers(n, v, a)
	return append([]endpoint{
		n.compiled(),
		subnetResource(r).compiled(),
		portResource(r).compiled(),
		v.compiled(),
		a.compiled(),
		custom{"availability_zones", availabilityZones},
		securityGroupResource(r).compiled(),
		securityGroupRuleResource(r).compiled(),
		addressGroupResource(r).compiled(),
		rbacPolicyResource(r).compiled(),
		custom{path: "quotas", answer: serveQuotas},
		subnetPoolResource(r).compiled(),
		addressScopeResource(r).compiled(),
		floatingIPResource(r).compiled(),
		custom{"floatingip_pools", serveFloatingPools},
		custom{"floatingip-pools", serveFloatingPools},
		segmentResource(r).compiled(),
		segmentRangeResource(r).compiled(),
		meteringLabelResource(r).compiled(),
		meteringRuleResource(r).compiled(),
		flavorResource(r).compiled(),
		serviceProfileResource(r).compiled(),
		custom{"service-providers", serviceProviders},
		logResource(r).compiled(),
		custom{"log/loggable-resources", loggableResources},
		localIPResource(r).compiled(),
		ndpProxyResource(r).compiled(),
		custom{"auto-allocated-topology", autoTopology},
		availabilityResource().compiled(),
		defaultRuleResource(r).compiled(),
	}, qosResources(r)...)
}
