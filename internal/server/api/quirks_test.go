package api_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// What clients see of Neutron's corners, where they differ by resource.

func TestPolicyTagsPath(t *testing.T) {
	e := newEnv(t, nil)
	id := e.must(201, "POST", "/qos/policies", object{"policy": object{"name": "q"}})["id"].(string)
	e.must(200, "PUT", "/policies/"+id+"/tags", object{"tags": []string{"red"}})
	if got := e.must(200, "GET", "/qos/policies/"+id, nil)["tags"].([]any); len(got) != 1 || got[0] != "red" {
		t.Errorf("tags are %v, want red", got)
	}
	e.must(204, "GET", "/policies/"+id+"/tags/red", nil)
	e.must(404, "GET", "/policies/"+id, nil)
	e.must(404, "GET", "/policies", nil)
}

func TestAddressGroupQuirks(t *testing.T) {
	e := newEnv(t, nil)
	if f := e.refused(400, "HTTPBadRequest", "POST", "/address-groups", object{"address_group": object{"addresses": []string{"10.20.30.40"}}}); !strings.Contains(f["message"].(string), "'10.20.30.40/32' is recommended") {
		t.Errorf("%v does not name the cure", f)
	}
	if f := e.refused(400, "HTTPBadRequest", "POST", "/address-groups", object{"address_group": object{"addresses": []string{"fd00::/8", "fd00::/8"}}}); !strings.Contains(f["message"].(string), "Duplicate items in the list: 'fd00::/8'") {
		t.Errorf("%v does not name what is there twice", f)
	}
	id := e.must(201, "POST", "/address-groups", object{"address_group": object{"addresses": []string{"10.0.0.1/32"}}})["id"].(string)
	e.must(200, "PUT", "/address-groups/"+id+"/add_addresses", object{"addresses": []string{"10.0.0.2"}})
	m := e.as("member")
	share := object{"rbac_policy": object{"object_type": "address_group", "object_id": id, "action": "access_as_shared", "target_tenant": "member"}}
	e.must(201, "POST", "/rbac-policies", share)
	m.must(200, "GET", "/address-groups/"+id, nil)
	m.refused(404, "AddressGroupNotFound", "PUT", "/address-groups/"+id, object{"address_group": object{"name": "mine"}})
	m.refused(404, "AddressGroupNotFound", "DELETE", "/address-groups/"+id, nil)
}

func TestNarrowedSharingIsWithdrawal(t *testing.T) {
	e := newEnv(t, nil)
	q := e.must(201, "POST", "/qos/policies", object{"policy": object{"name": "q"}})["id"].(string)
	p := e.must(201, "POST", "/rbac-policies", object{"rbac_policy": object{"object_type": "qos_policy", "object_id": q, "action": "access_as_shared", "target_tenant": "*"}})["id"].(string)
	e.must(200, "PUT", "/rbac-policies/"+p, object{"rbac_policy": object{"target_tenant": "member"}})
	e.must(200, "PUT", "/rbac-policies/"+p, object{"rbac_policy": object{"target_tenant": "*"}})
	e.as("member").must(201, "POST", "/networks", object{"network": object{"qos_policy_id": q}})
	e.refused(409, "RbacPolicyInUse", "PUT", "/rbac-policies/"+p, object{"rbac_policy": object{"target_tenant": "member"}})
	if got := e.must(200, "GET", "/rbac-policies/"+p, nil)["target_tenant"]; got != "*" {
		t.Errorf("after a refusal the target is %v", got)
	}
}

func TestMarkerOfOthers(t *testing.T) {
	e := newEnv(t, nil)
	q := e.must(201, "POST", "/qos/policies", object{"policy": object{"name": "q"}})["id"].(string)
	n := e.create("network", object{"name": "n"})["id"].(string)
	m := e.as("member")
	got := m.must(200, "GET", "/qos/policies?limit=1&sort_key=name&sort_dir=asc&marker="+url.QueryEscape(q), nil)
	if len(got["policies"].([]any)) != 0 || strings.Contains(fmt.Sprint(got), "rel:next") {
		t.Errorf("the page beyond the last policy is %v", got)
	}
	m.refused(404, "NetworkNotFound", "GET", "/networks?limit=1&marker="+n, nil)
}
