package rig

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
)

//go:embed openstack.py
var openStackLoop string

// OpenStack is the unmodified OpenStack client, loaded once: each command is a run of its own that logs in by itself. Its methods may be
// called by several goroutines.
type OpenStack struct {
	mu      sync.Mutex // guards what follows
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *bufio.Reader
}

// StartOpenStack starts it with env (OS_AUTH_URL and so on; nothing of this process's is added). The error is exec.ErrNotFound where the client is
// not installed. Close ends it.
func StartOpenStack(env []string) (*OpenStack, error) {
	python, err := openStackPython()
	if err != nil {
		return nil, fmt.Errorf("the OpenStack client (apt install python3-openstackclient): %w", err)
	}
	o := &OpenStack{cmd: exec.Command(python, "-c", openStackLoop)}
	o.cmd.Env = append([]string{"PYTHONWARNINGS=ignore"}, env...)
	o.cmd.Stderr = os.Stderr
	if o.in, err = o.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start the OpenStack client: %w", err)
	}
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the OpenStack client: %w", err)
	}
	o.answers = bufio.NewReader(out)
	if err := o.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the OpenStack client: %w", err)
	}
	return o, nil
}

// openStackPython is the interpreter for which the client is installed: the one that its command names.
func openStackPython() (string, error) {
	path, err := exec.LookPath("openstack")
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(string(b), "\n")
	python, ok := strings.CutPrefix(first, "#!")
	if !ok {
		return "", fmt.Errorf("%s is not a script", path)
	}
	return strings.TrimSpace(python), nil
}

// Run runs one command and returns what it printed; its complaints are in the error, if it failed.
func (o *OpenStack) Run(args ...string) (string, error) {
	out, _, err := o.run(args, strings.Join(args, " "))
	return out, err
}

// RunLine runs a command that is written as for a shell. It returns, too, what the command complained about though it succeeded.
func (o *OpenStack) RunLine(command string) (out, complaints string, err error) {
	return o.run(command, command)
}

func (o *OpenStack) run(send any, command string) (out, complaints string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	command = "openstack " + command
	if err := json.NewEncoder(o.in).Encode(send); err != nil {
		return "", "", fmt.Errorf("%s: %w", command, err)
	}
	line, err := o.answers.ReadBytes('\n')
	if err != nil {
		return "", "", fmt.Errorf("%s: the client has ended: %w", command, err)
	}
	var got struct {
		Status   int
		Out, Err string
	}
	if err := json.Unmarshal(line, &got); err != nil {
		return "", "", fmt.Errorf("%s: %w: %s", command, err, line)
	}
	if got.Status != 0 {
		err = fmt.Errorf("%s: exit status %d\n%s%s", command, got.Status, got.Out, got.Err)
	}
	return got.Out, got.Err, err
}

// Close ends the client.
func (o *OpenStack) Close() {
	o.in.Close()
	_ = o.cmd.Wait() // whatever its status: nobody waits for an answer
}
