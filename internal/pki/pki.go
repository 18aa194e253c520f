// Package pki makes the certificates by which servers and agents know each other: one private CA for a cloud, a
// certificate for each server, and one for each host whose common name is the host's name.
//
// It makes and reads files and nothing else; who may have a certificate is for whoever calls it to decide.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// CA signs certificates.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// Names of the files in a directory of certificates.
const (
	CAFile    = "ca.crt"
	CAKeyFile = "ca.key"
)

// NewCA makes a CA for a cloud, valid from an hour before now for ten years.
func NewCA(cloud string, now time.Time) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key of CA: %w", err)
	}
	t, err := template(cloud+" CA", now, 10*365*24*time.Hour)
	if err != nil {
		return nil, err
	}
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("sign CA: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse CA: %w", err)
	}
	return &CA{cert, key, block("CERTIFICATE", der)}, nil
}

func template(name string, now time.Time, valid time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		// An hour back: hosts' clocks are apart, and a certificate "of the future" is a puzzling refusal.
		NotBefore: now.Add(-time.Hour),
		NotAfter:  now.Add(valid),
	}, nil
}

// Pair is a certificate with its key, in PEM.
type Pair struct{ Cert, Key []byte }

// Issue makes a certificate for a server (reachable at the names or addresses given) or, without any, for the host of
// that name as a client. It is valid for a year.
func (ca *CA) Issue(name string, reachable []string, now time.Time) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("make key of %s: %w", name, err)
	}
	t, err := template(name, now, 365*24*time.Hour)
	if err != nil {
		return Pair{}, err
	}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	for _, r := range reachable {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		if ip := net.ParseIP(r); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, r)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return Pair{}, fmt.Errorf("sign certificate of %s: %w", name, err)
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("encode key of %s: %w", name, err)
	}
	return Pair{block("CERTIFICATE", der), block("EC PRIVATE KEY", raw)}, nil
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// Save writes ca.crt and ca.key (mode 0600) into dir.
func (ca *CA) Save(dir string) error {
	raw, err := x509.MarshalECPrivateKey(ca.key)
	if err != nil {
		return fmt.Errorf("encode key of CA: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, CAKeyFile), block("EC PRIVATE KEY", raw), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, CAFile), ca.pem, 0o644)
}

// Load reads what Save wrote.
func Load(dir string) (*CA, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, CAFile), filepath.Join(dir, CAKeyFile))
	if err != nil {
		return nil, fmt.Errorf("load CA from %s: %w", dir, err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("load CA from %s: its key is not ECDSA", dir)
	}
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("load CA from %s: %w", dir, err)
	}
	return &CA{cert, key, block("CERTIFICATE", cert.Raw)}, nil
}

// Save writes the pair as base.crt and base.key (mode 0600).
func (p Pair) Save(dir, base string) error {
	if err := os.WriteFile(filepath.Join(dir, base+".key"), p.Key, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, base+".crt"), p.Cert, 0o644)
}

// Files are where a server or agent finds its certificates.
type Files struct{ CA, Cert, Key string }

var errNoCA = errors.New("no certificate in it")

func (f Files) load() (*x509.CertPool, tls.Certificate, error) {
	raw, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, tls.Certificate{}, fmt.Errorf("read ca_file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) {
		return nil, tls.Certificate{}, fmt.Errorf("read ca_file %s: %w", f.CA, errNoCA)
	}
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, tls.Certificate{}, fmt.Errorf("read cert_file and key_file: %w", err)
	}
	return pool, pair, nil
}

// ServerTLS is for a server that demands a certificate of its CA from every client. The files are read once more for
// each new connection, so that a rotated certificate is used without a restart.
func (f Files) ServerTLS() (*tls.Config, error) {
	if _, _, err := f.load(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			pool, pair, err := f.load()
			if err != nil {
				return nil, err
			}
			return &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
				Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}}, nil
		},
	}, nil
}

// ClientTLS is for an agent; name is the server's name or address in its certificate.
func (f Files) ClientTLS(name string) (*tls.Config, error) {
	pool, _, err := f.load()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: pool, ServerName: name,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			_, pair, err := f.load()
			return &pair, err
		},
	}, nil
}
