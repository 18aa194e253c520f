package api_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

func TestSegmentResource(t *testing.T) {
	e := newEnv(t, func(c *rules.Config) { c.VLANRanges["physnet2"] = nil })
	n := e.create("network", object{"name": "n", "provider:network_type": "vlan", "provider:physical_network": "physnet1", "mtu": 1400})
	id := n["id"].(string)
	first := e.list("/segments?network_id=" + id)[0].(object)
	if first["network_type"] != "vlan" || first["physical_network"] != "physnet1" || first["name"] != nil || first["description"] != nil {
		t.Errorf("segment of a new network: %v", first)
	}
	second := e.create("segment", object{"network_id": id, "network_type": "vxlan", "name": "overlay", "segmentation_id": 77})
	if second["segmentation_id"] != 77.0 {
		t.Errorf("segment: %v", second)
	}
	shown := e.show("/networks/" + id)
	if got := len(shown["segments"].([]any)); got != 2 || shown["l2_adjacency"] != true {
		t.Errorf("network with two segments: %v", shown)
	}
	e.refused(http.StatusConflict, "TunnelIdInUse", "POST", "/segments", object{"segment": object{"network_id": id, "network_type": "vxlan", "segmentation_id": 77}})
	e.refused(http.StatusBadRequest, "InvalidInput", "POST", "/segments", object{"segment": object{"network_id": id, "network_type": "token-ring"}})
	e.refused(http.StatusNotFound, "NetworkNotFound", "POST", "/segments", object{"segment": object{"network_id": randomUUID().String(), "network_type": "vxlan"}})
	e.refused(http.StatusBadRequest, "HTTPBadRequest", "PUT", "/segments/"+second["id"].(string), object{"segment": object{"network_type": "vlan"}})
	e.refused(http.StatusNotFound, "SegmentNotFound", "GET", "/segments/"+randomUUID().String(), nil)
	e.as("member").refused(http.StatusNotFound, "HTTPNotFound", "GET", "/segments/"+second["id"].(string), nil) // loaded before policy is asked
	wide := e.create("network", object{"name": "wide", "provider:network_type": "vlan", "provider:physical_network": "physnet1"})
	e.refused(http.StatusBadRequest, "InvalidInput", "POST", "/segments", object{"segment": object{"network_id": wide["id"], "network_type": "vxlan"}})
	subnet := e.create("subnet", object{"network_id": id, "ip_version": 4, "cidr": "10.0.0.0/24", "segment_id": second["id"]})
	e.refused(http.StatusConflict, "SegmentInUse", "DELETE", "/segments/"+second["id"].(string), nil)
	e.must(http.StatusNoContent, "DELETE", "/subnets/"+subnet["id"].(string), nil)
	e.must(http.StatusNoContent, "DELETE", "/segments/"+second["id"].(string), nil)
}

// routedNetwork makes a network of two VLAN segments, each with a subnet, of which each host reaches one.
func routedNetwork(e *env) (network string, segments, subnets [2]string) {
	for i, host := range []string{"rack0", "rack1"} {
		e.live.mu.Lock()
		e.live.live[host] = true
		e.live.mu.Unlock()
		e.write(func(tx *world.Tx) error {
			return e.rules.RegisterHost(tx, &model.Host{Name: host, DataPlane: "ebpf", BridgeMappings: map[string]string{fmt.Sprint("rack", i): "br"}})
		})
	}
	n := e.create("network", object{"segments": []object{
		{"provider:network_type": "vlan", "provider:physical_network": "rack0", "provider:segmentation_id": 5},
		{"provider:network_type": "vlan", "provider:physical_network": "rack1", "provider:segmentation_id": 5},
	}})
	network = n["id"].(string)
	for _, s := range e.list("/segments?network_id=" + network) {
		s := s.(object)
		i := 0
		if s["physical_network"] == "rack1" {
			i = 1
		}
		segments[i] = s["id"].(string)
	}
	for i := range segments {
		s := e.create("subnet", object{"network_id": network, "ip_version": 4, "cidr": fmt.Sprintf("10.0.%d.0/24", i), "segment_id": segments[i]})
		subnets[i] = s["id"].(string)
	}
	return network, segments, subnets
}

func newRouted(t *testing.T) (*env, string, [2]string, [2]string) {
	e := newEnv(t, func(c *rules.Config) { c.VLANRanges = map[string][]rules.Range{"rack0": nil, "rack1": nil} })
	n, segments, subnets := routedNetwork(e)
	return e, n, segments, subnets
}

func subnetOf(p object) string {
	ips := p["fixed_ips"].([]any)
	if len(ips) != 1 {
		return fmt.Sprint(ips)
	}
	return ips[0].(object)["subnet_id"].(string)
}

func TestRoutedNetworkAddresses(t *testing.T) {
	e, n, segments, subnets := newRouted(t)
	if e.show("/networks/" + n)["l2_adjacency"] != false {
		t.Error("a routed network is shown as one broadcast domain")
	}
	for i, host := range []string{"rack0", "rack1"} {
		p := e.create("port", object{"network_id": n, "binding:host_id": host})
		if subnetOf(p) != subnets[i] || p["ip_allocation"] != "immediate" {
			t.Errorf("port on %s: %v", host, p)
		}
		e.refused(http.StatusConflict, "SegmentInUse", "DELETE", "/segments/"+segments[i], nil)
	}
	later := e.create("port", object{"network_id": n})
	if got := subnetOf(later); got != "[]" || later["ip_allocation"] != "deferred" {
		t.Errorf("port without host: %v", later)
	}
	later = e.must(http.StatusOK, "PUT", "/ports/"+later["id"].(string), object{"port": object{"binding:host_id": "rack1"}})
	if subnetOf(later) != subnets[1] || later["ip_allocation"] != "deferred" {
		t.Errorf("port that got its host later: %v", later)
	}
	e.refused(http.StatusConflict, "HostNotCompatibleWithFixedIps", "PUT", "/ports/"+later["id"].(string), object{"port": object{"binding:host_id": "rack0"}})
	bare := e.create("port", object{"network_id": n, "fixed_ips": []object{}})
	if bare["ip_allocation"] != "none" {
		t.Errorf("port without addresses: %v", bare)
	}
	e.refused(http.StatusConflict, "HostNotConnectedToAnySegment", "POST", "/ports", object{"port": object{"network_id": n, "binding:host_id": "rack7"}})
	e.refused(http.StatusBadRequest, "InvalidInput", "POST", "/ports", object{"port": object{"network_id": n, "binding:host_id": "rack0", "fixed_ips": []object{{"subnet_id": subnets[1]}}}})
	e.refused(http.StatusBadRequest, "FixedIpsSubnetsNotOnSameSegment", "POST", "/ports", object{"port": object{"network_id": n, "fixed_ips": []object{{"subnet_id": subnets[0]}, {"subnet_id": subnets[1]}}}})
}

func TestSubnetSegment(t *testing.T) {
	e, n, segments, subnets := newRouted(t)
	e.refused(http.StatusBadRequest, "SubnetsNotAllAssociatedWithSegments", "POST", "/subnets", object{"subnet": object{"network_id": n, "ip_version": 4, "cidr": "10.9.0.0/24"}})
	e.refused(http.StatusNotFound, "SegmentNotFound", "POST", "/subnets", object{"subnet": object{"network_id": n, "ip_version": 4, "cidr": "10.9.0.0/24", "segment_id": randomUUID().String()}})
	e.refused(http.StatusBadRequest, "SubnetSegmentAssociationChangeNotAllowed", "PUT", "/subnets/"+subnets[0], object{"subnet": object{"segment_id": segments[1]}})
	other := e.create("network", object{"name": "flat one"})
	e.refused(http.StatusBadRequest, "NetworkIdsDontMatch", "POST", "/subnets", object{"subnet": object{"network_id": other["id"], "ip_version": 4, "cidr": "10.9.0.0/24", "segment_id": segments[0]}})
	s := e.create("subnet", object{"network_id": other["id"], "ip_version": 4, "cidr": "10.9.0.0/24"})
	own := e.list("/segments?network_id=" + other["id"].(string))[0].(object)
	e.must(http.StatusOK, "PUT", "/subnets/"+s["id"].(string), object{"subnet": object{"segment_id": own["id"]}})
}

func TestPeerRoutes(t *testing.T) {
	e, _, _, subnets := newRouted(t)
	routes := func(i int) string {
		return fmt.Sprint(e.show("/subnets/" + subnets[i])["host_routes"])
	}
	if got, want := routes(0), "[map[destination:10.0.1.0/24 nexthop:10.0.0.1]]"; got != want {
		t.Errorf("routes of the first subnet: %s, want %s", got, want)
	}
	e.must(http.StatusOK, "PUT", "/subnets/"+subnets[0], object{"subnet": object{"gateway_ip": "10.0.0.254", "allocation_pools": []object{{"start": "10.0.0.2", "end": "10.0.0.9"}}}})
	if got, want := routes(0), "[map[destination:10.0.1.0/24 nexthop:10.0.0.254]]"; got != want {
		t.Errorf("routes by the new gateway: %s, want %s", got, want)
	}
	e.must(http.StatusNoContent, "DELETE", "/subnets/"+subnets[1], nil)
	if got := routes(0); got != "[]" {
		t.Errorf("routes to a deleted peer: %s", got)
	}
}

func TestSegmentRanges(t *testing.T) {
	e := newEnv(t, nil)
	e.write(e.rules.SyncSegmentRanges)
	e.write(e.rules.SyncSegmentRanges)
	all := e.list("/network_segment_ranges?network_type=vxlan")
	if len(all) != 1 {
		t.Fatalf("default ranges of vxlan: %v", all)
	}
	def := all[0].(object)
	if def["default"] != true || def["minimum"] != 1.0 || def["maximum"] != 5000.0 || len(def["available"].([]any)) != 5000 {
		t.Errorf("default range: %v", def["default"])
	}
	e.refused(http.StatusBadRequest, "NetworkSegmentRangeDefaultReadOnly", "DELETE", "/network_segment_ranges/"+def["id"].(string), nil)
	own := e.create("network_segment_range", object{"shared": false, "project_id": "p", "network_type": "vxlan", "minimum": 100, "maximum": 101})
	path := "/network_segment_ranges/" + own["id"].(string)
	e.refused(http.StatusConflict, "NetworkSegmentRangeOverlaps", "POST", "/network_segment_ranges", object{"network_segment_range": object{"network_type": "vxlan", "minimum": 101, "maximum": 102}})
	e.refused(http.StatusBadRequest, "BadRequest", "POST", "/network_segment_ranges", object{"network_segment_range": object{"network_type": "vlan", "minimum": 1, "maximum": 2}})
	e.refused(http.StatusBadRequest, "NetworkTunnelRangeError", "POST", "/network_segment_ranges", object{"network_segment_range": object{"network_type": "vxlan", "minimum": 9, "maximum": 2}})
	e.refused(http.StatusBadRequest, "NetworkSegmentRangeNetTypeNotSupported", "POST", "/network_segment_ranges", object{"network_segment_range": object{"network_type": "geneve", "minimum": 1, "maximum": 2}})
	seen := map[float64]bool{}
	for range 3 {
		n := e.as("p").create("network", object{})
		seen[e.show("/networks/" + n["id"].(string))["provider:segmentation_id"].(float64)] = true
	}
	if !seen[100] || !seen[101] || len(seen) != 3 {
		t.Errorf("networks of a project with a range 100-101 got %v", seen)
	}
	if used := e.show(path)["used"].(object); used["100"] != "p" || used["101"] != "p" {
		t.Errorf("used: %v", used)
	}
	e.refused(http.StatusConflict, "NetworkSegmentRangeReferencedByProject", "PUT", path, object{"network_segment_range": object{"minimum": 101}})
	e.refused(http.StatusConflict, "NetworkSegmentRangeReferencedByProject", "DELETE", path, nil)
	e.must(http.StatusOK, "PUT", path, object{"network_segment_range": object{"name": "mine", "minimum": 90, "maximum": 110}})
	e.as("p").refused(http.StatusNotFound, "HTTPNotFound", "GET", path, nil)
}

// TestSegmentRangeOfOthers fills the shared range but for another project's part of it, which nobody else gets.
func TestSegmentRangeOfOthers(t *testing.T) {
	e := newEnv(t, func(c *rules.Config) { c.VNIRanges = []rules.Range{{Min: 1, Max: 4}} })
	e.create("network_segment_range", object{"shared": false, "project_id": "p", "network_type": "vxlan", "minimum": 2, "maximum": 3})
	for range 2 {
		e.create("network", object{})
	}
	e.refused(http.StatusServiceUnavailable, "NoNetworkAvailable", "POST", "/networks", object{"network": object{}})
}

// A network of one VLAN may get another id, with its ports; nothing else of its carrier changes.
func TestVLANChanges(t *testing.T) {
	e := newEnv(t, nil)
	make := func(id int) string {
		return e.create("network", object{"provider:network_type": "vlan", "provider:physical_network": "physnet1", "provider:segmentation_id": id, "mtu": 1400})["id"].(string)
	}
	a, b := make(1100), make(1200)
	e.create("port", object{"network_id": a})
	put := func(attrs object) object { return object{"network": attrs} }
	if got := e.must(http.StatusOK, "PUT", "/networks/"+a, put(object{"provider:segmentation_id": 1300}))["provider:segmentation_id"]; got != 1300.0 {
		t.Errorf("the id is %v", got)
	}
	e.must(http.StatusOK, "PUT", "/networks/"+b, put(object{"provider:segmentation_id": 1100, "provider:network_type": "vlan"})) // free again
	e.refused(http.StatusConflict, "VlanIdInUse", "PUT", "/networks/"+a, put(object{"provider:segmentation_id": 1100}))
	e.refused(http.StatusBadRequest, "InvalidInput", "PUT", "/networks/"+a, put(object{"provider:segmentation_id": 5000}))
	e.refused(http.StatusBadRequest, "InvalidInput", "PUT", "/networks/"+a, put(object{"provider:physical_network": "physnet2"}))
	e.refused(http.StatusBadRequest, "InvalidInput", "PUT", "/networks/"+e.network("tunnelled"), put(object{"provider:segmentation_id": 7}))
	if got := e.show("/networks/" + a)["provider:segmentation_id"]; got != 1300.0 {
		t.Errorf("after refusals the id is %v", got)
	}
	e.refused(http.StatusConflict, "NeutronDbObjectDuplicateEntry", "POST", "/segments", object{"segment": object{"network_id": a, "network_type": "vlan", "physical_network": "physnet1"}})
	e.must(http.StatusCreated, "POST", "/segments", object{"segment": object{"network_id": a, "network_type": "vxlan"}})
	e.refused(http.StatusBadRequest, "InvalidInput", "PUT", "/networks/"+a, put(object{"provider:segmentation_id": 1400}))
}
