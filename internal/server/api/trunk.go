package api

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

type trunks = Resource[model.Trunk, rules.TrunkExtra]

func trunkResource(ru *rules.Rules) *trunks {
	type T = model.Trunk
	r := &trunks{
		name: "trunk", plural: "trunks", word: "Trunk", quota: model.KindTrunk, tagged: true,
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
	r.derived("sub_ports", func(b []byte, t *T, _ *View) []byte { return appendSubPorts(b, t, nil) }).inPost().
		convert(func(v Value) (assign[T, rules.TrunkExtra], error) {
			list, err := subPortsValue(v, true)
			return func(_ *T, x *rules.TrunkExtra) { x.SubPorts = list }, err
		})
	r.standard()
	r.actions = map[string]func(c *call, id string) error{
		"add_subports": func(c *call, id string) error {
			return changeSubPorts(c, r, id, "add_subports", func(tx *world.Tx, t *T, list []model.SubPort) error {
				return ru.AddSubPorts(tx, c.by, t, list)
			})
		},
		"remove_subports": func(c *call, id string) error {
			return changeSubPorts(c, r, id, "remove_subports", ru.RemoveSubPorts)
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

// subPortsValue reads sub_ports; whole: with the segmentation.
func subPortsValue(v Value, whole bool) ([]model.SubPort, error) {
	if v.kind == isNull {
		return nil, nil
	}
	if v.kind != isList {
		return nil, reasonf("Invalid data format for subports: '%s' is not a list", v)
	}
	var out []model.SubPort
	for _, item := range v.items {
		s, err := subPortValue(item, whole)
		if err != nil {
			return nil, err
		}
		for _, o := range out {
			if o.PortID == s.PortID {
				return nil, reasonf("Invalid data format for subports: port ID '%s' is listed twice", s.PortID)
			}
			if whole && s.Type != model.SegmentInherit && o.Type == s.Type && o.Tag == s.Tag {
				return nil, reasonf("Segmentation ID %d on '%s' is not unique.", s.Tag, s.Type)
			}
		}
		out = append(out, s)
	}
	return out, nil
}

func subPortValue(item Value, whole bool) (s model.SubPort, err error) {
	if item.kind != isObject {
		return s, reasonf("Invalid data format for subports: '%s' is not a dictionary", item)
	}
	known := []string{"port_id", "segmentation_type", "segmentation_id"}
	for _, m := range item.members {
		if whole && !slices.Contains(known, m.name) {
			return s, reasonf("Invalid subport details '%s': '%s' is not a key of a subport", item, m.name)
		}
	}
	id, _ := item.get("port_id")
	if s.PortID.UUID, err = uuidValue(id, false); err != nil {
		return s, reasonf("A valid port UUID must be specified: '%s'", id)
	}
	if !whole {
		return s, nil
	}
	typ, hasType := item.get("segmentation_type")
	tag, hasTag := item.get("segmentation_id")
	s.Type = typ.text
	if s.Type == model.SegmentInherit && (!hasTag || tag.kind == isNull) {
		return s, nil
	}
	if !hasType || !hasTag {
		return s, reasonf("Invalid subport details '%s': missing segmentation information. Must specify both segmentation_id and segmentation_type", item)
	}
	n, err := intValue(tag)
	if err != nil {
		return s, reasonf("Invalid subport details: segmentation_id '%s' is not an integer", tag)
	}
	if n < 0 || n > 1<<31-1 {
		return s, reasonf("Segmentation ID '%d' must be a positive integer.", n)
	}
	s.Tag = int(n)
	return s, nil
}

// changeSubPorts answers add_subports and remove_subports with the trunk, without an envelope.
func changeSubPorts(c *call, r *trunks, id, op string, rule func(*world.Tx, *model.Trunk, []model.SubPort) error) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	v, ok := body.get("sub_ports")
	if !ok {
		return badRequest("Invalid input for sub_ports. Reason: the body must have sub_ports.")
	}
	list, err := subPortsValue(v, op == "add_subports")
	if err != nil {
		return badRequest("Invalid input for sub_ports. Reason: %s.", err)
	}
	w, err := r.change(c, id, op, func(tx *world.Tx, t *model.Trunk) error {
		if err := r.allowed(c.viewOf(&tx.World), op, nil, t); err != nil {
			return err
		}
		return rule(tx, t, list)
	})
	if err != nil {
		return err
	}
	x := c.viewOf(w)
	c.reply(http.StatusOK, r.encode(c.buffer(), r.source.get(w, idOf(id)), x, r.mask(x, nil)))
	return nil
}
