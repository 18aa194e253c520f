package differential

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

type object = map[string]any

// answer is what one server said.
type answer struct {
	status int
	body   any // nil if it is not JSON
	text   string
}

// names maps identifiers that one server chose to a name that both sides have in common, and back.
type names struct{ name, value map[string]string }

func newNames() names { return names{map[string]string{}, map[string]string{}} }

func (n names) bind(name, value string) { n.name[value], n.value[name] = name, value }

// rename gives a value a name, whatever it had before, and its upper-case spelling one that begins with "up.".
func (n names) rename(name, value string) {
	if was, ok := n.name[value]; ok {
		delete(n.value, was)
	}
	n.bind(name, value)
	if upper := strings.ToUpper(value); upper != value {
		n.bind("up."+strings.TrimPrefix(name, "ref."), upper)
	}
}

// pair is the two servers. Side 0 is Weft, side 1 Neutron.
type pair struct {
	urls   [2]string
	client *http.Client
	names  [2]names
	bound  int
}

var word = regexp.MustCompile(`[0-9A-Za-z.:_-]+`)

// spell replaces names by what they are called on one side.
func (n names) spell(s string) string { return swap(n.value, s) }

// swap replaces the words of a text that m knows, also where a suffix (".json", the end of a sentence) follows.
func swap(m map[string]string, s string) string {
	return word.ReplaceAllStringFunc(s, func(w string) string {
		for end := len(w); end > 0; end = strings.LastIndexByte(w[:end], '.') {
			if to, ok := m[w[:end]]; ok {
				return to + w[end:]
			}
		}
		return w
	})
}

// request is one that both servers are sent; path and body are in common names. A body of type raw is sent as it is. The header is sent
// beside what every request has, or instead of it: "Name: value".
type request struct {
	who, method, path string
	body              any
	header            string
}

// raw is a body that need not be JSON.
type raw string

func (r request) String() string {
	b, err := json.Marshal(r.body)
	if text, is := r.body.(raw); is || err != nil {
		b = []byte(text)
	} else if r.body == nil { // none, which is not null
		b = nil
	}
	line := fmt.Sprintf("%s: %s %s %s", r.who, r.method, r.path, b)
	if r.header != "" {
		line += " [" + r.header + "]"
	}
	return line
}

// send sends the request to one side.
func (p *pair) send(side int, r request, header http.Header) (*answer, error) {
	var body io.Reader
	if text, is := r.body.(raw); is {
		body = strings.NewReader(string(text))
	} else if r.body != nil {
		b, err := json.Marshal(r.body)
		if err != nil {
			return nil, err
		}
		body = strings.NewReader(p.names[side].spell(string(b)))
	}
	base := p.urls[side]
	if side == 1 && r.who == "nobody" {
		base += asked
	}
	req, err := http.NewRequest(r.method, base+"/v2.0"+p.names[side].spell(r.path), body)
	if err != nil {
		return nil, err
	}
	req.Header = header.Clone()
	req.Header.Set("Content-Type", "application/json")
	if name, value, has := strings.Cut(r.header, ": "); has {
		req.Header.Set(name, value)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	b = bytes.ReplaceAll(b, []byte(p.urls[side]), nil) // links
	a := &answer{status: resp.StatusCode, text: string(b)}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	_ = d.Decode(&a.body) // nil says it
	return a, nil
}

// fault is the type of a refusal; Keystone's have a title in its place.
func (a *answer) fault() string {
	return cmp.Or(a.told("NeutronError", "type"), a.told("error", "title"))
}

// message is the text of a refusal; where it is of neither form, all of it.
func (a *answer) message() string {
	if a.fault() == "" {
		return a.text
	}
	return cmp.Or(a.told("NeutronError", "message"), a.told("error", "message"))
}

func (a *answer) told(form, what string) string {
	o, _ := a.body.(object)
	e, _ := o[form].(object)
	t, _ := e[what].(string)
	return t
}

// unlike are attributes that differ by nature: times; and revisions, which are those of the whole store in Weft.
var unlike = []string{"created_at", "updated_at", "revision_number", "timestamp", "standard_attr_id"}

// compare returns what differs in two bodies, as "where: Weft's / Neutron's", and binds what both chose.
func (p *pair) compare(where string, w, n any) []string {
	switch wv := w.(type) {
	case object:
		nv, ok := n.(object)
		if !ok {
			return differ(where, w, n)
		}
		var out []string
		for k := range nv {
			if _, has := wv[k]; !has {
				out = append(out, fmt.Sprintf("%s.%s: missing / %s", where, k, short(nv[k])))
			}
		}
		for k, v := range wv {
			other, has := nv[k]
			switch {
			case !has:
				out = append(out, fmt.Sprintf("%s.%s: %s / missing", where, k, short(v)))
			case slices.Contains(unlike, k):
			default:
				out = append(out, p.compare(where+"."+k, v, other)...)
			}
		}
		return out
	case []any:
		nv, ok := n.([]any)
		if !ok {
			return differ(where, w, n)
		}
		if len(wv) != len(nv) {
			return []string{fmt.Sprintf("%s: %d elements %s / %d %s", where, len(wv), short(w), len(nv), short(n))}
		}
		if !strings.HasPrefix(where, "sorted") || strings.Contains(where, "[]") { // lists within what is sorted have no order
			wv, nv = p.inOrder(0, wv), p.inOrder(1, nv)
		}
		var out []string
		for i := range wv {
			out = append(out, p.compare(where+"[]", wv[i], nv[i])...)
		}
		return out
	case string:
		if nv, ok := n.(string); ok && p.same(where, wv, nv) {
			return nil
		}
		return differ(where, w, n)
	}
	if fmt.Sprintf("%T %v", w, w) != fmt.Sprintf("%T %v", n, n) {
		return differ(where, w, n)
	}
	return nil
}

func differ(where string, w, n any) []string {
	return []string{fmt.Sprintf("%s: %s / %s", where, short(w), short(n))}
}

func short(v any) string {
	b, _ := json.Marshal(v)
	if len(b) > 300 {
		return string(b[:300]) + "…"
	}
	return string(b)
}

var (
	uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	// hosts are names that are made of addresses.
	hosts = regexp.MustCompile(`^host-[0-9a-f-]+(\.openstacklocal\.)?$`)
	mac   = regexp.MustCompile(`^([0-9a-f]{2}:){5}[0-9a-f]{2}$`)
)

// chosen is the kind of a value that a server may have chosen; "" if it is none.
func chosen(s string) string {
	switch {
	case uuid.MatchString(s):
		return "id"
	case mac.MatchString(s):
		return "mac"
	}
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Is4() {
			return "v4"
		}
		return "v6"
	}
	return ""
}

// addresses are attributes whose value a server may choose.
var addresses = []string{"ip_address", "floating_ip_address", "fixed_ip_address", "local_ip_address", "internal_ip_address", "fixed_ip", "mac_address"}

// same says whether two texts mean the same, and binds them if they are seen first here.
func (p *pair) same(where, w, n string) bool {
	a, b := p.names[0].name[w], p.names[1].name[n]
	if a != "" || b != "" {
		return a == b
	}
	if w == n || hosts.MatchString(w) && hosts.MatchString(n) {
		return true
	}
	switch kind := chosen(w); {
	case kind == "" || kind != chosen(n):
	case kind != "id":
		return slices.Contains(addresses, where[strings.LastIndexByte(where, '.')+1:])
	default:
		p.bound++
		name := fmt.Sprintf("%s-%d", kind, p.bound)
		p.names[0].bind(name, w)
		p.names[1].bind(name, n)
		return true
	}
	return swap(p.names[0].name, w) == swap(p.names[1].name, n)
}

// inOrder sorts a list that has no order of its own alike on both sides: by known names, else by all that is not chosen.
func (p *pair) inOrder(side int, list []any) []any {
	key := func(v any) string {
		if o, ok := v.(object); ok {
			if id, ok := o["id"].(string); ok && p.names[side].name[id] != "" {
				return p.names[side].name[id]
			}
		}
		b, _ := json.Marshal(bare(v))
		return word.ReplaceAllStringFunc(string(b), func(w string) string {
			if name, ok := p.names[side].name[w]; ok {
				return name
			}
			if kind := chosen(w); kind != "" {
				return kind
			}
			return w
		})
	}
	sorted := slices.Clone(list)
	slices.SortStableFunc(sorted, func(a, b any) int { return strings.Compare(key(a), key(b)) })
	return sorted
}

// bare is a value without attributes that differ by nature.
func bare(v any) any {
	switch v := v.(type) {
	case object:
		out := object{}
		for k, e := range v {
			if !slices.Contains(unlike, k) {
				out[k] = bare(e)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = bare(e)
		}
		return out
	}
	return v
}
