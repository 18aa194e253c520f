package api_test

import (
	"slices"
	"testing"

	"github.com/weft-cloud/weft/internal/server/api"
)

// TestDescribe: what is nested is there by its parent's path, and attributes are told as they may be sent.
func TestDescribe(t *testing.T) {
	all := api.Describe()
	of := func(path, name string) api.AttributeDescription {
		t.Helper()
		i := slices.IndexFunc(all, func(d api.Description) bool { return d.Path == path })
		if i < 0 {
			t.Fatalf("nothing at %s", path)
		}
		j := slices.IndexFunc(all[i].Attributes, func(a api.AttributeDescription) bool { return a.Name == name })
		if j < 0 {
			t.Fatalf("%s has no %s", path, name)
		}
		return all[i].Attributes[j]
	}
	for _, c := range []struct {
		path string
		want api.AttributeDescription
	}{
		{"ports", api.AttributeDescription{Name: "network_id", Post: true, Required: true}},
		{"ports", api.AttributeDescription{Name: "status"}},
		{"networks", api.AttributeDescription{Name: "name", Post: true, Put: true}},
		{"qos/policies/{policy}/bandwidth_limit_rules", api.AttributeDescription{Name: "max_kbps", Post: true, Put: true, Required: true}},
	} {
		if got := of(c.path, c.want.Name); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.path, got, c.want)
		}
	}
	if len(all) < 35 {
		t.Errorf("%d resources are described", len(all))
	}
	for _, d := range all {
		t.Log(d.Path, d.Name, d.Plural, len(d.Attributes))
	}
}
