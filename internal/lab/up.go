package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/lab/proc"
	"github.com/weft-cloud/weft/internal/linux"
)

// Progress hears of each step: once when it begins, and done when it has ended.
type Progress func(step string) (done func(err error))

// step is one thing that Up does; its name completes "weft lab up: …".
type step struct {
	name string
	do   func(context.Context) error
}

// Up brings a lab up. probe says whether the kernel can carry the data plane. When it fails or ctx ends, whatever it made
// is removed again before it returns.
func Up(ctx context.Context, o Options, probe func() error, tell Progress) (*Record, error) {
	if err := CheckRoot(); err != nil {
		return nil, err
	}
	if old, err := Load(); err == nil {
		return nil, alreadyUp(old)
	}
	l, err := takeLock()
	if err != nil {
		return nil, err
	}
	defer l.release()
	if old, err := Load(); err == nil { // between the look and the lock
		return nil, alreadyUp(old)
	}
	r := &Record{ID: randomHex(8), Options: o, Created: time.Now()}
	r.Passwords.Admin, r.Passwords.Service, r.Passwords.Demo, r.Passwords.Metadata = randomHex(8), randomHex(16), randomHex(8), randomHex(16)
	done := tell("look at the machine")
	err = checkMachine(o, probe)
	done(err)
	if err != nil {
		return nil, errors.Join(err, l.removeRunDir())
	}
	room, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go watchRoom(room, o.StateDir, stop)
	for _, s := range r.steps() {
		done := tell(s.name)
		err := s.do(room)
		if err == nil {
			err = room.Err()
		}
		done(err)
		if err != nil {
			if ctx.Err() != nil {
				err = errors.New("interrupted")
			} else if room.Err() != nil {
				err = context.Cause(room)
			}
			return nil, r.undo(l, s.name, err)
		}
	}
	r.Ready = true
	return r, r.save()
}

// watchRoom stops what is being done when the disk is full: else each process would wait in vain for others that cannot even log why.
func watchRoom(ctx context.Context, dir string, stop context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(300 * time.Millisecond):
			if full(dir) {
				stop(fmt.Errorf("write below %s: %w", dir, unix.ENOSPC))
				return
			}
		}
	}
}

func alreadyUp(r *Record) error {
	if r.Ready {
		return fmt.Errorf("a lab is up since %s (state in %s): use it, or remove it with `weft lab down`", r.Created.Format(time.DateTime), r.Options.StateDir)
	}
	return fmt.Errorf("a lab begun at %s was left half-made (state in %s): remove it with `weft lab down`", r.Created.Format(time.DateTime), r.Options.StateDir)
}

// undo removes everything after a failed step.
func (r *Record) undo(l *lock, name string, err error) error {
	err = fmt.Errorf("%s: %w", name, noSpace(err, r.Options.StateDir))
	if derr := r.down(context.Background(), l); derr != nil {
		return fmt.Errorf("%w\nand what was made could not all be removed; run `weft lab down` again: %w", err, derr)
	}
	return fmt.Errorf("%w\n(everything made so far was removed)", err)
}

func (r *Record) steps() []step {
	steps := []step{
		{"write certificates and configuration", func(context.Context) error { return r.prepare() }},
		{fmt.Sprintf("lay the underlay and %d hosts", len(r.Hosts())), func(context.Context) error { return r.buildUnderlay() }},
		{"start identity, compute and image", r.startServices},
		{"start the server", r.startServer},
		{"start the agents", r.startAgents},
	}
	if r.Options.Demo {
		steps = append(steps, step{"make the demo's networks", r.demoNetworks}, step{"boot the demo's instances", r.demoServers},
			step{"give red2 a floating IP", r.demoFloating})
	}
	return steps
}

// prepare makes what is not a namespace or process. What there is to undo is written down first.
func (r *Record) prepare() error {
	r.Undo.Dirs = append(missingDirs(r.Options.StateDir), missingDirs(linux.NetnsDir)...)
	isMount, err := linux.NetnsDirIsMount()
	if err != nil {
		return err
	}
	isBPF, err := bpfMounted()
	if err != nil {
		return err
	}
	r.Undo.NetnsMount, r.Undo.BPFMount = !isMount, !isBPF
	if err := r.save(); err != nil {
		return err
	}
	if err := r.writeFiles(); err != nil {
		return err
	}
	if !isBPF {
		if err := unix.Mount("bpf", bpfDir, "bpf", 0, ""); err != nil {
			return fmt.Errorf("mount the BPF file system on %s: %w", bpfDir, err)
		}
	}
	if err := os.MkdirAll(PinRoot, 0o700); err != nil {
		return fmt.Errorf("make %s: %w", PinRoot, err)
	}
	return linux.PrepareNetnsDir()
}

// missingDirs are dir and those above it that are not there, deepest first.
func missingDirs(dir string) []string {
	var out []string
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return out
		}
		out = append(out, dir)
	}
}

// start starts a process and waits until ready says so; if the process ends before, its log says why.
func (r *Record) start(ctx context.Context, s proc.Spec, ready func(context.Context) error) error {
	_, ended, err := r.Keeper().Start(s)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- ready(ctx) }()
	select {
	case err = <-result:
	case <-ended:
		cancel()
		<-result
		err = errors.New("it ended")
	}
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%s: %w; its log ends:\n%s", s.Name, err, r.logTail(s.Name, 15))
}

// logTail is the end of a process's log, indented.
func (r *Record) logTail(name string, lines int) string {
	b, err := os.ReadFile(r.Keeper().LogPath(name))
	if err != nil {
		return "    (no log: " + err.Error() + ")"
	}
	all := strings.Split(string(bytes.TrimSpace(b)), "\n")
	all = all[max(0, len(all)-lines):]
	return "    " + strings.Join(all, "\n    ")
}

func (r *Record) startServices(ctx context.Context) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	return r.start(ctx, proc.Spec{Name: servicesJob, Args: []string{exe, "lab", "services"}}, r.awaitServices)
}

func (r *Record) startServer(ctx context.Context) error {
	spec, err := r.serverSpec()
	if err != nil {
		return err
	}
	return r.start(ctx, spec, r.awaitServer)
}

func (r *Record) serverSpec() (proc.Spec, error) {
	exe, err := os.Executable()
	args := append([]string{exe, "server"}, r.configArgs(serverJob, r.serverFiles())...)
	return proc.Spec{Name: serverJob, Netns: r.Hosts()[0].Netns, Args: args}, err
}

func (r *Record) agentSpec(h Host) (proc.Spec, error) {
	exe, err := os.Executable()
	args := append([]string{exe, "agent"}, r.AgentConfig(h)...)
	return proc.Spec{Name: agentJob(h.Name), Netns: h.Netns, Args: args}, err
}

func (r *Record) startAgents(ctx context.Context) error {
	var specs []proc.Spec
	for _, h := range r.Hosts() {
		spec, err := r.agentSpec(h)
		if err != nil {
			return err
		}
		specs = append(specs, spec)
	}
	ended := make(chan string, len(specs))
	for _, s := range specs {
		if err := os.MkdirAll(r.path(s.Name), 0o700); err != nil {
			return fmt.Errorf("make state directory: %w", err)
		}
		_, end, err := r.Keeper().Start(s)
		if err != nil {
			return err
		}
		go func() { <-end; ended <- s.Name }()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- r.awaitAgents(ctx) }()
	select {
	case err := <-result:
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("%w; the log of %s ends:\n%s", err, specs[0].Name, r.logTail(specs[0].Name, 10))
		}
		return err
	case name := <-ended:
		cancel()
		<-result
		return fmt.Errorf("%s ended; its log ends:\n%s", name, r.logTail(name, 15))
	}
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) //nolint:errcheck // it never fails (crypto/rand)
	return hex.EncodeToString(b)
}
