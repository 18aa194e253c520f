// Package kernel runs the data plane's own tests on other kernels than the machine's: in QEMU, without KVM, from a file
// system in memory that holds a first process (init/), the kernel's modules and the test binary.
package kernel

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// modules that the data plane needs, each after those it needs itself. One that is not in the package is built in.
var modules = []string{"udp_tunnel", "ip6_udp_tunnel", "vxlan", "veth", "tun", "cls_bpf", "sch_ingress"}

// Debian 12's kernel, the oldest that is supported. It has no tcx, so that the programs hang on clsact.
func TestDebian12(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a machine")
	}
	m := newMachine(t, "linux-image-6.1*-cloud-amd64*.deb", "apt-get download linux-image-6.1.0-56-cloud-amd64")
	// Verbose alone where the console's words are wanted: it is slow.
	out := m.run(t, "-test.v -test.run=^TestInstructions$|^TestTraffic$/^as_the|^TestKernelDropsAreTold$",
		"-test.short -test.run=^(TestRouterAnswers|TestTakeover)$",
		"-test.run=^TestHardPackets$/two_hosts,_routed,_IPv", "-test.run=^TestHardPackets$/(floating_IP_of_red1|floating_to_floating|provider_network|tagged)")
	for _, want := range []string{"--- PASS: TestInstructions", "--- PASS: TestTraffic/as_the_kernel_offers", "--- PASS: TestKernelDropsAreTold"} {
		if !strings.Contains(out, want) {
			t.Errorf("the console lacks %q", want)
		}
	}
	for line := range strings.Lines(out) {
		if strings.Contains(line, "walked by") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// machine is everything to boot one.
type machine struct {
	qemu, kernel string
	dir          string
	files        *cpio
}

func newMachine(t *testing.T, deb, cure string) *machine {
	t.Helper()
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Skip("no qemu-system-x86_64: apt-get install qemu-system-x86")
	}
	dpkg, err := exec.LookPath("dpkg-deb")
	if err != nil {
		t.Skip("no dpkg-deb to unpack the kernel with")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	cache = filepath.Join(cache, "weft", "kernel")
	found, err := filepath.Glob(filepath.Join(cache, deb))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Skipf("no kernel package %s in %s: %s there", deb, cache, cure)
	}
	slices.Sort(found)
	m := &machine{qemu: qemu, dir: t.TempDir(), files: &cpio{}}
	tree := filepath.Join(m.dir, "kernel")
	command(t, "", nil, dpkg, "-x", found[len(found)-1], tree)
	images, err := filepath.Glob(filepath.Join(tree, "boot", "vmlinuz-*"))
	if err != nil || len(images) != 1 {
		t.Fatalf("kernel images in the package: %v, %v", images, err)
	}
	m.kernel = images[0]
	m.fill(t, tree)
	return m
}

// fill puts the first process, the modules and the test binary into the machine's file system.
func (m *machine) fill(t *testing.T, tree string) {
	for _, d := range []string{"proc", "sys", "dev", "tmp", "run", "bin", "modules", "test", "test/testdata"} {
		m.files.dir(d)
	}
	var order []string
	for _, name := range modules {
		err := filepath.WalkDir(filepath.Join(tree, "lib", "modules"), func(path string, d os.DirEntry, err error) error {
			if err == nil && strings.ReplaceAll(d.Name(), "-", "_") == name+".ko" {
				order = append(order, d.Name())
				return m.copy("modules/"+d.Name(), path, 0o644)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	m.files.file("modules/order", []byte(strings.Join(order, "\n")), 0o644)
	env := append(os.Environ(), "CGO_ENABLED=0")
	bin := filepath.Join(m.dir, "init")
	command(t, "", env, "go", "build", "-ldflags=-s -w", "-o", bin, "./init")
	test := filepath.Join(m.dir, "ebpf.test")
	command(t, "", env, "go", "test", "-c", "-ldflags=-s -w", "-o", test, "../../internal/dataplane/ebpf")
	golden := "../../internal/dataplane/ebpf/testdata/instructions.golden"
	for name, from := range map[string]string{"init": bin, "test/ebpf.test": test, "test/testdata/instructions.golden": golden} {
		if err := m.copy(name, from, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func (m *machine) copy(name, from string, mode uint32) error {
	b, err := os.ReadFile(from)
	if err == nil {
		m.files.file(name, b, mode)
	}
	return err
}

// run boots, runs the tests and returns the console. A failed test fails the caller with the console's end.
func (m *machine) run(t *testing.T, args ...string) string {
	t.Helper()
	m.files.file("args", []byte(strings.Join(args, "\n")), 0o644)
	initrd := filepath.Join(m.dir, "initrd")
	if err := os.WriteFile(initrd, m.files.bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	start := time.Now()
	c := exec.CommandContext(ctx, m.qemu, "-machine", "pc,accel=tcg", "-cpu", "max", "-smp", "2", "-m", "1024", "-nographic", "-no-reboot",
		"-nic", "none", "-kernel", m.kernel, "-initrd", initrd, "-append", "console=ttyS0 quiet panic=-1 mitigations=off")
	out, err := c.CombinedOutput()
	console := strings.ReplaceAll(string(out), "\r", "")
	if err != nil || !strings.Contains(console, "WEFT-TEST-EXIT 0") {
		t.Fatalf("the machine failed (%v):\n%s", err, console[max(0, len(console)-6000):])
	}
	t.Logf("booted, tested and powered off in %v", time.Since(start).Round(time.Second))
	return console
}

func command(t *testing.T, dir string, env []string, name string, args ...string) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir, c.Env = dir, env
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// cpio writes the archive format of an initial file system ("newc", Documentation/driver-api/early-userspace in Linux).
type cpio struct {
	b   bytes.Buffer
	ino int
}

func (c *cpio) dir(name string) { c.entry(name, nil, 0o040755) }

func (c *cpio) file(name string, data []byte, mode uint32) { c.entry(name, data, 0o100000|mode) }

func (c *cpio) entry(name string, data []byte, mode uint32) {
	c.ino++
	fmt.Fprintf(&c.b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", c.ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
	c.b.WriteString(name + "\x00")
	c.pad()
	c.b.Write(data)
	c.pad()
}

func (c *cpio) pad() {
	for c.b.Len()%4 != 0 {
		c.b.WriteByte(0)
	}
}

func (c *cpio) bytes() []byte {
	c.entry("TRAILER!!!", nil, 0)
	return c.b.Bytes()
}
