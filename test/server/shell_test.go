package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/weft-cloud/weft/test/rig"
)

// shell is the unmodified OpenStack client.
type shell struct {
	t   *testing.T
	cli *rig.OpenStack
}

// newShell starts the client as the administrator; the test is skipped where there is none.
func newShell(t *testing.T, s *rig.Server) *shell {
	t.Helper()
	cli, err := rig.StartOpenStack(append(os.Environ(), "OS_AUTH_URL="+s.Keystone+"/v3", "OS_USERNAME=admin", "OS_PASSWORD="+rig.AdminPassword,
		"OS_PROJECT_NAME=admin", "OS_USER_DOMAIN_NAME=Default", "OS_PROJECT_DOMAIN_NAME=Default", "OS_IDENTITY_API_VERSION=3", "OS_REGION_NAME=RegionOne"))
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cli.Close)
	return &shell{t, cli}
}

// do runs a command, which must succeed and complain about nothing, and returns what it prints.
func (sh *shell) do(format string, args ...any) string {
	sh.t.Helper()
	command := fmt.Sprintf(format, args...)
	out, complaints, err := sh.cli.RunLine(command)
	if err != nil {
		sh.t.Fatal(err)
	}
	if complaints != "" {
		sh.t.Errorf("openstack %s: %s", command, complaints)
	}
	return out
}

// ask runs a command and decodes what it prints into out.
func (sh *shell) ask(out any, format string, args ...any) {
	sh.t.Helper()
	text := sh.do(format+" -f json", args...)
	if err := json.Unmarshal([]byte(text), out); err != nil {
		sh.t.Fatalf("openstack %s: %v\n%s", fmt.Sprintf(format, args...), err, text)
	}
}

// show runs a command that prints one object.
func (sh *shell) show(format string, args ...any) (o object) {
	sh.t.Helper()
	sh.ask(&o, format, args...)
	return o
}

// has runs a command that prints one object, which must have these values.
func (sh *shell) has(want object, format string, args ...any) object {
	sh.t.Helper()
	o := sh.show(format, args...)
	for k, v := range want {
		if fmt.Sprint(o[k]) != fmt.Sprint(v) {
			sh.t.Errorf("openstack %s: %s is %v, want %v", fmt.Sprintf(format, args...), k, o[k], v)
		}
	}
	return o
}

// list runs a command that prints rows, of which there must be so many at least.
func (sh *shell) list(least int, format string, args ...any) (rows []object) {
	sh.t.Helper()
	sh.ask(&rows, format, args...)
	if len(rows) < least {
		sh.t.Errorf("openstack %s: %d rows, want %d: %v", fmt.Sprintf(format, args...), len(rows), least, rows)
	}
	return rows
}
