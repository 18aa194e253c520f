package api

// resources declares everything that the API offers. A new resource is one line here and a file of its own.
func resources(s *server) []endpoint {
	r := s.deps.Rules
	return []endpoint{
		networkResource(r).compiled(),
		subnetResource(r).compiled(),
		portResource(r).compiled(),
		routerResource(r).compiled(),
		agentResource(r).compiled(),
		securityGroupResource(r).compiled(),
		securityGroupRuleResource(r).compiled(),
		addressGroupResource(r).compiled(),
		rbacPolicyResource(r).compiled(),
		custom{path: "quotas", answer: serveQuotas},
	}
}
