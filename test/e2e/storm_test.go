package e2e

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

// storm asks for everything that a host serves, as fast as it can, until it is killed: DHCPv4, DHCPv6, router solicitations, DNS and
// metadata. It prints a line once each kind has been asked.
const storm = `
import socket, struct, sys, threading, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(('eth0', 0))
mac = s.getsockname()[4]
ll = b'\xfe\x80' + bytes(6) + bytes([mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]])
def sum16(b):
    b += b'\0' * (len(b) % 2)
    n = sum(struct.unpack('!%dH' % (len(b) // 2), b))
    while n >> 16: n = (n & 0xffff) + (n >> 16)
    return ~n & 0xffff
def ip4(dst, udp):
    h = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes(4), dst)
    return b'\xff' * 6 + mac + b'\x08\0' + h[:10] + struct.pack('!H', sum16(h)) + h[12:] + udp
def ip6(dst, group, proto, body, at):
    pseudo = ll + dst + struct.pack('!II', len(body), proto)
    body = body[:at] + struct.pack('!H', sum16(pseudo + body)) + body[at + 2:]
    return group + mac + b'\x86\xdd' + struct.pack('!IHBB', 6 << 28, len(body), proto, 255) + ll + dst + body
discover = struct.pack('!BBBB4sHH', 1, 1, 6, 0, b'weft', 0, 0x8000) + bytes(16) + mac + bytes(10 + 192) + b'\x63\x82\x53\x63\x35\x01\x01\xff'
solicit = b'\x01\0\0\1' + struct.pack('!HHHH', 1, 10, 3, 1) + mac + struct.pack('!HHIII', 3, 12, 1, 0, 0)
frames = [
    ip4(b'\xff' * 4, struct.pack('!HHHH', 68, 67, 8 + len(discover), 0) + discover),
    ip6(b'\xff\2' + bytes(11) + b'\1\0\2', b'\x33\x33\0\1\0\2', 17, struct.pack('!HHHH', 546, 547, 8 + len(solicit), 0) + solicit, 6),
    ip6(b'\xff\2' + bytes(13) + b'\2', b'\x33\x33\0\0\0\2', 58, b'\x85\0\0\0\0\0\0\0', 2),
]
def raw():
    while True:
        for f in frames: s.send(f)
        time.sleep(0.0005)
def dns(server):
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    while True:
        u.sendto(b'\1\2\1\0\0\1\0\0\0\0\0\0\4name\4some\0\0\1\0\1', (server, 53))
        time.sleep(0.001)
def web():
    while True:
        try:
            c = socket.create_connection(('169.254.169.254', 80), 1)
            c.send(b'GET /openstack/latest/meta_data.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
            c.recv(1000)
        except OSError: time.sleep(0.01)
for target, args in [(raw, ()), (dns, (sys.argv[1],))] + [(web, ())] * 12:
    threading.Thread(target=target, args=args, daemon=True).start()
print('storming', flush=True)
time.sleep(120)
`

// stormHarmsNobody: while one instance asks without end for all that its host serves, another boots on that host as fast as before, with its
// address, metadata and names; the doctor of the host names the first, and what was past its share is counted.
func stormHarmsNobody(t *testing.T, dir string) {
	admin := newClient(t, "admin")
	server := ""
	for _, p := range admin.list("port", "list", "--device-owner", "network:dhcp", "-c", "Fixed IP Addresses") {
		for _, ip := range list(p["Fixed IP Addresses"]) {
			if strings.HasPrefix(ip, "172.16.42.") {
				server = ip
			}
		}
	}
	if server == "" {
		t.Fatal("red has no resolver")
	}
	boots := func(name string) time.Duration {
		t.Helper()
		start := time.Now()
		must(t, "lab", "boot", name, "--host", "compute1", "--network", "red")
		eventually(t, func() string {
			if out := must(t, "lab", "logs", name); !strings.Contains(out, "leased from 172.16.42.") || !strings.Contains(out, "metadata: I am "+name+" (") {
				return out
			}
			return ""
		})
		took := time.Since(start)
		t.Cleanup(func() { must(t, "lab", "delete", name) })
		return took
	}
	calm := boots("calm")
	device := ""
	for _, i := range labStatus(t).Instances {
		if i.Name == "calm" { // it storms then, and goes with the traces of that
			device = i.Device
		}
	}
	cmd := exec.Command("ip", "netns", "exec", "weft-vm-calm", "python3", "-c", storm, server) //nolint:gosec // a test's own words
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill() //nolint:errcheck // it is there
		cmd.Wait()         //nolint:errcheck // killed
	}()
	eventually(t, func() string {
		if text := examine(dir, "compute1", device); !says(text, "BROKEN", "asks in measure", "were past its share") {
			return text
		}
		return ""
	})
	stormy := boots("stormy")
	t.Logf("an instance boots in %v, beside a storm in %v", calm.Round(time.Millisecond), stormy.Round(time.Millisecond))
	if stormy > 2*calm+3*time.Second {
		t.Errorf("an instance boots in %v beside a storm, else in %v", stormy, calm)
	}
	for _, name := range []string{"host-" + strings.ReplaceAll(server, ".", "-"), "host-172-16-42-1"} {
		if out, err := weft("lab", "exec", "stormy", "--", "python3", "-c", ask, server, name+".openstacklocal"); err != nil || !strings.Contains(out, "answered") {
			t.Errorf("a name beside a storm: %v %s", err, out)
		}
	}
}

// ask is a resolver's question over UDP, once, without patience.
const ask = `
import socket, sys
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.settimeout(2)
q = b''.join(bytes([len(l)]) + l.encode() for l in sys.argv[2].split('.')) + b'\0'
u.sendto(b'\1\2\1\0\0\1\0\0\0\0\0\0' + q + b'\0\1\0\1', (sys.argv[1], 53))
a = u.recv(2000)
print('answered', a[3] & 15)
`

// list are the addresses that a client of OpenStack shows in a column.
func list(column any) (out []string) {
	rows, _ := column.([]any)
	for _, r := range rows {
		if m, ok := r.(map[string]any); ok {
			if ip, ok := m["ip_address"].(string); ok {
				out = append(out, ip)
			}
		}
	}
	return out
}
