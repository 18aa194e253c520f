// Package dial opens the store that the configuration names. It must not know more of a kind of store than how to open it.
package dial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/weft-cloud/weft/internal/config"
	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/mysql"
	"github.com/weft-cloud/weft/internal/server/store/sqlite"
)

// Options say what to open.
type Options struct {
	Database config.Database
	// ReadOnly: for commands that look at or back up the store of a running server. On SQLite it takes no lock, and what
	// writes is store.ErrReadOnly; on MySQL it does not ask whether another server has the database.
	ReadOnly bool
	// Waiting is told why the database cannot be reached, before each wait of RetryInterval; nil: nobody is.
	Waiting func(error)
	// Taken is told that another server has the MySQL database by now, which may happen after this one could not be seen for a while;
	// nil: nobody is.
	Taken func(error)
	// NoJournal is told why SQLite's file has no journal, or none any more, which makes writes slower; nil: nobody is.
	NoJournal func(error)
}

// Open opens the store, and makes it if there is none yet. A MySQL server that does not answer is tried again as the
// configuration says, since after a power failure everything starts at once.
func Open(ctx context.Context, o Options) (store.Store, error) {
	d := &o.Database
	switch d.Engine {
	case "sqlite":
		s, err := sqlite.Open(ctx, sqlite.Options{Path: d.Path, ReadOnly: o.ReadOnly, NoJournal: o.NoJournal})
		if err != nil { // not s, which would be a nil pointer in an interface
			return nil, err
		}
		return s, nil
	case "mysql":
		mo, err := mysqlOptions(d)
		if err != nil {
			return nil, fmt.Errorf("[database] connection: %w", err)
		}
		mo.Alone, mo.Taken = !o.ReadOnly, o.Taken
		return openMySQL(ctx, mo, o)
	}
	return nil, fmt.Errorf("[database] connection: engine %q is not known; write sqlite:////path or mysql://user:password@host/name", d.Engine)
}

func openMySQL(ctx context.Context, mo mysql.Options, o Options) (store.Store, error) {
	for tries := 0; ; tries++ {
		s, err := mysql.Open(ctx, mo)
		if err == nil {
			return s, nil
		}
		if !unreachable(err) || o.Database.MaxRetries >= 0 && tries >= o.Database.MaxRetries {
			return nil, err
		}
		if o.Waiting != nil {
			o.Waiting(err)
		}
		select {
		case <-time.After(o.Database.RetryInterval):
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		}
	}
}

// unreachable reports whether waiting may help.
func unreachable(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) || errors.Is(err, driver.ErrBadConn) || mysql.Starting(err)
}

func mysqlOptions(d *config.Database) (mysql.Options, error) {
	for k := range d.Params {
		switch k {
		case "charset", "ssl_ca", "ssl_cert", "ssl_key":
		default:
			return mysql.Options{}, fmt.Errorf("parameter %q is not known; known are charset, unix_socket, ssl_ca, ssl_cert, ssl_key", k)
		}
	}
	c, err := tlsConfig(d)
	return mysql.Options{
		Socket: d.Socket, Host: d.Host, Port: d.Port, User: d.User, Password: d.Password.Reveal(), Database: d.Name,
		TLS: c, MaxIdle: d.MaxPoolSize, MaxAge: d.ConnectionRecycle,
	}, err
}

func tlsConfig(d *config.Database) (*tls.Config, error) {
	ca, cert, key := d.Params["ssl_ca"], d.Params["ssl_cert"], d.Params["ssl_key"]
	if ca == "" && cert == "" && key == "" {
		return nil, nil
	}
	c := &tls.Config{ServerName: d.Host, MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("ssl_ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ssl_ca: %s holds no PEM certificate", ca)
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("ssl_cert and ssl_key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
