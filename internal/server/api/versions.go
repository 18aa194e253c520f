package api

import (
	"net/http"
)

// versions answers GET /.
func (c *call) versions() error {
	b := append(c.buffer(), `{"versions": [{"id": "v2.0", "status": "CURRENT", "links": [{"rel": "self", "href": `...)
	b = appendString(b, c.base()+"/v2.0/")
	c.reply(http.StatusOK, append(b, "}]}]}"...))
	return nil
}

// index answers GET /v2.0: the core resources, whatever else there is.
func (c *call) index() error {
	b := append(c.buffer(), `{"resources": `...)
	core := [][2]string{{"network", "networks"}, {"subnet", "subnets"}, {"subnetpool", "subnetpools"}, {"port", "ports"}}
	var have [][2]string
	for _, n := range core {
		if c.s.endpoints[n[1]] != nil {
			have = append(have, n)
		}
	}
	b = appendList(b, have, func(b []byte, n [2]string) []byte {
		b = append(append(append(b, `{"name": "`...), n[0]...), `", "collection": "`...)
		b = append(append(b, n[1]...), `", "links": [{"rel": "self", "href": `...)
		return append(appendString(b, c.base()+"/v2.0/"+n[1]), "}]}"...)
	})
	c.reply(http.StatusOK, append(b, '}'))
	return nil
}
