package api

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
)

// precondition is what If-Match asks of the object that a request changes (RFC 9110, section 13.1.1). The zero value asks nothing; so does
// "*", which wants that the object exists, and that is tested anyway.
type precondition struct {
	revision string // the revision that it must have, "" if none is asked for
	foreign  string // a header that names no revision
}

// quotedTag is an entity tag (RFC 9110, section 8.8.3).
var quotedTag = regexp.MustCompile(`"[^"]*"`)

// precondition reads If-Match. A revision that is none is refused, and so are several.
func (c *call) precondition() (p precondition, err error) {
	h := c.r.Header.Get("If-Match")
	if h == "" || strings.TrimSpace(h) == "*" {
		return p, nil
	}
	tags := quotedTag.FindAllString(h, -1)
	if tags == nil {
		tags = []string{h} // without quotes there is one
	}
	for _, tag := range tags {
		number, is := strings.CutPrefix(bareTag(tag), "revision_number=")
		if !is {
			continue
		}
		if p.revision != "" {
			return p, model.Errf(model.KindInvalid, "BadRequest", "Bad if-match request: Multiple revision_number etags are not supported.")
		}
		n, err := strconv.Atoi(strings.TrimSpace(number))
		if err != nil {
			return p, model.Errf(model.KindInvalid, "BadRequest", "Bad if-match request: Revision number etag must be in the format of revision_number=<int>.")
		}
		p.revision = strconv.Itoa(n)
	}
	if p.revision == "" {
		p.foreign = h
	}
	return p, nil
}

// checkIfMatch refuses a revision in If-Match that is none, whatever is asked for.
func (c *call) checkIfMatch() error {
	_, err := c.precondition()
	return err
}

// understood refuses a header that would be passed over, by which a client would take for guarded what is not.
func (p precondition) understood() error {
	if p.foreign != "" {
		return badRequest("The If-Match header '%s' is not understood: write revision_number=N.", p.foreign)
	}
	return nil
}

// holds compares with what the object was before the request.
func (p precondition) holds(m *model.Meta) error {
	if now := uitoa(m.Revision); p.revision != "" && now != p.revision {
		return model.Errf(model.KindPrecondition, "RevisionNumberConstraintFailed", "Constrained to %s, but current revision is %s", p.revision, now)
	}
	return nil
}

// bareTag is an entity tag without its quotes, and without what says that it is weak.
func bareTag(tag string) string {
	return strings.Trim(strings.TrimPrefix(strings.TrimSpace(tag), "W/"), `"`)
}
