package frame

import (
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/weft-cloud/weft/internal/model"
)

// The frames are written out by hand from RFC 826, RFC 5227 and RFC 4861.
func TestNeighborFrames(t *testing.T) {
	mac, asker := model.MAC{0, 0, 0x5e, 0, 1, 7}, model.MAC{0xfa, 0x16, 0x3e, 1, 2, 3}
	v4, v6 := netip.MustParseAddr("172.16.42.100"), netip.MustParseAddr("fd00:42::64")
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"ARP announcement", Announcement(v4, mac), "ffffffffffff" + "00005e000107" + "0806" + "0001080006040001" + "00005e000107" + "ac102a64" + "000000000000" + "ac102a64"},
		{"ARP probe", Probe(v4, mac, asker), "00005e000107" + "fa163e010203" + "0806" + "0001080006040001" + "fa163e010203" + "00000000" + "000000000000" + "ac102a64"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.name, got, c.want)
		}
	}
	na, err := ParseICMP6(Announcement(v6, mac))
	if err != nil || na.Type != 136 || na.HopLimit != 255 || na.Src != v6 || na.Dst != netip.MustParseAddr("ff02::1") || na.SrcMAC != mac ||
		hex.EncodeToString(na.Body) != "20000000"+"fd000042000000000000000000000064"+"0201"+"00005e000107" {
		t.Errorf("unsolicited advertisement %+v, %v", na, err)
	}
	ns, err := ParseICMP6(Probe(v6, mac, asker))
	if err != nil || ns.Type != 135 || ns.HopLimit != 255 || ns.Dst != v6 || ns.DstMAC != mac || ns.Src != netip.MustParseAddr("fe80::f816:3eff:fe01:203") ||
		hex.EncodeToString(ns.Body) != "00000000"+"fd000042000000000000000000000064"+"0101"+"fa163e010203" {
		t.Errorf("solicitation %+v, %v", ns, err)
	}
}
