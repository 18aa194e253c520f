package pki

import (
	"crypto/tls"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"
)

func TestOnlyCertificatesOfTheCAConnect(t *testing.T) {
	dir := t.TempDir()
	ours, theirs := newCA(t), newCA(t)
	if err := ours.Save(dir); err != nil {
		t.Fatal(err)
	}
	again, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	issue(t, again, dir, "server", "localhost")
	issue(t, ours, dir, "compute1")
	issue(t, theirs, dir, "stranger")
	files := func(base string) Files {
		return Files{filepath.Join(dir, CAFile), filepath.Join(dir, base+".crt"), filepath.Join(dir, base+".key")}
	}
	for _, tt := range []struct {
		name, client string
		ok           bool
	}{{"a host's", "compute1", true}, {"another CA's", "stranger", false}, {"a server's", "server", false}} {
		t.Run(tt.name, func(t *testing.T) {
			st, err := files("server").ServerTLS()
			if err != nil {
				t.Fatal(err)
			}
			ct, err := files(tt.client).ClientTLS("localhost")
			if err != nil {
				t.Fatal(err)
			}
			name, err := handshake(st, ct)
			if ok := err == nil && name == tt.client; ok != tt.ok {
				t.Fatalf("connected as %q, %v; want %v", name, err, tt.ok)
			}
		})
	}
}

// handshake returns the name that the server sees.
func handshake(st, ct *tls.Config) (string, error) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	client := tls.Client(b, ct)
	go func() { client.Handshake(); io.Copy(io.Discard, client) }()
	server := tls.Server(a, st)
	if err := server.Handshake(); err != nil {
		return "", err
	}
	return server.ConnectionState().VerifiedChains[0][0].Subject.CommonName, nil
}

func newCA(t *testing.T) *CA {
	t.Helper()
	ca, err := NewCA("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t *testing.T, ca *CA, dir, name string, reachable ...string) {
	t.Helper()
	p, err := ca.Issue(name, reachable, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Save(dir, name); err != nil {
		t.Fatal(err)
	}
}
