package guest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// metadataURL is where a guest finds out who it is (OpenStack metadata service).
const metadataURL = "http://169.254.169.254/openstack/latest/"

// userDataTime bounds a script of the user's.
const userDataTime = time.Minute

// nobody is the user that a script runs as: whoever may create servers in the lab must not become root of the machine.
const nobody = 65534

// metadata is what a guest uses of it.
type metadata struct {
	UUID, Name, Hostname string
	Keys                 []struct{ Name, Type, Data string }
	network              struct {
		Links []struct {
			ID  string
			MAC string `json:"ethernet_mac_address"`
			MTU int
		}
		Networks []struct{ ID, Type, Link string }
	}
	userData []byte
}

// initialize does what cloud-init does at boot: once there is an address it asks for the metadata, a few times, takes the
// host name and the keys, and runs the user's script. It tells the console the outcome.
func initialize(ctx context.Context, con *console, home string, leased <-chan struct{}) {
	select {
	case <-leased:
	case <-ctx.Done():
		return
	}
	client := &http.Client{Timeout: 2 * time.Second}
	defer client.CloseIdleConnections()
	var md *metadata
	err := errors.New("not asked")
	for try := 0; err != nil; try++ {
		if try == 3 {
			con.printf("metadata: none: %v", err)
			return
		}
		if try > 0 && !sleep(ctx, 2*time.Second) {
			return
		}
		md, err = fetchMetadata(ctx, client, metadataURL)
	}
	con.printf("metadata: I am %s (%s), hostname %s", md.Name, md.UUID, md.Hostname)
	for _, l := range md.network.Links {
		for _, n := range md.network.Networks {
			if n.Link == l.ID {
				con.printf("metadata: link %s (%s, mtu %d): %s by %s", l.ID, l.MAC, l.MTU, n.ID, n.Type)
			}
		}
	}
	if err := md.settle(ctx, con, home); err != nil {
		con.printf("metadata: %v", err)
	}
}

func fetchMetadata(ctx context.Context, client *http.Client, base string) (*metadata, error) {
	md := &metadata{}
	raw, _, err := get(ctx, client, base+"meta_data.json")
	if err == nil {
		err = json.Unmarshal(raw, md)
	}
	if err != nil {
		return nil, err
	}
	if raw, _, err = get(ctx, client, base+"network_data.json"); err == nil {
		err = json.Unmarshal(raw, &md.network)
	}
	if err != nil {
		return nil, err
	}
	raw, status, err := get(ctx, client, base+"user_data")
	if err != nil && status != http.StatusNotFound {
		return nil, err
	}
	if err == nil {
		md.userData = raw
	}
	return md, nil
}

func get(ctx context.Context, client *http.Client, url string) ([]byte, int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, resp.StatusCode, fmt.Errorf("%s: %s", url, resp.Status)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return raw, resp.StatusCode, err
}

// settle writes the keys and the host name into the home directory and runs the user's script there.
func (md *metadata) settle(ctx context.Context, con *console, home string) error {
	if home == "" {
		return nil
	}
	var keys strings.Builder
	for _, k := range md.Keys {
		if k.Type == "ssh" {
			keys.WriteString(strings.TrimSpace(k.Data) + "\n")
		}
	}
	for _, f := range []struct {
		name string
		body []byte
		mode os.FileMode
	}{
		{"hostname", []byte(md.Hostname + "\n"), 0o644},
		{".ssh/authorized_keys", []byte(keys.String()), 0o600},
		{"user-data", md.userData, 0o700},
	} {
		path := filepath.Join(home, f.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.body, f.mode); err != nil {
			return err
		}
		if err := errors.Join(os.Chown(filepath.Dir(path), nobody, nobody), os.Chown(path, nobody, nobody)); err != nil {
			return err
		}
	}
	if n := strings.Count(keys.String(), "\n"); n > 0 {
		con.printf("metadata: %d keys authorized", n)
	}
	if len(md.userData) == 0 {
		return nil
	}
	if !bytes.HasPrefix(md.userData, []byte("#!")) {
		con.printf("user data: %d bytes kept; only scripts (#!) are run here", len(md.userData))
		return nil
	}
	out, err := runScript(ctx, home, md.Hostname)
	for line := range strings.Lines(out) {
		con.printf("user data: %s", strings.TrimRight(line, "\n"))
	}
	if err != nil {
		return fmt.Errorf("user data: %w", err)
	}
	con.printf("user data: done")
	return nil
}

// runScript runs the user's script with the guest's host name, as nobody, from the home directory, in the guest's network
// namespace. It uses a thread of its own up: host name and working directory are the thread's, and go with it. The
// directory is entered by root, as nobody may not walk there.
func runScript(ctx context.Context, home, hostname string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, userDataTime)
	defer cancel()
	var out bytes.Buffer
	var g errgroup.Group
	g.Go(func() error {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWUTS | unix.CLONE_FS); err != nil {
			return fmt.Errorf("unshare host name: %w", err)
		}
		if err := unix.Sethostname([]byte(hostname)); err != nil {
			return fmt.Errorf("set host name %q: %w", hostname, err)
		}
		if err := unix.Chdir(home); err != nil {
			return fmt.Errorf("enter %s: %w", home, err)
		}
		cmd := exec.CommandContext(ctx, "./user-data")
		cmd.Env = []string{"HOME=.", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
		cmd.Stdout = &limited{b: &out, left: 64 << 10}
		cmd.Stderr = cmd.Stdout
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		cmd.WaitDelay = time.Second
		err := cmd.Run()
		if cmd.Process != nil {
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) //nolint:errcheck // what the script left behind; mostly nothing
		}
		return err
	})
	err := g.Wait()
	return out.String(), err
}

// limited keeps what is written up to a bound, and takes the rest for written.
type limited struct {
	b    *bytes.Buffer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	l.b.Write(p[:n])
	return len(p), nil
}
