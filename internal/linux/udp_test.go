package linux

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestUDPHolder(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(c.LocalAddr().(*net.UDPAddr).Port) //nolint:gosec // a port
	who, err := UDPHolder(port)
	if err != nil || !strings.HasSuffix(who, "(pid "+strconv.Itoa(os.Getpid())+")") {
		t.Errorf("%q, %v", who, err)
	}
	c.Close()
	if who, err := UDPHolder(port); err != nil || who != "" {
		t.Errorf("after it was closed: %q, %v", who, err)
	}
}
