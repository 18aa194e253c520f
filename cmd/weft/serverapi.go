package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/weft-cloud/weft/internal/config"
	"github.com/weft-cloud/weft/internal/server/api"
	"github.com/weft-cloud/weft/internal/server/identity"
	"github.com/weft-cloud/weft/internal/server/notify"
)

func openAPI(p *serverParts) (http.Handler, error) {
	var err error
	if p.gate, err = newGate(p.cfg, p.log); err != nil {
		return nil, err
	}
	c := &p.cfg.API
	var answered func(method, resource string, code int, took time.Duration)
	if p.metrics != nil {
		answered = p.metrics.Requests().Count
	}
	return api.New(api.Deps{Answered: answered, Writer: p.writer, Rules: p.rules, Identity: p.gate.auth, Policy: p.gate.policy, Log: p.log, NewID: randomUUID,
		MaxPage: c.PageLimit, MaxBody: c.MaxBody, NoBulk: !c.AllowBulk, LooseFilters: !c.FilterValidation,
		LinkPrefix: c.LinkPrefix, ProxyHeaders: c.ProxyHeaders, SocketTimeout: c.SocketTimeout}), nil
}

// newAPIServer serves the API. A client that does not go on with its request, or does not take its answer, is waited for as long as
// the timeout says (0: for ever), and for the beginning of its request 10 s at most.
func newAPIServer(h http.Handler, timeout time.Duration, log *slog.Logger) *http.Server {
	atMost := func(d time.Duration) time.Duration {
		if timeout > 0 {
			d = min(d, timeout)
		}
		return d
	}
	return &http.Server{Handler: h, ReadHeaderTimeout: atMost(10 * time.Second), IdleTimeout: atMost(2 * time.Minute),
		ReadTimeout: timeout, WriteTimeout: timeout, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
}

// apiGrace is how long requests under way have to end when the server is told to stop.
const apiGrace = 5 * time.Second

// endAPI lets requests under way end, and cuts those that have not when the time is over: a client that keeps its connection waiting
// is no failure of the server's.
func endAPI(s *http.Server, after time.Duration) error {
	grace, cancel := context.WithTimeout(context.Background(), after)
	defer cancel()
	err := s.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		return s.Close()
	}
	return err
}

// secureAPI is the listener with TLS, if the configuration wants it ([ssl]).
func secureAPI(c *config.API, l net.Listener) (net.Listener, error) {
	if c.CertFile == "" && c.KeyFile == "" {
		return l, nil
	}
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("[ssl] cert_file and key_file: %w", err)
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
	if c.ClientCAFile != "" {
		pem, err := os.ReadFile(c.ClientCAFile)
		if err != nil {
			return nil, fmt.Errorf("[ssl] ca_file: %w", err)
		}
		t.ClientCAs, t.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !t.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("[ssl] ca_file: %s holds no certificate in PEM form", c.ClientCAFile)
		}
	}
	return tls.NewListener(l, t), nil
}

// openNova is who tells Nova of ports; nil if nobody shall.
func openNova(p *serverParts) (*notify.Nova, error) {
	if !p.cfg.Nova.Enabled() {
		p.log.Warn("Nova is not told of ports: instances that wait for it (vif_plugging_timeout) will not start; see [nova] auth_url")
		return nil, nil
	}
	client, err := identity.NewClient(p.cfg.Nova.Credentials)
	if err != nil {
		return nil, fmt.Errorf("[nova]: %w", err)
	}
	return notify.New(notify.Deps{Config: p.cfg.Nova, Outbox: p.store, Client: client, Now: time.Now, Log: p.log}), nil
}
