package api

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

func uitoa(n uint64) string { return strconv.FormatUint(n, 10) }

// serve answers a request beneath the resource's path; rest is what follows the path.
func (r *resource[P, E]) serve(c *call, rest []string) error {
	if r.prepare != nil {
		if err := r.prepare(c); err != nil {
			return err
		}
	}
	if len(rest) > 0 && strings.Contains(rest[0], "%") {
		rest = slices.Clone(rest)
		if id, err := url.PathUnescape(rest[0]); err == nil {
			rest[0] = id // as it is told that it was not found
		}
	}
	switch {
	case len(rest) == 0:
		switch c.r.Method {
		case http.MethodGet:
			return r.list(c)
		case http.MethodPost:
			return r.doCreate(c)
		case http.MethodPut, http.MethodDelete:
			return r.changeAll(c)
		}
		return errMethod
	case len(rest) == 1:
		switch c.r.Method {
		case http.MethodGet:
			return r.show(c, rest[0])
		case http.MethodPut:
			return r.doUpdate(c, rest[0])
		case http.MethodDelete:
			return r.doDelete(c, rest[0])
		}
		return errMethod
	case len(rest) == 2 && r.actions[rest[1]] != nil:
		if c.r.Method != http.MethodPut {
			return errMethod
		}
		return r.actions[rest[1]](c, rest[0])
	case r.subs[rest[1]] != nil:
		return r.subs[rest[1]](c, rest[0], rest[2:])
	case r.tagged && rest[1] == "tags":
		return r.serveTags(c, rest[0], rest[2:])
	}
	return errNoPath
}

// changeAll answers a PUT or DELETE of a collection, which changes nothing. Neutron reads the body first, if there is one, and then
// looks for an object all the same: beneath a parent, by the parent's id.
func (r *resource[P, E]) changeAll(c *call) error {
	if err := r.readAll(c); err != nil {
		return err
	}
	return r.missingUnder(c.view(), cmp.Or(c.above, "None"))
}

// readAll reads the body of a PUT of a collection.
func (r *resource[P, E]) readAll(c *call) error {
	if c.r.Method != http.MethodPut {
		return nil
	}
	if _, err := c.json(); errors.Is(err, errEmpty) {
		return nil
	}
	_, err := r.readUpdate(c)
	return err
}

func (r *resource[P, E]) pathName() string { return r.path }

func (r *resource[P, E]) show(c *call, id string) error {
	q, err := parseQuery(c.r.URL.RawQuery, 0)
	x := c.view()
	if err == nil && c.core() {
		q.loose = c.s.deps.LooseFilters
		_, _, err = r.asked(x, q)
	}
	if err != nil {
		return err
	}
	x.One = true
	v, err := r.find(x, id)
	if err != nil {
		return err
	}
	r.answer(c, http.StatusOK, v, x, r.mask(x, q.fields))
	return nil
}

// answer writes one object in its envelope.
func (r *resource[P, E]) answer(c *call, code int, v P, x *View, m *mask) {
	b := append(append(c.buffer(), `{"`...), r.name...)
	b = r.encode(append(b, `": `...), v, x, m)
	if r.meta != nil && r.byName["revision_number"] != nil {
		// Weak: who asks and what is derived from other objects changes the answer, too. If-Match takes it as it is.
		c.w.Header().Set("Etag", `W/"revision_number=`+uitoa(r.meta(v).Revision)+`"`)
	}
	c.reply(code, append(b, '}'))
}

func (r *resource[P, E]) doCreate(c *call) error {
	if r.create == nil {
		return errMethod
	}
	objects, bulk, err := r.readCreate(c)
	if err == nil {
		err = c.checkIfMatch()
	}
	if err != nil {
		return err
	}
	ids := make([]model.UUID, len(objects))
	w, err := c.do("create_"+r.policy, func(tx *world.Tx) error {
		if err := r.checkPlace(c, tx, objects); err != nil {
			return err
		}
		if c.core() { // Neutron asks policy first of all else
			if err := r.checkQuota(c, tx, objects); err != nil {
				return err
			}
		}
		return r.createAll(c, tx, objects, ids)
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		c.warn(w, r.source.get(w, id), nil)
	}
	x := c.viewOf(w)
	x.Created = true
	m := r.mask(x, nil)
	if !bulk {
		r.answer(c, http.StatusCreated, r.source.get(w, ids[0]), x, m)
		return nil
	}
	b := append(append(c.buffer(), `{"`...), r.plural...)
	b = appendList(append(b, `": `...), ids, func(b []byte, id model.UUID) []byte {
		return r.encode(b, r.source.get(w, id), x, m)
	})
	c.reply(http.StatusCreated, append(b, '}'))
	return nil
}

// checkPlace tests where new objects are put by callers who may not put them anywhere.
func (r *resource[P, E]) checkPlace(c *call, tx *world.Tx, objects []*wanted[P, E]) error {
	if r.place == nil || c.by.Admin || c.by.AdvSvc {
		return nil
	}
	for _, o := range objects {
		var none P
		v, _ := r.make(o, none)
		if err := r.place(tx, c.by, v); err != nil {
			return err
		}
	}
	return nil
}

// createAll makes the objects of one request if policy allows them all, and notes their ids.
func (r *resource[P, E]) createAll(c *call, tx *world.Tx, objects []*wanted[P, E], ids []model.UUID) error {
	made, extra := make([]P, len(objects)), make([]E, len(objects))
	for i, o := range objects {
		var none P
		made[i], extra[i] = r.make(o, none)
		if r.bindParent != nil {
			r.bindParent(made[i], c.parent)
		}
		if err := r.allowed(c.viewOf(&tx.World), "create_"+r.policy, o.asked, made[i]); err != nil {
			return err
		}
		if o.late != nil {
			return o.late
		}
	}
	if !c.core() {
		if err := r.checkQuota(c, tx, objects); err != nil {
			return err
		}
	}
	if r.together != nil && len(made) > 1 {
		if err := r.together(made); err != nil {
			return err
		}
	}
	for i, v := range made {
		if err := r.create(tx, c.by, v, extra[i]); err != nil {
			return err
		}
		ids[i] = r.id(v)
	}
	return nil
}

func (r *resource[P, E]) checkQuota(c *call, tx *world.Tx, objects []*wanted[P, E]) error {
	if r.quota == "" {
		return nil
	}
	need := map[string]int{}
	for _, o := range objects {
		need[o.project]++
	}
	for project, n := range need {
		if err := c.s.deps.Rules.CheckQuota(tx, r.quota, project, n); err != nil {
			return err
		}
	}
	return nil
}

func (r *resource[P, E]) doUpdate(c *call, id string) error {
	if c.core() && r.keyless(c) {
		if err := c.checkIfMatch(); err != nil {
			return err
		}
		return r.nothingSent(c, id)
	}
	want, err := r.readUpdate(c)
	if err == nil {
		err = c.checkIfMatch()
	}
	if err != nil {
		return err // even of what has no update: Neutron finds read-only attributes first
	}
	if r.update == nil {
		if _, err := r.find(c.view(), id); err != nil {
			return err
		}
		return errMethod
	}
	action := "update_" + r.policy
	var before P
	w, err := r.change(c, id, action, func(tx *world.Tx, old P) error {
		before = old
		v, x := r.make(want, old)
		if err := r.allowed(c.viewOf(&tx.World), action, want.asked, v); err != nil {
			return r.conceal(id, err)
		}
		if want.late != nil {
			return want.late
		}
		return r.update(tx, c.by, update[P, E]{old, v, x, want.has})
	})
	if err != nil {
		return err
	}
	after := r.source.get(w, idOf(id))
	c.warn(w, after, before)
	x := c.viewOf(w)
	r.answer(c, http.StatusOK, after, x, r.mask(x, nil))
	return nil
}

// nothingSent is the fault of a PUT to a core resource whose body does not have the resource's name: the object is looked
// for, and policy asked, before that is found.
func (r *resource[P, E]) nothingSent(c *call, id string) error {
	x := c.view()
	v, err := r.find(x, id)
	if err != nil {
		return err
	}
	if err := r.allowed(x, "update_"+r.policy, nil, v); err != nil {
		return r.conceal(id, err)
	}
	return r.noKey()
}

func (r *resource[P, E]) doDelete(c *call, id string) error {
	if r.remove == nil {
		return errMethod
	}
	sent, err := c.sendsBody()
	if err != nil {
		return err
	}
	if sent && !c.core() {
		return c.refuseBody()
	}
	action := "delete_" + r.policy
	_, err = r.change(c, id, action, func(tx *world.Tx, old P) error {
		if err := r.allowed(c.viewOf(&tx.World), action, nil, old); err != nil {
			return r.conceal(id, err)
		}
		if sent {
			return errDeleteBody // found last
		}
		return r.remove(tx, c.by, old)
	})
	if err == nil {
		c.reply(http.StatusNoContent, nil)
	}
	return err
}

// conceal is what a caller is told whom policy refuses to change an object.
func (r *resource[P, E]) conceal(id string, err error) error {
	var e *model.Error
	if r.concealed && errors.As(err, &e) && e.Kind == model.KindForbidden {
		return cmp.Or(r.concealedAs, r.missing(id))
	}
	return err
}

// change runs f in a transaction on an object that the caller sees. That its revision is not what If-Match says undoes it all, and is
// found last, as in Neutron: who may not do it, or could not, learns that.
func (r *resource[P, E]) change(c *call, id, op string, f func(tx *world.Tx, old P) error) (*world.World, error) {
	p, err := c.precondition()
	if err := cmp.Or(err, p.understood()); err != nil {
		return nil, err
	}
	return c.do(op, func(tx *world.Tx) error {
		old, err := r.find(c.viewOf(&tx.World), id)
		if err != nil {
			return err
		}
		if err := f(tx, old); err != nil {
			return err
		}
		return p.holds(r.meta(old))
	})
}
