package api

import (
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// act runs an action, PUT /things/ID/ACTION, as one transaction. As in Neutron, whose engine hands the body to the rule as
// it is, the object is looked for first, then policy is asked, and what is in the body is read last, by do. Only a body that is no JSON is refused before; one that is no object has no members.
func (r *resource[P, E]) act(c *call, id, op string, do func(tx *world.Tx, v P, body Value) error) (*world.World, error) {
	body, err := c.json()
	if err != nil && !errors.Is(err, errEmpty) { // no body has no members either
		return nil, err
	}
	return r.change(c, id, op, func(tx *world.Tx, v P) error {
		if err := r.allowed(c.viewOf(&tx.World), op, nil, v); err != nil {
			return err
		}
		return do(tx, v, body)
	})
}

// core tells whether the request is for a collection that Neutron serves by its newer way: its core and a few newer parts.
// There the object is looked for before it is found that a body says nothing, and filters are tested for one object, too.
func (c *call) core() bool {
	if strings.HasSuffix(c.r.URL.Path, "/") || strings.Contains(c.r.URL.Path, "//") {
		return true // the older way knows no such path
	}
	path := strings.Split(strings.TrimSuffix(strings.Trim(strings.TrimPrefix(c.r.URL.Path, "/v2.0"), "/"), ".json"), "/")
	if len(path) >= 4 && path[0] == "qos" && (path[3] == "minimum_packet_rate_rules" || path[3] == "packet_rate_limit_rules") {
		return true
	}
	return len(path) <= 2 && slices.Contains([]string{"networks", "subnets", "ports", "network_segment_ranges", "local_ips", "ndp_proxies"},
		strings.ReplaceAll(path[0], "-", "_"))
}

// malformed answers a body that is no JSON. Neutron has two readers of bodies: one for its core, another for everything else and for
// what is beneath an object.
func (c *call) malformed() error {
	if c.core() {
		return errNoObject
	}
	return model.Errf(model.KindInvalid, "MalformedRequestBody", "Malformed request body: Cannot understand JSON.")
}

// errNoObject answers a body that is JSON but has no attributes.
var errNoObject = badRequest("Body contains invalid data")

// errEmpty answers a body that has nothing.
var errEmpty = badRequest("Resource body required")

// errDeleteBody answers a DELETE with a body.
var errDeleteBody = badRequest("Request body is not supported in DELETE.")

// refuseBody is the fault of a body that should not be: Neutron reads it all the same.
func (c *call) refuseBody() error {
	if _, err := c.json(); err != nil {
		return err
	}
	return errDeleteBody
}

// sendsBody reports whether the request has a body, and reads nothing more of it.
func (c *call) sendsBody() (bool, error) {
	if c.r.ContentLength >= 0 {
		return c.r.ContentLength > 0, nil
	}
	n, err := c.r.Body.Read(make([]byte, 1))
	if n == 0 && err != nil && !errors.Is(err, io.EOF) {
		return false, badRequest("The body could not be read: %v", err)
	}
	return n > 0, nil
}
