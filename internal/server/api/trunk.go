package api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

type trunks = Resource[model.Trunk, rules.TrunkExtra]

func trunkResource(ru *rules.Rules) *trunks {
	type T = model.Trunk
	r := &trunks{
		single: true, name: "trunk", plural: "trunks", word: "Trunk", quota: model.KindTrunk, tagged: true,
		source:     table(func(w *world.World) *world.Table[model.TrunkID, T] { return &w.Trunks.Table }),
		id:         func(t *T) model.UUID { return t.ID.UUID },
		meta:       func(t *T) *model.Meta { return &t.Meta },
		project:    func(t *T) string { return t.ProjectID },
		setProject: func(t *T, p string) { t.ProjectID = p },
		create:     ru.CreateTrunk,
		update: func(tx *world.Tx, by *rules.Actor, c Change[T, rules.TrunkExtra]) error {
			return ru.UpdateTrunk(tx, by, c.Old, c.New, c.X)
		},
		remove: ru.DeleteTrunk,
		indexes: []index[T]{
			{"project_id", func(w *world.World, v string) rows[T] { return w.Trunks.ByProject(v) }},
			{"tenant_id", func(w *world.World, v string) rows[T] { return w.Trunks.ByProject(v) }},
		},
	}
	r.identified()
	r.text("name", func(t *T) *string { return &t.Name }).rw()
	r.owned()
	r.uuid("port_id", func(t *T) *model.UUID { return &t.PortID.UUID }).must()
	r.flag("admin_state_up", func(t *T) *bool { return &t.AdminStateUp }).rw().
		initially(func(t *T, _ *rules.TrunkExtra) { t.AdminStateUp = true })
	r.text("status", func(t *T) *string { return &t.Status })
	subPorts := r.derived("sub_ports", func(b []byte, t *T, _ *View) []byte { return appendSubPorts(b, t, nil) }).inPost().
		guard("port_id", "segmentation_type", "segmentation_id")
	subPorts.explicit = func(v Value) bool { return len(v.items) > 0 }
	subPorts.
		convert(func(v Value) (assign[T, rules.TrunkExtra], error) {
			list, err := subPortsValue(v)
			if why, is := err.(reason); is && !strings.HasSuffix(string(why), ".") {
				err = why + "."
			}
			return func(_ *T, x *rules.TrunkExtra) { x.SubPorts = list }, err
		})
	r.standard()
	r.actions = map[string]func(c *call, id string) error{
		"add_subports": func(c *call, id string) error {
			return changeSubPorts(c, r, id, "add_subports", func(tx *world.Tx, t *T, body Value) error {
				list, err := sentSubPorts(body)
				if err != nil {
					return err
				}
				return ru.AddSubPorts(tx, c.by, t, list)
			})
		},
		"remove_subports": func(c *call, id string) error {
			return changeSubPorts(c, r, id, "remove_subports", func(tx *world.Tx, t *T, body Value) error {
				if err := rules.CheckTrunk(t); err != nil {
					return err
				}
				list, err := sentSubPorts(body)
				if err != nil {
					return err
				}
				return ru.RemoveSubPorts(tx, t, list)
			})
		},
	}
	r.subs = map[string]func(c *call, id string, rest []string) error{
		"get_subports": func(c *call, id string, _ []string) error {
			if c.r.Method != http.MethodGet {
				return errMethod
			}
			t, _, err := r.object(c, id)
			if err != nil {
				return err
			}
			c.reply(http.StatusOK, append(appendSubPorts(append(c.buffer(), `{"sub_ports": `...), t, nil), '}'))
			return nil
		},
	}
	return r
}

// appendSubPorts shows a trunk's subports; with a world, together with their MACs.
func appendSubPorts(b []byte, t *model.Trunk, w *world.World) []byte {
	return appendList(b, t.SubPorts, func(b []byte, s model.SubPort) []byte {
		b = appendUUID(append(b, `{"port_id": `...), s.PortID.UUID)
		b = appendString(append(b, `, "segmentation_type": `...), s.Type)
		b = strconv.AppendInt(append(b, `, "segmentation_id": `...), int64(s.Tag), 10)
		if w != nil {
			b = append(b, `, "mac_address": `...)
			if p := w.Ports.Get(s.PortID); p != nil {
				b = appendMAC(b, p.MAC)
			} else {
				b = append(b, "null"...)
			}
		}
		return append(b, '}')
	})
}

// trunkDetails declares what a port shows of the trunk whose parent it is.
func trunkDetails(r *ports) {
	r.derived("trunk_details", func(b []byte, p *model.Port, x *View) []byte {
		t := x.W.Trunks.ByParent(p.ID)
		b = appendUUID(append(b, `{"trunk_id": `...), t.ID.UUID)
		return append(appendSubPorts(append(b, `, "sub_ports": `...), t, x.W), '}')
	}).when(func(p *model.Port, x *View) bool { return x.W.Trunks.ByParent(p.ID) != nil })
}

// subPortsValue reads sub_ports, with the tests and in the order of validate_subports in neutron_lib/api/validators.
func subPortsValue(v Value) ([]rules.SubPortRequest, error) {
	if v.kind != isList {
		return nil, reasonf("Invalid data format for subports: '%s' is not a list", v)
	}
	var out []rules.SubPortRequest
	inherits := false // then Neutron looks at no further subport
	for _, item := range v.items {
		s, err := subPortValue(item)
		if err != nil {
			return nil, err
		}
		typ, _ := item.get("segmentation_type")
		tag, _ := item.get("segmentation_id")
		inherits = inherits || typ.text == model.SegmentInherit
		for _, o := range out {
			if o.PortID == s.PortID {
				return nil, reasonf("Non unique UUID for subport: '%s'", s.PortID)
			}
			if !inherits && s.Incomplete == nil && o.Incomplete == nil && o.Type == s.Type && o.Tag == s.Tag {
				return nil, reasonf("Segmentation ID '%d' for '%s' is not unique", s.Tag, s.PortID)
			}
		}
		if !inherits && (typ.text == "" || tag.kind == isNull) && len(item.members) > 1 {
			return nil, reasonf("%s", missingSegmentation(item))
		}
		out = append(out, s)
	}
	return out, nil
}

func missingSegmentation(item Value) string {
	return fmt.Sprintf("Invalid subport details '%s': missing segmentation information. Must specify both segmentation_id and segmentation_type", item)
}

func subPortValue(item Value) (s rules.SubPortRequest, err error) {
	if item.kind != isObject {
		return s, reasonf("Invalid data format for subport: '%s' is not a dict", item)
	}
	id, ok := item.get("port_id")
	if !ok {
		return s, reasonf("A valid port UUID must be specified")
	}
	if s.PortID.UUID, err = uuidValue(id, false); err != nil {
		return s, reasonf("Invalid UUID for subport: '%s'", id)
	}
	typ, hasType := item.get("segmentation_type")
	tag, hasTag := item.get("segmentation_id")
	s.Type = typ.text
	if !hasType || !hasTag {
		s.Incomplete = model.Invalid("%s.", missingSegmentation(item))
		return s, nil
	}
	n, err := intValue(tag)
	if err != nil {
		s.Incomplete = model.Invalid("Invalid subport details: segmentation_id '%s' is not an integer.", tag)
		return s, nil
	}
	s.Tag = int(min(max(n, -1), 1<<31-1)) // what is beyond is refused as out of range
	return s, nil
}

// sentSubPorts reads what an action was sent.
func sentSubPorts(body Value) ([]rules.SubPortRequest, error) {
	v, ok := body.get("sub_ports")
	if !ok {
		return nil, badRequest("Invalid input for sub_ports. Reason: the body must have sub_ports.")
	}
	list, err := subPortsValue(v)
	if err != nil {
		return nil, model.Invalid("%s.", err)
	}
	return list, nil
}

// changeSubPorts answers add_subports and remove_subports with the trunk, without an envelope.
func changeSubPorts(c *call, r *trunks, id, op string, rule func(*world.Tx, *model.Trunk, Value) error) error {
	w, err := r.act(c, id, op, rule)
	if err != nil {
		return err
	}
	if op == "add_subports" {
		c.warn(w, r.source.get(w, idOf(id)), nil)
	}
	x := c.viewOf(w)
	c.reply(http.StatusOK, r.encode(c.buffer(), r.source.get(w, idOf(id)), x, r.mask(x, nil)))
	return nil
}
