package differential

import "strings"

// paths are other spellings of paths: with a suffix, slashes that are too many, letters of the other case, methods that nothing has.
func (c *cases) paths() {
	named := object{c.d.Name: object{"name": "x", "description": "x"}}
	all, one, none := collection(c.d), c.object(), collection(c.d)+"/"+absent
	upper := "up." + strings.TrimPrefix(subjectID(c.d), "ref.")
	for _, who := range []string{"admin", "reader"} {
		for _, path := range []string{all + ".json", all + ".xml", all + ".json.json", all + "/", all + "//", "/" + all, one + ".json", one + ".xml", one + "/", one + "//", none + ".json", none + "/",
			strings.Replace(one, "/ref.", "//ref.", 1), all + "/" + upper, all + "/" + upper + ".json", all + "/" + strings.ToUpper(absent), strings.ToUpper(all), all + "/..", all + "/.", all + "/%20", all + "/%2F", all + "/a%2Fb",
			one + "%20", one + "?", one + "?odd=1", one + "?fields=odd", one + "?fields=id&odd=1", one + "?limit=x", one + "#x"} {
			c.add(who, "GET", path, nil)
		}
		for _, path := range []string{all + ".json", all + "/", all + "?odd=1", all + ".xml"} {
			c.add(who, "POST", path, object{})
			c.add(who, "POST", path, object{c.d.Name: object{"odd": 1}})
		}
		for _, path := range []string{none + ".json", none + "/", none + "?odd=1", one + ".xml", all + "/" + upper, all + "/" + strings.ToUpper(absent)} {
			c.add(who, "PUT", path, named)
			c.add(who, "PUT", path, object{c.d.Name: object{"odd": 1}})
			if !strings.Contains(path, upper) {
				c.add(who, "DELETE", path, nil)
			}
		}
		for _, method := range []string{"HEAD", "OPTIONS", "TRACE", "BREW", "get", "PATCH"} {
			for _, path := range []string{all, one, none, one + "/odd", all + ".json"} {
				c.add(who, method, path, nil)
			}
		}
	}
	for _, method := range []string{"HEAD", "OPTIONS", "BREW", "POST", "PUT", "DELETE"} {
		c.add("nobody", method, all, raw("{"))
		c.add("nobody", method, none+".json", named)
	}
}

// headers are headers that mean nothing, or something else.
func (c *cases) headers() {
	named := object{c.d.Name: object{"name": "x"}}
	send := func(who, method, path string, body any, header string) {
		c.out = append(c.out, request{who, method, path, body, header})
	}
	all, one, none := collection(c.d), c.object(), collection(c.d)+"/"+absent
	for _, kind := range []string{"text/plain", "application/xml", "application/x-www-form-urlencoded", "application/json; charset=utf-8", "application/json-patch+json", "x", "*/*"} {
		for _, who := range []string{"admin", "reader"} {
			header := "Content-Type: " + kind
			send(who, "POST", all, object{}, header)
			send(who, "POST", all, object{c.d.Name: object{"odd": 1}}, header)
			send(who, "POST", all, raw("a=b"), header)
			send(who, "POST", all, nil, header)
			send(who, "PUT", one, object{c.d.Name: object{"odd": 1}}, header)
			send(who, "PUT", none, named, header)
			send(who, "DELETE", none, nil, header)
			send(who, "GET", none, nil, "Accept: "+kind)
			send(who, "GET", all+"?limit=x", nil, "Accept: "+kind)
		}
	}
	for _, match := range []string{"revision_number=999999", "revision_number=x", "revision_number=", "revision_number=-1", "revision_number=1, revision_number=2", "x", "\"x\""} {
		for _, who := range []string{"admin", "reader"} {
			header := "If-Match: " + match
			send(who, "PUT", one, named, header)
			send(who, "PUT", one, object{c.d.Name: object{"odd": 1}}, header)
			send(who, "PUT", none, named, header)
			send(who, "DELETE", one, nil, header)
			send(who, "DELETE", none, nil, header)
			send(who, "GET", one, nil, header)
			send(who, "GET", none, nil, header)
			send(who, "POST", all, object{}, header)
		}
	}
}
