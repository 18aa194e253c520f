package linux

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// UDPHolder names the process that has a UDP port of this network namespace open, such as "dnsmasq (pid 812)"; "" if none
// has. A port that only the kernel itself uses (a VXLAN device) has no holder.
func UDPHolder(port uint16) (string, error) {
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"} {
		if err := udpSockets(table, port, inodes); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("who has UDP port %d: %w", port, err)
		}
	}
	if len(inodes) == 0 {
		return "", nil
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return "", err
	}
	for _, l := range links {
		to, err := os.Readlink(l)
		if err != nil || !strings.HasPrefix(to, "socket:[") || !inodes[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] {
			continue
		}
		pid := strings.Split(l, "/")[2]
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			continue // it is gone
		}
		return strings.TrimSpace(string(name)) + " (pid " + pid + ")", nil
	}
	return "", nil
}

// udpSockets adds the inodes of a table's sockets on a port (proc(5), /proc/net/udp).
func udpSockets(table string, port uint16, into map[string]bool) error {
	f, err := os.Open(table)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 {
			continue
		}
		_, local, ok := strings.Cut(fields[1], ":")
		n, err := strconv.ParseUint(local, 16, 16)
		if ok && err == nil && uint16(n) == port {
			into[fields[9]] = true
		}
	}
	return lines.Err()
}
