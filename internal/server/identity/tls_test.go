package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/config"
	"github.com/weft-cloud/weft/internal/model"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{}
	der, key := a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, a.key = cert, key
	return a
}

// sign makes a certificate of its own for a, if it has none, or one signed by a; it lasts an hour unless c says otherwise.
func (a *authority) sign(t *testing.T, c *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(time.Hour)
	}
	c.NotBefore = c.NotAfter.Add(-2 * time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

// files writes what a client is told of: a certificate, and its key if there is one.
func files(t *testing.T, der []byte, key *ecdsa.PrivateKey) (cert, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	cert, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	if key == nil {
		return cert, ""
	}
	text, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}), 0o600); err != nil {
		t.Fatal(err)
	}
	return cert, keyFile
}

// TestTLS: Keystone is believed if its certificate is good by cafile, for the name in auth_url, and now, or if insecure says not to look; it may
// want a certificate of ours. Everything else is 503, never an answer, and the log says why.
func TestTLS(t *testing.T) {
	good, wrong := newAuthority(t, "the operator's"), newAuthority(t, "another")
	server := &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	caFile, _ := files(t, good.cert.Raw, nil)
	wrongCA, _ := files(t, wrong.cert.Raw, nil)
	client := func(by *authority) (string, string) {
		der, key := by.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "neutron"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		return files(t, der, key)
	}
	cert, key := client(good)
	wrongCert, wrongKey := client(wrong)
	for _, tc := range []struct {
		name   string
		server *x509.Certificate
		asks   bool // for our certificate
		set    config.Credentials
		log    string // why not; "" if it is well
	}{
		{"own authority", server, false, config.Credentials{CAFile: caFile}, ""},
		{"the system's authorities", server, false, config.Credentials{}, "certificate signed by unknown authority"},
		{"wrong authority", server, false, config.Credentials{CAFile: wrongCA}, "certificate signed by unknown authority"},
		{"expired", &x509.Certificate{IPAddresses: server.IPAddresses, NotAfter: time.Now().Add(-time.Minute)}, false, config.Credentials{CAFile: caFile}, "certificate has expired"},
		{"another name", &x509.Certificate{DNSNames: []string{"keystone"}}, false, config.Credentials{CAFile: caFile}, "doesn't contain any IP SANs"},
		{"insecure", &x509.Certificate{DNSNames: []string{"keystone"}, NotAfter: time.Now().Add(-time.Minute)}, false, config.Credentials{Insecure: true}, ""},
		{"insecure and the wrong authority", server, false, config.Credentials{CAFile: wrongCA, Insecure: true}, ""},
		{"our certificate", server, true, config.Credentials{CAFile: caFile, CertFile: cert, KeyFile: key}, ""},
		{"none, and it is wanted", server, true, config.Credentials{CAFile: caFile}, "certificate required"},
		{"one of another authority's", server, true, config.Credentials{CAFile: caFile, CertFile: wrongCert, KeyFile: wrongKey}, "tls: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := &fake{tokens: map[string]map[string]any{}, now: time.Now}
			srv := httptest.NewUnstartedServer(f)
			srv.Config.ErrorLog = log.New(io.Discard, "", 0)
			c := *tc.server
			der, serverKey := good.sign(t, &c)
			srv.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: serverKey}}}
			if tc.asks {
				srv.TLS.ClientAuth, srv.TLS.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
				srv.TLS.ClientCAs.AddCert(good.cert)
			}
			srv.StartTLS()
			defer srv.Close()
			cfg := config.Keystone{Credentials: tc.set}
			cfg.AuthURL, cfg.Username, cfg.Password, cfg.ProjectName, cfg.Timeout = srv.URL, "neutron", config.NewSecret("hush"), "service", 10*time.Second
			cfg.UserDomainID, cfg.ProjectDomainName = "default", "Default"
			httpClient, err := NewClient(cfg.Credentials)
			if err != nil {
				t.Fatal(err)
			}
			defer httpClient.CloseIdleConnections()
			var text bytes.Buffer
			b := &bench{fake: f, k: New(Deps{Config: cfg, Client: httpClient, Now: time.Now, Log: slog.New(slog.NewTextHandler(&text, nil))})}
			b.token("ann", time.Hour, "member")
			caller, err := b.ask("X-Auth-Token", "ann")
			if tc.log == "" {
				if err != nil || caller.UserName != "ann" {
					t.Errorf("%v, %v; log: %s", caller, err, text.String())
				}
				return
			}
			wantKind(t, err, model.KindUnavailable)
			if !strings.Contains(text.String(), tc.log) || strings.Contains(text.String(), "hush") || f.logins.Load() != 0 {
				t.Errorf("%d logins; the log does not say why (%s), or too much: %s", f.logins.Load(), tc.log, text.String())
			}
		})
	}
}

// TestClientsFiles: what cannot be read is told at the start, with the file's name.
func TestClientsFiles(t *testing.T) {
	a := newAuthority(t, "the operator's")
	cert, _ := files(t, a.cert.Raw, nil)
	der, _ := a.sign(t, &x509.Certificate{})
	_, other := a.sign(t, &x509.Certificate{})
	mine, foreignKey := files(t, der, other)
	none := filepath.Join(t.TempDir(), "none.pem")
	both := filepath.Join(t.TempDir(), "both.pem")
	ownDER, ownKey := a.sign(t, &x509.Certificate{})
	var text []byte
	certPart, keyPart := files(t, ownDER, ownKey)
	for _, name := range []string{certPart, keyPart} {
		part, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, part...)
	}
	if err := os.WriteFile(both, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewClient(config.Credentials{CertFile: both}); err != nil {
		t.Errorf("certificate and key in one file: %v", err)
	}
	for _, tc := range []struct {
		name string
		set  config.Credentials
		err  string
	}{
		{"no cafile", config.Credentials{CAFile: none}, "none.pem"},
		{"cafile is no certificate", config.Credentials{CAFile: "tls_test.go"}, "cafile tls_test.go holds no certificate in PEM form"},
		{"no certfile", config.Credentials{CertFile: none, KeyFile: foreignKey}, "none.pem"},
		{"certfile without a key in it, and no keyfile", config.Credentials{CertFile: cert}, "keyfile " + cert},
		{"keyfile without certfile", config.Credentials{KeyFile: foreignKey}, "set without certfile"},
		{"the key of another", config.Credentials{CertFile: mine, KeyFile: foreignKey}, "does not match"},
	} {
		if _, err := NewClient(tc.set); err == nil || !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: %v, want …%s…", tc.name, err, tc.err)
		}
	}
}
