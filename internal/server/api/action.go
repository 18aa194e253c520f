package api

import (
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

// errNoObject answers a body that is JSON but has no attributes.
var errNoObject = badRequest("Body contains invalid data")
