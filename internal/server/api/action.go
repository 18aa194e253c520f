package api

import (
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// act runs an action, PUT /things/ID/ACTION, as one transaction. As in Neutron, whose engine hands the body to the rule as
// it is, the object is looked for first, then policy is asked, and what is in the body is read last, by do. Only a body that is no JSON is refused before; one that is no object has no members.
func (r *resource[P, E]) act(c *call, id, op string, do func(tx *world.Tx, v P, body Value) error) (*world.World, error) {
	body, err := c.json()
	if err != nil {
		return nil, err
	}
	return r.change(c, id, op, func(tx *world.Tx, v P) error {
		if err := r.allowed(c.viewOf(&tx.World), op, nil, v); err != nil {
			return err
		}
		return do(tx, v, body)
	})
}

// malformed answers a body that is no JSON. Neutron has two readers of bodies: one for what its core and a few newer parts
// serve, another for everything else and for what is beneath an object.
func (c *call) malformed() error {
	switch path := strings.Split(strings.Trim(strings.TrimPrefix(c.r.URL.Path, "/v2.0"), "/"), "/"); {
	case len(path) > 2:
	case slices.Contains([]string{"networks", "subnets", "ports", "network_segment_ranges", "local_ips", "ndp_proxies"}, path[0]):
		return errNoObject
	}
	return model.Errf(model.KindInvalid, "MalformedRequestBody", "Malformed request body: Cannot understand JSON.")
}

// errNoObject answers a body that is JSON but has no attributes.
var errNoObject = badRequest("Body contains invalid data")
