package proc

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func newKeeper(t *testing.T) *Keeper {
	t.Helper()
	dir := t.TempDir()
	return New(dir, dir, "test-"+t.Name()+"-"+strings.ReplaceAll(dir, "/", "_"))
}

func TestStartRecordsAndStopEnds(t *testing.T) {
	k := newKeeper(t)
	r, ended, err := k.Start(Spec{Name: "a", Args: []string{"/bin/sh", "-c", "echo $HELLO; exec sleep 60"}, Env: []string{"HELLO=there"}})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Alive() {
		t.Error("not alive")
	}
	if found, err := k.Find("a"); err != nil || found.PID != r.PID || found.Start != r.Start {
		t.Errorf("found %+v, %v", found, err)
	}
	if _, _, err := k.Start(r.Spec()); !errors.Is(err, ErrRunning) {
		t.Errorf("second start: %v", err)
	}
	waitFor(t, func() bool { b, _ := os.ReadFile(k.LogPath("a")); return string(b) == "there\n" })
	for range 2 {
		if err := k.Stop(context.Background(), "a", time.Second); err != nil {
			t.Fatal(err)
		}
	}
	<-ended
	if r.Alive() {
		t.Error("still alive")
	}
	if _, err := k.Find("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("record left: %v", err)
	}
}

func TestStopForcesWhatDoesNotListen(t *testing.T) {
	k := newKeeper(t)
	r, _, err := k.Start(Spec{Name: "deaf", Args: []string{"/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"}})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { b, _ := os.ReadFile(k.LogPath("deaf")); return len(b) > 0 })
	if err := k.StopAll(context.Background(), nil, 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if r.Alive() {
		t.Error("still alive")
	}
}

func TestStopAllFindsTheUnrecorded(t *testing.T) {
	k := newKeeper(t)
	cmd := exec.Command("sleep", "60")
	cmd.Env = []string{k.mark}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	other := exec.Command("sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Process.Kill() //nolint:errcheck // best effort
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	if err := k.StopAll(context.Background(), nil, time.Second); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the marked process lives")
	}
	if err := other.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the other process was hit: %v", err)
	}
}

func TestOldRecordNamesNoOtherProcess(t *testing.T) {
	k := newKeeper(t)
	if err := k.save(Record{Name: "old", PID: os.Getpid(), Start: 1}); err != nil {
		t.Fatal(err)
	}
	if err := k.StopAll(context.Background(), nil, time.Second); err != nil { // would kill the test
		t.Fatal(err)
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("did not come")
		}
	}
}
