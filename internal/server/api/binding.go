package api

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

// portBindings answers /ports/ID/bindings: where a port is and where a live migration may take it. Administrators and
// services only.
func portBindings(c *call, r *ports, id string, rest []string) error {
	if len(rest) == 0 && c.r.Method == http.MethodPost {
		if _, err := readBinding(c, ""); err != nil { // as Neutron, which reads the body before it looks for the port
			return err
		}
	}
	if p, _, err := r.object(c, id); err != nil {
		return err
	} else if err := rules.CheckCompute(p); err != nil {
		return err
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
		return writeBinding(c, r, id, host, http.StatusCreated, ru.CreateBinding)
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
		return writeBinding(c, r, id, host, http.StatusOK, ru.UpdateBinding)
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
	b := appendList(append(c.buffer(), `{"bindings": `...), rules.PortBindings(x.W, p), appendBinding)
	c.reply(http.StatusOK, append(b, '}'))
	return nil
}

// writeBinding answers POST and PUT; host is empty for POST, whose body names it.
func writeBinding(c *call, r *ports, id, host string, code int, rule func(*world.Tx, *model.Port, rules.BindingRequest) error) error {
	q, err := readBinding(c, host)
	if err != nil {
		return err
	}
	w, err := r.change(c, id, "write_port_binding", func(tx *world.Tx, p *model.Port) error { return rule(tx, p, q) })
	if err != nil {
		return err
	}
	b, err := rules.FindBinding(w, r.source.get(w, idOf(id)), q.Host)
	if err != nil {
		return err
	}
	c.reply(code, append(appendBinding(append(c.buffer(), `{"binding": `...), b), '}'))
	return nil
}

func readBinding(c *call, host string) (rules.BindingRequest, error) {
	body, err := c.body()
	if err != nil {
		return rules.BindingRequest{}, err
	}
	v, ok := body.get("binding")
	if !ok || v.kind != isObject {
		return rules.BindingRequest{}, badRequest("Unable to find 'binding' in request body")
	}
	return bindingValue(v, host)
}

func bindingValue(v Value, host string) (rules.BindingRequest, error) {
	q := rules.BindingRequest{Host: host}
	for _, m := range v.members {
		var err error
		switch {
		case m.name == "host" && host == "":
			q.Host, err = textValue(m.value, 255)
		case m.name == "vnic_type":
			err = checkVNIC(m.value)
			q.VNICType = rules.Some(m.value.text)
		case m.name == "profile":
			var raw json.RawMessage
			raw, err = dictValue(m.value)
			q.Profile = rules.Some(raw)
		default:
			return q, badRequest("Unrecognized attribute(s) '%s'", m.name)
		}
		if err != nil {
			return q, badRequest("Invalid input for %s. Reason: %s", m.name, err)
		}
	}
	if q.Host == "" {
		return q, badRequest("Failed to parse request. Required attribute 'host' not specified")
	}
	return q, nil
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
