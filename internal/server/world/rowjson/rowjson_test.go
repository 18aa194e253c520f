package rowjson

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/weft-cloud/weft/internal/model"
)

type Inner struct {
	A string `json:"a,omitempty"`
	B int    `json:"b,omitempty"`
}

type Rare struct {
	R string          `json:"r,omitempty"`
	S json.RawMessage `json:"s,omitempty"`
}

// row has a field of every kind that the decoder tells apart.
type row struct {
	ID    model.PortID          `json:"id"`
	MAC   model.MAC             `json:"mac,omitzero"`
	Text  string                `json:"text"`
	Word  string                `json:"word,omitempty"`
	On    bool                  `json:"on"`
	Int   int                   `json:"int"`
	Small int8                  `json:"small"`
	Un    uint32                `json:"un"`
	Time  model.Time            `json:"time"`
	Float float64               `json:"float"`
	Raw   json.RawMessage       `json:"raw,omitempty"`
	Same  json.RawMessage       `json:"same,omitempty"`
	Bytes []byte                `json:"bytes,omitempty"`
	List  []model.FixedIP       `json:"list,omitempty"`
	Texts []string              `json:"texts,omitempty"`
	Lists [][]int               `json:"lists,omitempty"`
	Map   map[string][]int      `json:"map,omitempty"`
	Ptr   *Inner                `json:"ptr,omitempty"`
	In    Inner                 `json:"in"`
	Addr  netip.Addr            `json:"addr"`
	Pairs []model.AddressPair   `json:"pairs,omitempty"`
	Array [2]int                `json:"array"`
	Any   any                   `json:"any,omitempty"`
	Group model.SecurityGroupID `json:"group,omitzero"`
	Named
	*Rare
	NoTag   string
	Ignored string `json:"-"`
	private string
}

type Named struct {
	Note string   `json:"note,omitempty"`
	Tags []string `json:"tags,omitempty"`
}

func full() row {
	return row{
		ID: model.PortID{UUID: model.UUID{1, 2, 3}}, MAC: model.MAC{2, 3, 4, 5, 6, 7}, Text: "käse \U0001f9c0", Word: "ACTIVE", On: true,
		Int: -12, Small: 127, Un: 1<<32 - 1, Time: 1795870247, Float: 1.5, Raw: json.RawMessage(`{"a":[1,{"b":"}]"}],"c":"\""}`),
		Same: json.RawMessage(`{"x":1}`), Bytes: []byte{1, 2},
		List:  []model.FixedIP{{Address: netip.MustParseAddr("10.0.0.1")}, {SubnetID: model.SubnetID{UUID: model.UUID{9}}, Address: netip.MustParseAddr("2001:db8::1")}},
		Texts: []string{"a", "", "c]"}, Lists: [][]int{{1, 2}, {}, {-3}}, Map: map[string][]int{"m": {1}}, Ptr: &Inner{A: "p"}, In: Inner{B: 3},
		Addr: netip.MustParseAddr("10.1.2.3"), Pairs: []model.AddressPair{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Host: true}},
		Array: [2]int{1, 2}, Any: "any", Group: model.SecurityGroupID{UUID: model.UUID{7}}, Named: Named{Note: "n", Tags: []string{"t"}},
		Rare: &Rare{R: "r", S: json.RawMessage(`[1]`)}, NoTag: "no tag",
	}
}

var (
	shared  = []string{"word", "same"}
	quickly = New[row](shared...)
)

// same decodes body both ways, holds the results against each other, and says whether encoding/json was needed.
func same(t *testing.T, body []byte) (quick bool) {
	t.Helper()
	d := quickly
	var want, got, tried row
	wantErr := json.Unmarshal(body, &want)
	err := d.Decode(append([]byte{}, body...), &got, Words{})
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%s: %v, encoding/json says %v", body, err, wantErr)
	}
	if err == nil && !reflect.DeepEqual(got, want) {
		t.Fatalf("%s:\ngot  %+v\nwant %+v", body, got, want)
	}
	s := scan{data: body, known: Words{}}
	quick = d.read(unsafe.Pointer(&tried), &s) && s.at == len(body)
	if quick && (wantErr != nil || !reflect.DeepEqual(tried, want)) {
		t.Fatalf("%s is taken for\n%+v, and encoding/json says\n%+v, %v", body, tried, want, wantErr)
	}
	return quick
}

// What encoding/json has written is read without it, unless a text has escapes; whatever else is read as it does.
func TestDecode(t *testing.T) {
	for _, r := range []row{{}, full()} {
		body, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if !same(t, body) {
			t.Errorf("%s is left to encoding/json", body)
		}
		for n := range body { // cut short, or with something else in each place
			same(t, body[:n])
			for _, c := range []byte("\"\\{}[],: 0-n\x00\x80") {
				broken := append([]byte{}, body...)
				broken[n] = c
				same(t, broken)
			}
		}
	}
	for _, body := range []string{
		`{"text":"a","text":"b"}`, `{"TEXT":"a"}`, `{"unknown":[1,{}],"text":"a"}`, `{"text":null,"list":null,"in":null,"ptr":null,"raw":null}`,
		` {"text" : "a" }`, `{"text":"\u0041\n"}`, "{\"text\":\"\xff\"}", `{"int":01}`, `{"int":1.0}`, `{"small":128}`, `{"un":-1}`, `{"un":4294967296}`,
		`{"int":9223372036854775807}`, `{"int":-0}`, `{"int":"1"}`, `{"text":1}`, `{"text":"a"}x`, `{}`, `{`, ``, `null`, `[]`, `{"list":[]}`, `{"list":[,]}`,
		`{"texts":["a",]}`, `{"list":[{"subnet_id":"09000000-0000-0000-0000-000000000000"}],"list":[{"address":"10.0.0.1"}]}`, `{"texts":[null]}`, `{"raw":{"a":}}`, `{"raw":01}`, `{"same":tru}`, `{"id":""}`, `{"id":"x"}`, `{"mac":"","r":""}`, `{"s":"\"x\\"}`, `{"text":"a",}`,
	} {
		same(t, []byte(body))
	}
}

func TestDecodeShares(t *testing.T) {
	d, known := New[row](shared...), Words{}
	var a, b, slow row
	for body, to := range map[string]*row{`{"word":"same","same":{"x":1}}`: &a, `{"text":"t","word":"same","same":{"x":1}}`: &b, ` {"word":"s\u0061me","same":{"x":1}}`: &slow} {
		if err := d.Decode([]byte(body), to, known); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range []*row{&b, &slow} {
		if r.Word != "same" || unsafe.StringData(r.Word) != unsafe.StringData(a.Word) || unsafe.SliceData(r.Same) != unsafe.SliceData(a.Same) {
			t.Errorf("%q and %s are not the same memory as before", r.Word, r.Same)
		}
	}
	if a.Text != "" || known["t"] != "" {
		t.Error("a text that is not to be shared is")
	}
}

func FuzzDecode(f *testing.F) {
	body, err := json.Marshal(full())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`{"texts":["a"],"lists":[[1],[]],"raw":{"a":"\""}}`))
	f.Fuzz(func(t *testing.T, body []byte) { same(t, body) })
}

func BenchmarkPort(b *testing.B) {
	body, err := json.Marshal(&model.Port{ID: model.PortID{UUID: model.UUID{1}}, NetworkID: model.NetworkID{UUID: model.UUID{2}}, ProjectID: "bench", Name: "port-1",
		MAC: model.MAC{2, 3}, FixedIPs: []model.FixedIP{{SubnetID: model.SubnetID{UUID: model.UUID{3}}, Address: netip.MustParseAddr("10.0.0.4")}}, DeviceID: "device",
		DeviceOwner: "compute:nova", Status: model.StatusDown, SecurityGroups: []model.SecurityGroupID{{UUID: model.UUID{4}}}, VNICType: "normal", VIFType: "unbound"})
	if err != nil {
		b.Fatal(err)
	}
	d, known := New[model.Port]("project_id", "status", "device_owner"), Words{}
	for name, decode := range map[string]func(*model.Port) error{
		"rowjson": func(p *model.Port) error { return d.Decode(body, p, known) },
		"json":    func(p *model.Port) error { return json.Unmarshal(body, p) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := decode(new(model.Port)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	if strings.Contains(string(body), "\\") {
		b.Fatal("the port has escapes")
	}
}
