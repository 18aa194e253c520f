package api

import (
	"net/http"
	"slices"

	"github.com/weft-cloud/weft/internal/model"
)

// extension is a part of the API that clients may ask for by name. Only what is whole is listed.
type extension struct{ alias, name, description, updated string }

// extensions answers GET /v2.0/extensions and /v2.0/extensions/alias.
func (c *call) extensions(rest []string) error {
	if c.r.Method != http.MethodGet {
		return errMethod
	}
	switch len(rest) {
	case 0:
		b := append(c.buffer(), `{"extensions": `...)
		c.reply(http.StatusOK, append(appendList(b, c.s.offered(), appendExtension), '}'))
		return nil
	case 1:
		for _, e := range c.s.offered() {
			if e.alias == rest[0] {
				b := append(c.buffer(), `{"extension": `...)
				c.reply(http.StatusOK, append(appendExtension(b, e), '}'))
				return nil
			}
		}
		return model.Errf(model.KindNotFound, "HTTPNotFound", "Extension with alias %s does not exist", rest[0])
	}
	return errNoPath
}

// offered are the extensions that the configuration has not switched off.
func (s *server) offered() []extension {
	cfg := s.deps.Rules.Config()
	return slices.DeleteFunc(slices.Clone(extensions), func(e extension) bool {
		return e.alias == "dvr" && cfg.NoDVR || e.alias == "vlan-transparent" && !cfg.VLANTransparent
	})
}

func appendExtension(b []byte, e extension) []byte {
	b = appendString(append(b, `{"alias": `...), e.alias)
	b = appendString(append(b, `, "name": `...), e.name)
	b = appendString(append(b, `, "description": `...), e.description)
	b = appendString(append(b, `, "updated": `...), e.updated+"T10:00:00-00:00")
	return append(b, `, "links": []}`...)
}
