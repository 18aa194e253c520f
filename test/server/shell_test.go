package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-cloud/weft/test/rig"
)

// shell is one interactive process of the unmodified OpenStack client: it takes seconds to start, a command far less.
type shell struct {
	t      *testing.T
	in     io.WriteCloser
	values chan json.RawMessage // what it printed, as JSON
	ended  chan struct{}

	mu   sync.Mutex // guards said
	said bytes.Buffer
}

// newShell starts the client as the administrator; the test is skipped where there is none.
func newShell(t *testing.T, s *rig.Server) *shell {
	t.Helper()
	path, err := exec.LookPath("openstack")
	if err != nil {
		t.Skip("needs the OpenStack client: apt install python3-openstackclient")
	}
	cmd := exec.CommandContext(t.Context(), path)
	cmd.Env = append(os.Environ(), "PYTHONUNBUFFERED=1", "PYTHONWARNINGS=ignore", "OS_AUTH_URL="+s.Keystone+"/v3", "OS_USERNAME=admin", "OS_PASSWORD="+rig.AdminPassword,
		"OS_PROJECT_NAME=admin", "OS_USER_DOMAIN_NAME=Default", "OS_PROJECT_DOMAIN_NAME=Default", "OS_IDENTITY_API_VERSION=3", "OS_REGION_NAME=RegionOne")
	sh := &shell{t: t, values: make(chan json.RawMessage), ended: make(chan struct{})}
	if sh.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = sh
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		sh.read(out)
		_ = cmd.Wait() // what went wrong is what it said
		close(sh.ended)
	}()
	t.Cleanup(func() {
		sh.in.Close()
		<-sh.ended
	})
	return sh
}

// Write takes what the client complains about.
func (sh *shell) Write(b []byte) (int, error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.said.Write(b)
}

// complaints are what it has complained about since they were asked for last.
func (sh *shell) complaints() string {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	text := sh.said.String()
	sh.said.Reset()
	return text
}

// read hands on each JSON value in what is printed; prompts are left out.
func (sh *shell) read(out io.Reader) {
	var value bytes.Buffer
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		value.WriteString(strings.ReplaceAll(line, "(openstack) ", ""))
		if b := bytes.TrimSpace(value.Bytes()); len(b) > 0 && json.Valid(b) {
			select {
			case sh.values <- bytes.Clone(b):
			case <-sh.t.Context().Done():
				return
			}
			value.Reset()
		}
		if err != nil {
			return
		}
	}
}

// patience is how long a command may take on a machine that does something else, too.
const patience = 90 * time.Second

// do runs a command that prints nothing.
func (sh *shell) do(format string, args ...any) {
	sh.t.Helper()
	if _, err := fmt.Fprintf(sh.in, format+"\n", args...); err != nil {
		sh.t.Fatalf("the client has ended: %v\n%s", err, sh.complaints())
	}
}

// ask runs a command and decodes what it prints into out.
func (sh *shell) ask(out any, format string, args ...any) {
	sh.t.Helper()
	sh.do(format+" -f json", args...)
	command := fmt.Sprintf(format, args...)
	for began := time.Now(); ; {
		select {
		case b := <-sh.values:
			if err := json.Unmarshal(b, out); err != nil {
				sh.t.Fatalf("openstack %s: %v\n%s", command, err, b)
			}
			if text := sh.complaints(); text != "" {
				sh.t.Errorf("before or at openstack %s: %s", command, text)
			}
			return
		case <-sh.ended:
			sh.t.Fatalf("openstack %s: the client has ended: %s", command, sh.complaints())
		case <-time.After(300 * time.Millisecond):
			if text := sh.complaints(); text != "" || time.Since(began) > patience {
				sh.t.Fatalf("before or at openstack %s: no answer: %s", command, text)
			}
		}
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
