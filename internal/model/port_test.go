package model

import (
	"encoding/json"
	"reflect"
	"testing"
	"unsafe"
)

// What a port is counts a hundred thousand times: 480 is a size class of Go's, and up to 512 a page's objects are looked through together.
func TestPortIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Port{}); size > 480 {
		t.Errorf("a port takes %d bytes", size)
	}
}

func TestRarePort(t *testing.T) {
	p := Port{Name: "p"}
	p.SetRare(func(r *RarePort) { r.DeviceProfile, r.Hints = "gpu", json.RawMessage(`{"a":1}`) })
	other := p
	other.SetRare(func(r *RarePort) { r.DeviceProfile = "fpga" })
	if p.Rare().DeviceProfile != "gpu" || other.Rare().DeviceProfile != "fpga" || string(other.Rare().Hints) != `{"a":1}` {
		t.Errorf("%+v and %+v", p.Rare(), other.Rare())
	}
	body, err := json.Marshal(&p)
	if err != nil {
		t.Fatal(err)
	}
	var again Port
	if err := json.Unmarshal(body, &again); err != nil || !reflect.DeepEqual(again, p) {
		t.Errorf("%s comes back as %+v, %v", body, again, err)
	}
	p.SetRare(func(r *RarePort) { *r = RarePort{} })
	if p.RarePort != nil || p.Rare().DeviceProfile != "" {
		t.Errorf("%+v is left of nothing", p.RarePort)
	}
}
