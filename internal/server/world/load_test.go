package world

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/weft-cloud/weft/internal/model"
)

// somePorts puts ports that share much, in the order of chance.
func somePorts(tx *Tx) {
	random := rand.New(rand.NewPCG(1, 2))
	uuid := func(kinds int) (u model.UUID) {
		if u[0], u[15] = byte(random.IntN(kinds)), 1; kinds == 256 {
			u[7], u[15] = byte(random.IntN(256)), byte(random.IntN(256))
		}
		return u
	}
	for i := range 2000 {
		p := &model.Port{ID: model.PortID{UUID: uuid(256)}, NetworkID: model.NetworkID{UUID: uuid(5)}, ProjectID: fmt.Sprint("p", random.IntN(3)),
			Name: fmt.Sprint(random.IntN(700)), DeviceID: fmt.Sprint("d", random.IntN(50)), MAC: model.MAC{2, 0, 0, 0, byte(i >> 8), byte(i)}}
		for range random.IntN(3) {
			a := [16]byte{0: 0x20, 14: byte(i), 15: byte(random.IntN(256))}
			p.FixedIPs = append(p.FixedIPs, model.FixedIP{SubnetID: model.SubnetID{UUID: uuid(9)}, Address: netip.AddrFrom16(a)},
				model.FixedIP{SubnetID: model.SubnetID{UUID: uuid(9)}, Address: netip.AddrFrom4([4]byte{10, a[15], a[14], byte(i)})})
		}
		for g := range byte(random.IntN(4)) {
			p.SecurityGroups = append(p.SecurityGroups, model.SecurityGroupID{UUID: model.UUID{g}})
		}
		tx.Ports.Put(p)
	}
}

// inOrder is what the indexes of the ports yield.
func inOrder(tx *Tx) (all []model.PortID) {
	add := func(ports ...*model.Port) {
		for _, p := range ports {
			all = append(all, p.ID)
		}
		all = append(all, model.PortID{})
	}
	for i := range byte(9) {
		add(slices.Collect(tx.Ports.ByNetwork(model.NetworkID{UUID: model.UUID{i, 15: 1}}))...)
		add(slices.Collect(tx.Ports.BySecurityGroup(model.SecurityGroupID{UUID: model.UUID{i}}))...)
		add(slices.Collect(tx.Ports.ByProject(fmt.Sprint("p", i)))...)
		for _, p := range tx.Ports.Addresses(model.SubnetID{UUID: model.UUID{i, 15: 1}}, netip.IPv6Unspecified()) {
			add(p)
		}
	}
	for p := range tx.Ports.All() {
		add(slices.Collect(tx.Ports.ByMAC(p.MAC))...)
		add(slices.Collect(tx.Ports.ByName(p.Name))...)
		add(slices.Collect(tx.Ports.ByDevice(p.DeviceID))...)
	}
	return all
}

// A table that was filled at once is the same as one into which the rows were put one after the other: each index yields the same rows
// in the same order, and finds all of them again when they go.
func TestFillIsAsPut(t *testing.T) {
	put, filled := begin(New(model.UUID{}), 1, 1), begin(New(model.UUID{}), 1, 1)
	somePorts(put)
	rows := []any{}
	for p := range put.Ports.All() {
		rows = append(rows, p)
	}
	if err := filled.Ports.fill(rows); err != nil {
		t.Fatal(err)
	}
	if err := begin(New(model.UUID{}), 1, 1).Ports.fill([]any{rows[0], rows[0]}); err == nil {
		t.Error("a row that is there twice is taken")
	}
	want, got := inOrder(put), inOrder(filled)
	if len(want) < 20000 || !slices.Equal(got, want) {
		t.Fatalf("%d rows in another order than %d that were put", len(got), len(want))
	}
	rand.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	for _, p := range rows {
		filled.Ports.Delete(p.(*model.Port).ID)
	}
	for i, x := range filled.Ports.idx {
		left := 0
		switch x := x.(type) {
		case *lookup[model.Port, string]:
			left = x.tree.n
		case *ordered[model.Port, at]:
			left = x.tree.n
		}
		if cmp.Or(left, filled.Ports.Len()) != 0 {
			t.Errorf("index %d has %d rows that are gone", i, left)
		}
	}
}

// What a start reads of a row is what encoding/json wrote of it, and nothing of the row's own bytes.
func TestRowsAreReadAsWritten(t *testing.T) {
	want := &model.Port{ID: model.PortID{UUID: model.UUID{1}}, Name: "a \"name\" \u2028 <ü> \x00", ProjectID: "p", MAC: model.MAC{2, 3}, AdminStateUp: true,
		FixedIPs:       []model.FixedIP{{SubnetID: model.SubnetID{UUID: model.UUID{3}}, Address: netip.MustParseAddr("fd00::4")}},
		SecurityGroups: []model.SecurityGroupID{{UUID: model.UUID{4}}}, Profile: json.RawMessage(`{"a":["\u00fc",1e3]}`), VIFDetails: json.RawMessage(`{}`)}
	want.CreatedAt, want.Tags = model.Time(time.Date(2026, 11, 28, 1, 2, 3, 0, time.UTC).Unix()), []string{"x", ""}
	want.SetRare(func(r *model.RarePort) { r.DeviceProfile, r.Hints = "gpu", json.RawMessage(`{"k":{}}`) })
	for _, p := range []*model.Port{want, {}, {ID: want.ID, RarePort: &model.RarePort{DataPlaneStatus: "DOWN"}}} {
		body, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		ports := begin(New(model.UUID{}), 1, 1).Ports
		got, err := ports.decode(body, 0, words{})
		for i := range body {
			body[i] = '#'
		}
		if diff := gocmp.Diff(p, got, gocmp.Comparer(func(a, b netip.Addr) bool { return a == b })); err != nil || diff != "" {
			t.Errorf("%v (-written +read)\n%s", err, diff)
		} else if read := got.(*model.Port); cap(read.FixedIPs) != len(p.FixedIPs) || cap(read.SecurityGroups) != len(p.SecurityGroups) {
			t.Errorf("room for %d addresses and %d groups, of %d and %d", cap(read.FixedIPs), cap(read.SecurityGroups), len(p.FixedIPs), len(p.SecurityGroups))
		}
	}
	for _, bad := range []string{``, `{`, `{"id":"x"}`, `{"name":7}`, `[]`, `{} {}`, `{"mac":"nonsense"}`} {
		ports := begin(New(model.UUID{}), 1, 1).Ports
		if v, err := ports.decode([]byte(bad), 0, words{}); err == nil {
			t.Errorf("%q is read as %+v", bad, v)
		}
	}
}
