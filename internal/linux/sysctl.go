package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// SetSysctl writes value to the file of that key ("net/ipv6/conf/eth0/accept_ra"). /proc/sys/net shows the namespace of
// the thread that looks. absent is true if the kernel has no such key (IPv6 switched off at boot, say).
func SetSysctl(ns, key, value string) (absent bool, err error) {
	err = InNetns(ns, func() error { return os.WriteFile(filepath.Join("/proc/sys", key), []byte(value), 0o644) })
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	} else if err != nil {
		return false, fmt.Errorf("set sysctl %s to %s: %w", key, value, err)
	}
	return false, nil
}

// Sysctl reads the value of that key.
func Sysctl(ns, key string) (string, error) {
	var b []byte
	err := InNetns(ns, func() (err error) {
		b, err = os.ReadFile(filepath.Join("/proc/sys", key))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read sysctl %s: %w", key, err)
	}
	return strings.TrimSpace(string(b)), nil
}
