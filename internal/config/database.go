package config

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Database is where the server's objects are stored.
type Database struct {
	Engine string // "sqlite" or "mysql"
	// Path is SQLite's file.
	Path string
	// The rest is MySQL's.
	User     string
	Password Secret
	Host     string
	Port     uint16
	Socket   string // unix_socket, in place of Host and Port
	Name     string
	// Params are those of the URL's query that are left: charset, ssl_ca, ssl_cert, ssl_key.
	Params map[string]string

	MaxPoolSize       int
	ConnectionRecycle time.Duration
	RetryInterval     time.Duration
	MaxRetries        int // negative = for ever
}

// String is the connection without the password.
func (d *Database) String() string {
	if d.Engine == "sqlite" {
		return "sqlite:///" + d.Path
	}
	at := d.Socket
	if at == "" {
		at = net.JoinHostPort(d.Host, strconv.Itoa(int(d.Port)))
	}
	return "mysql://" + d.User + "@" + at + "/" + d.Name
}

// parse reads an SQLAlchemy URL into d. Errors never quote it, for it holds the password.
func (d *Database) parse(s string) error {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return fmt.Errorf("it is no database URL; write mysql://user:password@host/database or sqlite:////absolute/path")
	}
	rest, query, _ := strings.Cut(rest, "?")
	engine, _, _ := strings.Cut(scheme, "+")
	switch engine {
	case "sqlite":
		path, ok := strings.CutPrefix(rest, "/")
		if !ok || path == "" {
			return fmt.Errorf("the SQLite URL names no file (a database in memory would be lost at each restart); write sqlite:////absolute/path, with four slashes")
		}
		d.Engine, d.Path = "sqlite", path
		return nil
	case "mysql", "mariadb":
		d.Engine = "mysql"
		return d.parseMySQL(rest, query)
	}
	return fmt.Errorf("database %q is not supported; use mysql:// or sqlite://", engine)
}

func (d *Database) parseMySQL(rest, query string) error {
	authority, name, _ := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		user, password, _ := strings.Cut(rest[:i], ":")
		d.User, d.Password = unescape(user), NewSecret(unescape(password))
		authority, name, _ = strings.Cut(rest[i+1:], "/")
	}
	if name == "" {
		return fmt.Errorf("the URL names no database; write mysql://user:password@host/database")
	}
	d.Name = unescape(name)
	q, err := url.ParseQuery(query)
	if err != nil {
		return fmt.Errorf("the URL's parameters behind ? cannot be read; write name=value&name=value")
	}
	d.Params = map[string]string{}
	for k, v := range q {
		d.Params[k] = v[len(v)-1]
	}
	d.Socket = d.Params["unix_socket"]
	delete(d.Params, "unix_socket")
	return d.parseHost(authority)
}

func (d *Database) parseHost(authority string) error {
	d.Host, d.Port = authority, 3306
	if host, port, err := net.SplitHostPort(authority); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return fmt.Errorf("the URL's port is not a number; write host:3306")
		}
		d.Host, d.Port = host, uint16(n)
	}
	d.Host = strings.Trim(d.Host, "[]")
	if d.Host == "" && d.Socket == "" {
		return fmt.Errorf("the URL names no host; write mysql://user:password@host/database")
	}
	return nil
}

// unescape undoes %xx; text in which that cannot be meant stays.
func unescape(s string) string {
	if t, err := url.PathUnescape(s); err == nil {
		return t
	}
	return s
}
