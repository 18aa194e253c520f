package api

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"unicode/utf8"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// maxTag bounds a tag's length in characters (neutron/extensions/tagging.py, MAX_TAG_LEN).
const maxTag = 255

// serveTags answers /plural/id/tags and /plural/id/tags/tag.
func (r *resource[P, E]) serveTags(c *call, id string, rest []string) error {
	if len(rest) > 1 {
		return errNoPath
	}
	tag := ""
	if len(rest) == 1 {
		var err error
		if tag, err = url.PathUnescape(rest[0]); err != nil {
			return badRequest("The tag '%s' is not properly escaped.", rest[0])
		}
	}
	switch {
	case c.r.Method == http.MethodPost && len(rest) == 0: // Neutron's words, after it has read the body
		if _, err := c.json(); err != nil && !errors.Is(err, errEmpty) {
			return err
		}
		return errNotFound("HTTPNotFound", "not supported")
	case c.r.Method == http.MethodGet:
		return r.showTags(c, id, tag, len(rest) == 1)
	case c.r.Method == http.MethodPut && len(rest) == 1:
		if err := checkTags([]string{tag}); err != nil {
			return model.Invalid("%v.", err)
		}
		return r.setTags(c, id, http.StatusCreated, func(tags []string) ([]string, error) { return append(tags, tag), nil })
	case c.r.Method == http.MethodPut:
		want, err := c.readTags()
		if err != nil {
			return err
		}
		return r.setTags(c, id, http.StatusOK, func([]string) ([]string, error) { return want, nil })
	case c.r.Method == http.MethodDelete:
		return r.setTags(c, id, http.StatusNoContent, func(tags []string) ([]string, error) {
			if tag == "" {
				return nil, nil
			}
			i := slices.Index(tags, tag)
			if i < 0 {
				return nil, noTag(tag)
			}
			return slices.Delete(tags, i, i+1), nil
		})
	}
	return errMethod
}

func noTag(tag string) error {
	return model.Errf(model.KindNotFound, "TagNotFound", "Tag %s could not be found.", tag)
}

func (c *call) readTags() ([]string, error) {
	body, err := c.json()
	if err != nil && !errors.Is(err, errEmpty) {
		return nil, err
	}
	v, ok := body.get("tags")
	if !ok {
		return nil, model.Invalid("Invalid tags body.")
	}
	tags, err := tagsValue(v)
	if err != nil {
		return nil, model.Invalid("%v.", err)
	}
	return tags, nil
}

// tagsValue reads a list of tags, each of which may be there once.
func tagsValue(v Value) ([]string, error) {
	if v.kind != isList {
		return nil, reasonf("'%s' is not a list", v)
	}
	tags := make([]string, len(v.items))
	for i, item := range v.items {
		if item.kind != isString {
			return nil, reasonf("'%s' is not a valid string", item)
		}
		if slices.Contains(tags[:i], item.text) {
			return nil, reasonf("Duplicate items in the list: '%s'", item)
		}
		tags[i] = item.text
	}
	return tags, checkTags(tags)
}

// checkTags tests tags; its errors are reasons.
func checkTags(tags []string) error {
	for _, t := range tags {
		if utf8.RuneCountInString(t) > maxTag {
			return reasonf("'%s' exceeds maximum length of %d", t, maxTag)
		}
		if t == "" {
			return reasonf("a tag must not be empty")
		}
	}
	return nil
}

func (r *resource[P, E]) showTags(c *call, id, tag string, one bool) error {
	if one {
		if err := checkTags([]string{tag}); err != nil {
			return model.Invalid("%v.", err)
		}
	}
	v, err := r.find(c.view(), id)
	if err != nil {
		return r.untagged(id, err)
	}
	tags := r.meta(v).Tags
	if one {
		if !slices.Contains(tags, tag) {
			return noTag(tag)
		}
		c.reply(http.StatusNoContent, nil)
		return nil
	}
	c.reply(http.StatusOK, append(appendStrings(append(c.buffer(), `{"tags": `...), tags), '}'))
	return nil
}

// untagged puts the fault of an object that is not there into the words that Neutron has for it here.
func (r *resource[P, E]) untagged(id string, err error) error {
	var e *model.Error
	if errors.As(err, &e) && e.Kind == model.KindNotFound && e.Type != "TagNotFound" {
		return errNotFound("TagResourceNotFound", "Resource %s %s could not be found.", r.plural, id)
	}
	return err
}

// setTags replaces an object's tags by what edit makes of a copy of them. As in Neutron whoever sees an object may tag it:
// policy has no rule for tags.
func (r *resource[P, E]) setTags(c *call, id string, code int, edit func([]string) ([]string, error)) error {
	var tags []string
	_, err := r.change(c, id, "update_"+r.plural+"_tags", func(tx *world.Tx, old P) error {
		var err error
		if tags, err = edit(slices.Clone(r.meta(old).Tags)); err != nil {
			return err
		}
		slices.Sort(tags)
		tags = slices.Compact(tags)
		if slices.Equal(tags, r.meta(old).Tags) {
			return nil
		}
		v := r.source.clone(old)
		r.meta(v).Tags = tags
		r.source.put(tx, v)
		return nil
	})
	if err != nil {
		return r.untagged(id, err)
	}
	switch code {
	case http.StatusOK:
		c.reply(code, append(appendStrings(append(c.buffer(), `{"tags": `...), tags), '}'))
	case http.StatusCreated:
		c.reply(code, append(c.buffer(), "null"...)) // Neutron's answer to one tag
	default:
		c.reply(code, nil)
	}
	return nil
}
