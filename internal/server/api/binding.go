package api

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

// bindingShape is what a body about a binding may have; it reads bodies and queries, and has no objects.
func bindingShape() *Resource[rules.BindingRequest, none] {
	type T = rules.BindingRequest
	type X = none
	r := &Resource[T, X]{single: true, name: "binding", plural: "bindings", word: "Binding", source: source[T]{clone: clone[T]},
		create: func(*world.Tx, *rules.Actor, *T, *X) error { return nil }}
	r.add(&attr[T, X]{name: "host", append: func(b []byte, _ *T, _ *View) []byte { return b }}).must().inPut().convert(func(v Value) (assign[T, X], error) {
		return func(q *T, _ *X) {
			if v.kind == isString && len(v.text) <= 255 {
				q.Host = v.text // what else there is no host is called, which is found when the port is known
			}
		}, nil
	}).filter = anyBinding
	for _, name := range []string{"vif_type", "vif_details", "status"} {
		a := r.derived(name, func(b []byte, _ *T, _ *View) []byte { return b })
		if name != "vif_details" {
			a.filter = anyBinding
		}
	}
	r.input("vnic_type", func(v Value) (assign[T, X], error) {
		return func(q *T, _ *X) { q.VNICType = rules.Some(v.text) }, checkVNIC(v)
	}).rw().filter = anyBinding
	r.input("profile", func(v Value) (assign[T, X], error) {
		raw, err := dictValue(v)
		return func(q *T, _ *X) { q.Profile = rules.Some(raw) }, err
	}).rw()
	ignoredOwner(r)
	r.compiled()
	return r
}

// portBindings answers /ports/ID/bindings: where a port is and where a live migration may take it. Administrators and
// services only.
func portBindings(c *call, r *ports, shape *Resource[rules.BindingRequest, none], id string, rest []string) error {
	if err := shape.wellFormed(c, rest); err != nil { // as Neutron, which reads the body before it looks for the port
		return err
	}
	if p, _, err := r.object(c, id); err != nil {
		return err
	} else if err := rules.CheckCompute(p); err != nil {
		return err
	}
	if len(rest) == 0 && (c.r.Method == http.MethodPut || c.r.Method == http.MethodDelete) {
		p, x, err := r.object(c, id)
		if err == nil {
			_, err = rules.FindBinding(x.W, p, id) // Neutron looks for the one of the parent's id
		}
		return cmp.Or(err, error(errMethod))
	}
	if !c.may.Service() {
		return model.Errf(model.KindForbidden, "PolicyNotAuthorized", "rule:port_bindings is disallowed by policy: it is for administrators and services")
	}
	host := ""
	if len(rest) > 0 {
		var err error
		if host, err = url.PathUnescape(rest[0]); err != nil {
			return errNoPath
		}
	}
	ru := c.s.deps.Rules
	switch {
	case len(rest) == 0 && c.r.Method == http.MethodGet:
		return listBindings(c, r, id)
	case len(rest) == 0 && c.r.Method == http.MethodPost:
		q, err := readBinding(c, shape, host)
		if err != nil {
			return err
		}
		return writeBinding(c, r, id, q, ru.CreateBinding)
	case len(rest) == 1 && c.r.Method == http.MethodGet:
		p, x, err := r.object(c, id)
		if err != nil {
			return err
		}
		b, err := rules.FindBinding(x.W, p, host)
		if err != nil {
			return err
		}
		c.reply(http.StatusOK, append(appendBinding(append(c.buffer(), `{"binding": `...), b), '}'))
		return nil
	case len(rest) == 1 && c.r.Method == http.MethodPut:
		q, err := readBinding(c, shape, host)
		if err != nil {
			return err
		}
		return writeBinding(c, r, id, q, ru.UpdateBinding)
	case len(rest) == 1 && c.r.Method == http.MethodDelete:
		_, err := r.change(c, id, "delete_port_binding", func(tx *world.Tx, p *model.Port) error { return ru.DeleteBinding(tx, p, host) })
		if err == nil {
			c.reply(http.StatusNoContent, nil)
		}
		return err
	case len(rest) == 2 && rest[1] == "activate" && c.r.Method == http.MethodPut:
		return activateBinding(c, r, id, host)
	case len(rest) > 2 || (len(rest) == 2 && rest[1] != "activate"):
		return errNoPath
	}
	return errMethod
}

func appendBinding(b []byte, v *model.PortBinding) []byte {
	b = appendString(append(b, `{"host": `...), v.Host)
	b = appendString(append(b, `, "vif_type": `...), v.VIFType)
	b = appendRaw(append(b, `, "vif_details": `...), v.VIFDetails)
	b = appendString(append(b, `, "vnic_type": `...), v.VNICType)
	b = appendRaw(append(b, `, "profile": `...), v.Profile)
	return append(appendString(append(b, `, "status": `...), v.Status), '}')
}

func listBindings(c *call, r *ports, id string) error {
	p, x, err := r.object(c, id)
	if err != nil {
		return err
	}
	q, err := parseQuery(c.r.URL.RawQuery, 0)
	if err != nil {
		return err
	}
	found := slices.DeleteFunc(rules.PortBindings(x.W, p), func(b *model.PortBinding) bool { return !bindingMatches(b, q) })
	b := appendList(append(c.buffer(), `{"bindings": `...), found, appendBinding)
	c.reply(http.StatusOK, append(b, '}'))
	return nil
}

// anyBinding is the filter of what has no objects; bindingMatches is the one that is used.
func anyBinding(*View, []string) (func(*rules.BindingRequest) bool, error) {
	return func(*rules.BindingRequest) bool { return true }, nil
}

// bindingMatches reports whether a binding is what a list is asked for.
func bindingMatches(b *model.PortBinding, q *query) bool {
	is := map[string]string{"host": b.Host, "vif_type": b.VIFType, "vnic_type": b.VNICType, "status": b.Status}
	return !slices.ContainsFunc(q.filters, func(f filterParam) bool { return !slices.Contains(f.values, is[f.name]) })
}

// writeBinding answers POST and PUT.
func writeBinding(c *call, r *ports, id string, q rules.BindingRequest, rule func(*world.Tx, *model.Port, rules.BindingRequest) error) error {
	w, err := r.change(c, id, "write_port_binding", func(tx *world.Tx, p *model.Port) error { return rule(tx, p, q) })
	if err != nil {
		return err
	}
	b, err := rules.FindBinding(w, r.source.get(w, idOf(id)), q.Host)
	if err != nil {
		return err
	}
	code := http.StatusOK
	if c.r.Method == http.MethodPost {
		code = http.StatusCreated
	}
	c.reply(code, append(appendBinding(append(c.buffer(), `{"binding": `...), b), '}'))
	return nil
}

// readBinding reads what a body asks of one binding; host is empty for POST, whose body names it.
func readBinding(c *call, shape *Resource[rules.BindingRequest, none], host string) (rules.BindingRequest, error) {
	var want *wanted[*rules.BindingRequest, *none]
	var err error
	if host == "" {
		var list []*wanted[*rules.BindingRequest, *none]
		if list, _, err = shape.readCreate(c); err == nil && len(list) == 1 {
			want = list[0]
		} else if err == nil {
			err = badRequest("Bindings are made one at a time")
		}
	} else {
		want, err = shape.readUpdate(c)
	}
	if err != nil {
		return rules.BindingRequest{}, err
	}
	q, _ := shape.make(want, nil)
	if host != "" {
		q.Host = host
	}
	if q.Host == "" {
		return *q, badRequest("Invalid input for host. Reason: it must be the name of a host.")
	}
	return *q, nil
}

// activateBinding answers PUT …/activate, whose answer has no envelope.
func activateBinding(c *call, r *ports, id, host string) error {
	w, err := r.change(c, id, "activate_port_binding", func(tx *world.Tx, p *model.Port) error {
		return c.s.deps.Rules.ActivateBinding(tx, p, host)
	})
	if err != nil {
		return err
	}
	b, err := rules.FindBinding(w, r.source.get(w, idOf(id)), host)
	if err != nil {
		return err
	}
	c.reply(http.StatusOK, appendBinding(c.buffer(), b))
	return nil
}
