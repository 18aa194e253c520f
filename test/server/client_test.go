package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/test/rig"
)

// thing is an object that a client asked for, and what the client was told of it.
type thing struct {
	kind, name, id string
	parent         *thing // goes with it
	fate           fate
	// said are the descriptions that it may have: one, or several after a request without answer.
	said []string
}

type fate int

const (
	absent  fate = iota // certainly not there: refused, or deleted
	present             // certainly there
	unknown             // nobody was told
)

// there is the thing's fate in view of what it goes with.
func (t *thing) there() fate {
	if t.parent != nil && t.fate != absent {
		switch p := t.parent.there(); {
		case p == absent:
			return absent
		case p == unknown:
			return unknown
		}
	}
	return t.fate
}

// proxied is the port and the address of an NDP proxy.
type proxied struct{ port, addr string }

// client makes random calls and keeps account of what it was told. It changes and deletes only what is its own, so that it
// knows what must be there.
type client struct {
	s      *rig.Server
	n      int
	r      *rand.Rand
	things []*thing
	extra  []string // paths of objects that go by another account, to delete them by
	// standing are those of extra that were acknowledged and that it has not asked to delete; proxied what NDP proxies stand on, by id.
	standing map[string]bool
	proxied  map[string]proxied
	made     int
	last     uint64 // the newest revision that it was told
	at       *place // nil: it makes no stories
	routes   []route
	limits   []float64 // what its project's quota of ports may be; empty: the default
	// answered counts answers by status; 0: none.
	answered map[int]int
	// went counts what was done, by method and the words of the path.
	went  map[string]int
	wrong []string
}

func newClient(s *rig.Server, n int, seed uint64) *client {
	return &client{s: s, n: n, r: rand.New(rand.NewPCG(seed, uint64(n))), answered: map[int]int{}, went: map[string]int{},
		standing: map[string]bool{}, proxied: map[string]proxied{}}
}

func (c *client) complain(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Sprintf("client %d: ", c.n)+fmt.Sprintf(format, args...))
}

// identifier is what stands for an object in a path.
var identifier = regexp.MustCompile(`/[0-9a-f]+-[0-9a-f-]+`)

// call sends a request as the client's own project. ok: there was an answer.
func (c *client) call(ctx context.Context, method, path string, body any) (a *rig.Answer, ok bool) {
	var err error
	var b []byte
	var sent io.Reader
	if body != nil {
		if b, err = json.Marshal(body); err != nil {
			panic(err)
		}
		sent = bytes.NewReader(b)
	}
	header := http.Header{"X-Project-Id": {fmt.Sprint("project-", c.n%3)}}
	if a, err = c.s.Send(ctx, method, "/v2.0"+path, sent, header); err != nil {
		c.answered[0]++
		return nil, false
	}
	c.answered[a.Status]++
	if a.Status < 300 {
		c.went[method+" "+identifier.ReplaceAllString(path, "")]++
	}
	if a.Status >= 500 && a.Status != http.StatusServiceUnavailable {
		c.complain("%s %s %s: %d %s", method, path, b, a.Status, a.Body)
	}
	return a, true
}

// wrote checks that revisions grow: what is written after an answer has a later one than the answer told.
func (c *client) wrote(o object) {
	n, ok := o["revision_number"].(float64)
	if !ok {
		return
	}
	if uint64(n) <= c.last {
		c.complain("%v was written with revision %v, after revision %d had been told", o["id"], n, c.last)
	}
	c.last = uint64(n)
}

// own is a random thing of its own of that kind which is there; nil if there is none.
func (c *client) own(kind string) *thing {
	var some []*thing
	for _, t := range c.things {
		if t.kind == kind && t.there() == present {
			some = append(some, t)
		}
	}
	if len(some) == 0 {
		return nil
	}
	return some[c.r.IntN(len(some))]
}

func (c *client) create(ctx context.Context, kind string, parent *thing, attrs object) *thing {
	c.made++
	t := &thing{kind: kind, name: fmt.Sprintf("c%d-%s-%d", c.n, kind, c.made), parent: parent, said: []string{""}}
	attrs["name"] = t.name
	c.things = append(c.things, t)
	a, ok := c.call(ctx, "POST", "/"+plural(kind), object{kind: attrs})
	switch {
	case !ok:
		t.fate = unknown
	case a.Status == http.StatusCreated:
		o, _ := a.Object()[kind].(object)
		t.id, _ = o["id"].(string)
		t.fate = present
		c.wrote(o)
	}
	return t
}

func plural(kind string) string {
	if kind == "policy" {
		return "qos/policies"
	}
	return strings.ReplaceAll(kind, "_", "-") + "s"
}

func (c *client) describe(ctx context.Context, t *thing) {
	c.made++
	text := fmt.Sprint("description ", c.made)
	a, ok := c.call(ctx, "PUT", "/"+plural(t.kind)+"/"+t.id, object{t.kind: object{"description": text}})
	switch {
	case !ok:
		t.said = append(t.said, text)
	case a.Status == http.StatusOK:
		t.said = []string{text}
		o, _ := a.Object()[t.kind].(object)
		c.wrote(o)
	case a.Status != http.StatusServiceUnavailable && a.Status != http.StatusConflict:
		c.complain("describe %s: %d %s", t.name, a.Status, a.Body)
	}
}

func (c *client) remove(ctx context.Context, t *thing) {
	a, ok := c.call(ctx, "DELETE", "/"+plural(t.kind)+"/"+t.id, nil)
	switch {
	case !ok:
		t.fate = unknown
	case a.Status == http.StatusNoContent:
		t.fate = absent
	case a.Status == http.StatusNotFound:
		c.complain("%s is not there: %s", t.name, a.Body)
	}
}

var kinds = []string{"network", "subnet", "port", "router", "floatingip", "security_group", "address_group", "policy"}

// step makes one random call.
func (c *client) step(ctx context.Context, outside string) {
	net := c.own("network")
	if c.at != nil && c.r.IntN(4) == 0 {
		c.story(ctx)
		return
	}
	switch what := c.r.IntN(30); {
	case net == nil || what == 0:
		c.create(ctx, "network", nil, object{})
	case what < 3:
		cidr := []string{"10.0.0.0/24", "10.0.1.0/24", "fd00::/64"}[c.r.IntN(3)]
		attrs := object{"network_id": net.id, "cidr": cidr, "ip_version": 4}
		if strings.Contains(cidr, ":") {
			attrs["ip_version"] = 6
		}
		c.create(ctx, "subnet", net, attrs)
	case what < 8:
		c.create(ctx, "port", nil, object{"network_id": net.id})
	case what == 8:
		c.create(ctx, "router", nil, object{})
	case what < 11:
		c.leg(ctx, outside)
	case what == 11:
		c.create(ctx, []string{"security_group", "address_group", "policy"}[c.r.IntN(3)], nil, object{})
	case what == 12:
		c.floating(ctx, outside)
	case what < 16:
		if t := c.own(kinds[c.r.IntN(len(kinds))]); t != nil {
			c.remove(ctx, t)
		}
	case what < 20:
		if t := c.own(kinds[c.r.IntN(len(kinds))]); t != nil {
			c.describe(ctx, t)
		}
	default:
		c.wild(ctx)
	}
}

// leg joins or parts a router and a subnet, or sets its gateway: the ports of that are nobody's own.
func (c *client) leg(ctx context.Context, outside string) {
	r, s := c.own("router"), c.own("subnet")
	if r == nil || s == nil {
		return
	}
	switch c.r.IntN(4) {
	case 0:
		c.call(ctx, "PUT", "/routers/"+r.id+"/remove_router_interface", object{"subnet_id": s.id})
	case 1:
		var info any
		if c.r.IntN(2) == 0 {
			info = object{"network_id": outside}
		}
		c.call(ctx, "PUT", "/routers/"+r.id, object{"router": object{"external_gateway_info": info}})
	default:
		c.call(ctx, "PUT", "/routers/"+r.id+"/add_router_interface", object{"subnet_id": s.id})
	}
}

// floating makes a floating IP, which has no name: its description stands for it.
func (c *client) floating(ctx context.Context, outside string) {
	c.made++
	t := &thing{kind: "floatingip", name: fmt.Sprintf("c%d-floatingip-%d", c.n, c.made)}
	t.said = []string{t.name}
	c.things = append(c.things, t)
	a, ok := c.call(ctx, "POST", "/floatingips", object{"floatingip": object{"floating_network_id": outside, "description": t.name}})
	switch {
	case !ok:
		t.fate = unknown
	case a.Status == http.StatusCreated:
		o, _ := a.Object()["floatingip"].(object)
		t.id, t.fate = o["id"].(string), present
		c.wrote(o)
	}
}

// check holds what the client was told against what there is, and settles what it did not know.
func (c *client) check(w *listed) (unanswered int) {
	for _, t := range c.things {
		o := w.find(t)
		want := t.there()
		switch {
		case want == present && o == nil:
			c.complain("%s was acknowledged and is not there", t.name)
		case want == absent && o != nil:
			c.complain("%s was refused or deleted and is there: %v", t.name, o)
		case o != nil && !slices.Contains(t.said, o["description"].(string)):
			c.complain("%s is described as %q, not as any of %q", t.name, o["description"], t.said)
		}
		if want == unknown && (o != nil) == (t.id == "") {
			unanswered++ // a creation or a deletion that was done and not answered
		}
		if o == nil {
			t.fate = absent
			continue
		}
		t.id, t.fate, t.said = o["id"].(string), present, []string{o["description"].(string)}
	}
	return unanswered
}
