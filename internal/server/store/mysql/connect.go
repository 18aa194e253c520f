package mysql

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/weft-cloud/weft/internal/server/store"
)

// Timeouts. A server that hangs in a transaction holds up the others for at most lockSeconds.
const (
	lockSeconds = 2
	dialTimeout = 5 * time.Second
	ioTimeout   = 10 * time.Second
)

// driverConfig is o in the driver's words.
func (o *Options) driverConfig() (*mysql.Config, error) {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.DBName, cfg.TLS = o.User, o.Password, o.Database, o.TLS
	switch {
	case o.Database == "":
		return nil, errors.New("no database is named")
	case o.Socket != "":
		cfg.Net, cfg.Addr = "unix", o.Socket
	case o.Host != "":
		cfg.Net, cfg.Addr = "tcp", net.JoinHostPort(o.Host, strconv.Itoa(int(cmp.Or(o.Port, 3306))))
	default:
		return nil, errors.New("neither host nor socket is given")
	}
	cfg.InterpolateParams, cfg.MultiStatements = true, true // one round trip for several statements; arguments are always bound
	cfg.ClientFoundRows = true
	cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout = dialTimeout, ioTimeout, ioTimeout
	cfg.Logger = &mysql.NopLogger{} // what it would log comes back as an error, too
	return cfg, nil
}

// connector sets up each session as we need it.
type connector struct{ driver.Connector }

// Connect implements driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := setUp(ctx, conn); err != nil {
		return nil, errors.Join(fmt.Errorf("set up session: %w", err), conn.Close())
	}
	return conn, nil
}

// setUp is done for each connection, since each may lead to another server than the one before.
func setUp(ctx context.Context, conn driver.Conn) error {
	all, err := variables(ctx, conn, "version", "wsrep_on", "innodb_flush_log_at_trx_commit", "log_bin", "sync_binlog", "read_only", "super_read_only")
	if err != nil {
		return err
	}
	if err := errors.Join(unsafe(all)...); err != nil {
		return err
	}
	set := fmt.Sprintf("SET SESSION sql_mode = 'STRICT_ALL_TABLES', SESSION autocommit = 1, SESSION innodb_lock_wait_timeout = %d", lockSeconds)
	if strings.Contains(all["version"], "MariaDB") {
		set += fmt.Sprintf(", SESSION idle_transaction_timeout = %d", lockSeconds)
	}
	if isGalera(all) {
		set += ", SESSION wsrep_sync_wait = 1" // reads wait for what other nodes have committed
	}
	x := conn.(driver.ExecerContext) // the driver's has it
	for _, q := range []string{set, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"} {
		if _, err := x.ExecContext(ctx, q, nil); err != nil {
			return err
		}
	}
	return nil
}

func isGalera(all map[string]string) bool { return !is(all, "wsrep_on", "OFF", "0") }

// variables are a server's variables of these names, without those that it does not know.
func variables(ctx context.Context, conn driver.Conn, names ...string) (_ map[string]string, err error) {
	rows, err := conn.(driver.QueryerContext).QueryContext(ctx, "SHOW VARIABLES WHERE Variable_name IN ('"+strings.Join(names, "', '")+"')", nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	all, row := map[string]string{}, make([]driver.Value, 2)
	for {
		switch err := rows.Next(row); {
		case err == io.EOF: //nolint:errorlint // a driver says it bare
			return all, nil
		case err != nil:
			return nil, err
		}
		name, _ := row[0].([]byte)
		value, _ := row[1].([]byte)
		all[string(name)] = string(value)
	}
}

// is reports whether a variable has one of the values, or is not known to this kind of server.
func is(all map[string]string, variable string, values ...string) bool {
	got, there := all[variable]
	return !there || slices.Contains(values, strings.ToUpper(got))
}

func unfit(all map[string]string, variable, why string) error {
	return fmt.Errorf("server variable %s is %s: %s", variable, all[variable], why)
}

// unsafe says what about a server's variables would lose what was answered.
func unsafe(all map[string]string) (bad []error) {
	if !is(all, "innodb_flush_log_at_trx_commit", "1") {
		bad = append(bad, unfit(all, "innodb_flush_log_at_trx_commit", "a crash would lose writes that were answered; set it to 1"))
	}
	if is(all, "log_bin", "ON", "1") && !is(all, "sync_binlog", "1") {
		bad = append(bad, unfit(all, "sync_binlog", "with the binary log on, a crash would take back writes that were answered; set it to 1"))
	}
	for _, v := range []string{"read_only", "super_read_only"} {
		if !is(all, v, "OFF", "0") {
			bad = append(bad, unfit(all, v, "this is a replica, whose reads are old and whose writes fail; connect to the primary"))
		}
	}
	return bad
}

// complaints says what about a session's variables would break the store's promises.
func complaints(all map[string]string) []error {
	bad := unsafe(all)
	demand := func(ok bool, variable, why string) {
		if !ok {
			bad = append(bad, unfit(all, variable, why))
		}
	}
	const notSet = "our session could not set it"
	seconds := strconv.Itoa(lockSeconds)
	packet, _ := strconv.ParseUint(all["max_allowed_packet"], 10, 64)
	demand(packet >= 2*store.MaxBatch, "max_allowed_packet", "a large write would not fit; set it to 16M or more")
	demand(is(all, "tx_isolation", "READ-COMMITTED"), "tx_isolation", notSet)
	demand(is(all, "transaction_isolation", "READ-COMMITTED"), "transaction_isolation", notSet)
	demand(is(all, "innodb_lock_wait_timeout", seconds), "innodb_lock_wait_timeout", notSet)
	demand(is(all, "idle_transaction_timeout", seconds), "idle_transaction_timeout", notSet)
	demand(is(all, "wsrep_on", "OFF", "0") || !is(all, "wsrep_sync_wait", "0"), "wsrep_sync_wait", "reads on this node would be old; our session could not set it to 1")
	return bad
}

// checkSettings refuses a server on which a durable, shared store cannot be had, and says whether it is a Galera node.
func checkSettings(ctx context.Context, c *sql.Conn) (galera bool, err error) {
	all := map[string]string{}
	rows, err := c.QueryContext(ctx, "SHOW SESSION VARIABLES")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var k, v string
		if err := rows.Scan(&k, &v); err != nil {
			return false, err
		}
		all[k] = v
	}
	if err := rows.Err(); err != nil {
		return false, err
	}
	return isGalera(all), errors.Join(complaints(all)...)
}

// discard throws a connection away whose state nobody can vouch for.
func discard(c *sql.Conn) {
	_ = c.Raw(func(any) error { return driver.ErrBadConn }) // the error is ours
}

// Starting reports whether an error of Open says that the server is not ready yet, so that waiting may help.
func Starting(err error) bool {
	const tooManyConnections, shutdownInProgress = 1040, 1053
	var e *mysql.MySQLError
	return errors.As(err, &e) && (e.Number == tooManyConnections || e.Number == shutdownInProgress)
}
