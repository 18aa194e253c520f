package world

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/weft-cloud/weft/internal/model"
)

// BenchmarkPutPort is what one port costs a transaction of its own, in a world of 100,000.
func BenchmarkPutPort(b *testing.B) {
	w := New(model.UUID{1})
	n := uint64(0)
	port := func() *model.Port {
		n++
		var u model.UUID
		binary.BigEndian.PutUint64(u[:], n*0x9e3779b97f4a7c15)
		p := &model.Port{ID: model.PortID{UUID: u}, NetworkID: model.NetworkID{UUID: model.UUID{byte(n)}}, ProjectID: fmt.Sprint(n % 100),
			DeviceID: fmt.Sprint(n), Host: fmt.Sprint("host", n%50), Name: fmt.Sprint("name", n)}
		binary.BigEndian.PutUint32(p.MAC[2:], uint32(n))
		p.FixedIPs = []model.FixedIP{{Address: netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})}}
		return p
	}
	tx := begin(w, 1, 1)
	for range 100000 {
		tx.Ports.Put(port())
	}
	w, _ = tx.end()
	b.ReportAllocs()
	for b.Loop() {
		tx := begin(w, w.pos.Revision+1, 1)
		tx.Ports.Put(port())
		w, _ = tx.end()
	}
}
