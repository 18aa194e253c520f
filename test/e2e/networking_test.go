package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

type doc = map[string]any

// networking speaks the Networking API itself, as a user of the lab. TestOpenStackWalkThrough shows that the OpenStack client can do most of
// it; that client has no commands for NDP proxies before version 6.1, though.
type networking struct {
	t          *testing.T
	url, token string
}

func newNetworking(t *testing.T, user string) *networking {
	t.Helper()
	env := map[string]string{}
	for line := range strings.Lines(must(t, "lab", "env", "--user", user)) {
		if name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "="); ok {
			env[name] = strings.Trim(value, "'")
		}
	}
	domain := func(of string) doc { return doc{"id": env["OS_"+of+"_DOMAIN_ID"]} }
	b, err := json.Marshal(doc{"auth": doc{
		"identity": doc{"methods": []string{"password"}, "password": doc{"user": doc{"name": env["OS_USERNAME"], "password": env["OS_PASSWORD"], "domain": domain("USER")}}},
		"scope":    doc{"project": doc{"name": env["OS_PROJECT_NAME"], "domain": domain("PROJECT")}}}})
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(env["OS_AUTH_URL"]+"/auth/tokens", "application/json", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var in struct {
		Token struct {
			Catalog []struct {
				Type      string
				Endpoints []struct{ Interface, URL string }
			}
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&in); err != nil || res.StatusCode != http.StatusCreated {
		t.Fatalf("log in to the lab: %s, %v", res.Status, err)
	}
	n := &networking{t: t, token: res.Header.Get("X-Subject-Token")}
	for _, s := range in.Token.Catalog {
		for _, e := range s.Endpoints {
			if s.Type == "network" && e.Interface == "public" {
				n.url = e.URL
			}
		}
	}
	return n
}

// send sends a request that must succeed and returns the answer.
func (n *networking) send(method, path string, body any) []byte {
	n.t.Helper()
	var b []byte
	if body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			n.t.Fatal(err)
		}
	}
	req, err := http.NewRequest(method, strings.TrimSuffix(n.url, "/")+"/v2.0/"+path, bytes.NewReader(b))
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", n.token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 300 {
		n.t.Fatalf("%s %s: %s, %v\n%s", method, path, res.Status, err, text)
	}
	return text
}

// do sends an object, if there is one, by its name unless that is "", and returns the object in the answer.
func (n *networking) do(method, path, name string, body doc) doc {
	n.t.Helper()
	var send any
	switch {
	case body == nil: // a deletion is to have no body, not even null
	case name == "":
		send = body
	default:
		send = doc{name: body}
	}
	var v map[string]doc
	_ = json.Unmarshal(n.send(method, path, send), &v) // of a deletion there is none
	return v[name]
}

func (n *networking) create(path, name string, body doc) string {
	n.t.Helper()
	return n.do("POST", path, name, body)["id"].(string)
}

// set changes an object.
func (n *networking) set(kind, id string, body doc) {
	n.t.Helper()
	n.do("PUT", kind+"s/"+id, kind, body)
}

// list is what a query of a collection finds.
func (n *networking) list(collection, query string) []doc {
	n.t.Helper()
	var v map[string][]doc
	if err := json.Unmarshal(n.send("GET", collection+"?"+query, nil), &v); err != nil {
		n.t.Fatal(err)
	}
	return v[strings.ReplaceAll(collection, "-", "_")]
}

// only is the one object that a query finds.
func (n *networking) only(collection, query string) doc {
	n.t.Helper()
	found := n.list(collection, query)
	if len(found) != 1 {
		n.t.Fatalf("%s?%s: %v", collection, query, found)
	}
	return found[0]
}
