package sqlite

import (
	"cmp"
	"slices"

	"github.com/weft-cloud/weft/internal/server/store"
)

// overlay is what the journal's groups make of entries that the file has otherwise, or not at all.
type overlay struct {
	entries []store.Entry // in the order of kind, then key; without a body: deleted
}

func newOverlay(groups []*group) *overlay {
	type name struct{ kind, key string }
	newest := map[name]store.Entry{}
	for _, g := range groups {
		for _, b := range g.batches {
			for _, m := range b.Mutations {
				newest[name{m.Kind, m.Key}] = store.Entry{Kind: m.Kind, Key: m.Key, Schema: m.Schema, Revision: b.Revision, Body: m.Body}
			}
		}
	}
	o := &overlay{}
	for _, e := range newest {
		o.entries = append(o.entries, e)
	}
	slices.SortFunc(o.entries, byName)
	return o
}

func byName(a, b store.Entry) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key))
}

// visit gives f the file's next entry, or what the journal has made of it, after all entries of the journal's that come before it.
func (o *overlay) visit(e store.Entry, f func(store.Entry) error) error {
	for len(o.entries) > 0 {
		order := byName(o.entries[0], e)
		if order > 0 {
			break
		}
		if err := o.next(f); err != nil {
			return err
		}
		if order == 0 {
			return nil
		}
	}
	return f(e)
}

// rest gives f what comes after the file's last.
func (o *overlay) rest(f func(store.Entry) error) error {
	for len(o.entries) > 0 {
		if err := o.next(f); err != nil {
			return err
		}
	}
	return nil
}

func (o *overlay) next(f func(store.Entry) error) error {
	e := o.entries[0]
	o.entries = o.entries[1:]
	if e.Body == nil {
		return nil
	}
	e.Body = slices.Clone(e.Body) // the visitor's, while the group stays ours
	return f(e)
}

// intentsOf are the groups' intents, oldest first.
func intentsOf(groups []*group) (out []store.Intent) {
	for _, g := range groups {
		for _, b := range g.batches {
			for _, in := range b.Intents {
				in.Body = notNil(in.Body)
				out = append(out, in)
			}
		}
	}
	return out
}
