// Package proc starts, finds and stops the background processes of the lab.
//
// A process outlives the command that started it, so it is known by a record on disk: pid and start time, which together
// name a process for as long as the machine is up. Each process also carries a mark in its environment, so that one
// which was started but not yet recorded when its starter was killed is found, too. Nothing here restarts a process: in
// the lab, what dies stays dead until somebody says otherwise.
package proc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/linux"
)

// MarkKey is the environment variable whose value is the lab's id in every process of the lab.
const MarkKey = "WEFT_LAB"

// Spec says what to start.
type Spec struct {
	// Name is unique among the lab's processes; it names the record and, with ".log", the log.
	Name string
	// Netns is the network namespace to start in; "" is the caller's own.
	Netns string
	// Args is the command with its arguments; Args[0] is a path.
	Args []string
	// Env is added to the environment.
	Env []string
}

// Record is a process that was started.
type Record struct {
	Name  string   `json:"name"`
	PID   int      `json:"pid"`
	Start uint64   `json:"start"`
	Netns string   `json:"netns,omitempty"`
	Args  []string `json:"args"`
	Env   []string `json:"env,omitempty"`
}

// Spec is what would start the process again.
func (r Record) Spec() Spec { return Spec{Name: r.Name, Netns: r.Netns, Args: r.Args, Env: r.Env} }

// Alive reports whether the process still runs.
func (r Record) Alive() bool {
	start, ok := linux.ProcessStart(r.PID)
	return ok && start == r.Start
}

// Keeper holds the records of one lab.
type Keeper struct{ runDir, logDir, mark string }

// New returns a Keeper with its records in runDir and logs in logDir. id is the lab's.
func New(runDir, logDir, id string) *Keeper {
	return &Keeper{runDir: runDir, logDir: logDir, mark: MarkKey + "=" + id}
}

// LogPath is where the process of that name writes its standard output and error.
func (k *Keeper) LogPath(name string) string { return filepath.Join(k.logDir, name+".log") }

func (k *Keeper) recordPath(name string) string { return filepath.Join(k.runDir, name+".json") }

// ErrRunning is returned by Start for a name whose process runs.
var ErrRunning = errors.New("already running")

// Start starts the process in a session of its own, detached from the caller's terminal and life. ended is closed when
// the process ends, if the caller is still there to see it.
func (k *Keeper) Start(s Spec) (r Record, ended <-chan struct{}, err error) {
	if old, err := k.Find(s.Name); err == nil && old.Alive() {
		return old, nil, fmt.Errorf("start %s: %w", s.Name, ErrRunning)
	}
	log, err := os.OpenFile(k.LogPath(s.Name), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return r, nil, fmt.Errorf("start %s: %w", s.Name, err)
	}
	defer log.Close()
	cmd := exec.Command(s.Args[0], s.Args[1:]...)
	cmd.Env = append(append(os.Environ(), k.mark), s.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := linux.InNetns(s.Netns, cmd.Start); err != nil {
		return r, nil, fmt.Errorf("start %s: %w", s.Name, err)
	}
	r = Record{Name: s.Name, PID: cmd.Process.Pid, Netns: s.Netns, Args: s.Args, Env: s.Env}
	r.Start, _ = linux.ProcessStart(r.PID)
	done := make(chan struct{})
	go func() {
		cmd.Wait() //nolint:errcheck // how it ended is in its log
		close(done)
	}()
	return r, done, k.save(r)
}

func (k *Keeper) save(r Record) error {
	b, err := json.Marshal(r)
	if err == nil {
		tmp := k.recordPath(r.Name) + ".new"
		if err = os.WriteFile(tmp, b, 0o644); err == nil {
			err = os.Rename(tmp, k.recordPath(r.Name))
		}
	}
	if err != nil {
		return fmt.Errorf("record process %s: %w", r.Name, err)
	}
	return nil
}

// Find returns the record of that name; fs.ErrNotExist if there is none.
func (k *Keeper) Find(name string) (Record, error) {
	var r Record
	b, err := os.ReadFile(k.recordPath(name))
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		return r, fmt.Errorf("process %s: %w", name, err)
	}
	return r, nil
}

// Records lists all records, sorted by name.
func (k *Keeper) Records() ([]Record, error) {
	ents, err := os.ReadDir(k.runDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var out []Record
	for _, e := range ents {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue
		}
		if r, err := k.Find(name); err == nil {
			out = append(out, r)
		}
	}
	return out, nil
}

// Stop ends the process of that name, first politely, after grace by force, and removes its record. It is no error if
// there is none.
func (k *Keeper) Stop(ctx context.Context, name string, grace time.Duration) error {
	r, err := k.Find(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := end(ctx, []Record{r}, grace); err != nil {
		return err
	}
	return os.Remove(k.recordPath(name))
}

// StopAll ends every recorded process, every process that bears the lab's mark, and the processes in extra (pids), in
// this process's stead never itself.
func (k *Keeper) StopAll(ctx context.Context, extra []int, grace time.Duration) error {
	recs, err := k.Records()
	if err != nil {
		return err
	}
	for _, pid := range append(linux.PIDsWithEnv(k.mark), extra...) {
		start, ok := linux.ProcessStart(pid)
		known := slices.ContainsFunc(recs, func(r Record) bool { return r.PID == pid && r.Start == start })
		if ok && !known && pid != os.Getpid() {
			recs = append(recs, Record{Name: fmt.Sprintf("pid %d", pid), PID: pid, Start: start})
		}
	}
	return end(ctx, recs, grace)
}

// end signals all at once, so that the wait is that of the slowest.
func end(ctx context.Context, recs []Record, grace time.Duration) error {
	left, err := signalAll(recs, unix.SIGTERM)
	if err != nil {
		return err
	}
	if left = await(ctx, left, grace); len(left) == 0 {
		return nil
	}
	if left, err = signalAll(left, unix.SIGKILL); err != nil {
		return err
	}
	if left = await(ctx, left, 10*time.Second); len(left) > 0 {
		return fmt.Errorf("stop %s (pid %d): it does not end, not even by SIGKILL", left[0].Name, left[0].PID)
	}
	return nil
}

func signalAll(recs []Record, sig unix.Signal) (left []Record, err error) {
	for _, r := range recs {
		gone, serr := linux.Signal(r.PID, r.Start, sig)
		if serr != nil {
			err = errors.Join(err, fmt.Errorf("stop %s: %w", r.Name, serr))
		} else if !gone {
			left = append(left, r)
		}
	}
	return left, err
}

func await(ctx context.Context, recs []Record, limit time.Duration) (left []Record) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		recs = slices.DeleteFunc(slices.Clone(recs), func(r Record) bool { return !r.Alive() })
		if len(recs) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return recs
		case <-tick.C:
		}
	}
}
