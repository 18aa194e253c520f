// Package server drives a Weft server from outside, as a process: by its API, its commands, its signals and its disk. It
// holds what cannot be seen from inside one process: what is left after kill -9, on a full disk, after a restore, and what
// the OpenStack client makes of the answers.
package server

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/test/rig"
)

// insideEnv is set in the child that runs the tests, binaryEnv names the binary under test; it is built if not set.
const (
	insideEnv = "WEFT_SERVER_TEST_INSIDE"
	binaryEnv = "WEFT_SERVER_TEST_BINARY"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run runs the tests in a child; as root in a mount namespace of its own, so that no file system is left mounted.
func run(m *testing.M) int {
	flag.Parse()
	if testing.Short() {
		fmt.Println("SKIP: takes most of a minute and builds the binary")
		return 0
	}
	if os.Getenv(insideEnv) != "" {
		if os.Geteuid() == 0 {
			if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
				fmt.Println("private mounts:", err)
				return 1
			}
		}
		return m.Run()
	}
	path := os.Getenv(binaryEnv)
	if path == "" {
		dir, err := os.MkdirTemp("", "weft-server-test-")
		if err != nil {
			fmt.Println(err)
			return 1
		}
		defer os.RemoveAll(dir)
		if path, err = rig.Build(dir); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1", binaryEnv+"="+path)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1)
	} else if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

type object = map[string]any

// start runs a server that ends with the test.
func start(t *testing.T, o rig.Options) *rig.Server {
	t.Helper()
	o.Weft = os.Getenv(binaryEnv)
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := rig.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("end of the server: %v\n%s", err, s.Log())
		}
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// weft runs a command of the binary and returns what it printed.
func weft(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), os.Getenv(binaryEnv), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("weft %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// create makes an object and returns it.
func create(t *testing.T, s *rig.Server, kind string, attrs object) object {
	t.Helper()
	var out map[string]object
	if err := s.Do(t.Context(), "", "POST", "/v2.0/"+kind+"s", object{kind: attrs}, &out); err != nil {
		t.Fatal(err)
	}
	return out[kind]
}
