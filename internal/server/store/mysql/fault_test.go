package mysql_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/mysql"
	"github.com/weft-cloud/weft/internal/server/store/storetest"
)

// proxy stands between a store and the server and does to one COMMIT what a bad network does.
type proxy struct {
	ln     net.Listener
	server string
	wg     sync.WaitGroup

	mu    sync.Mutex // guards what follows
	mode  string
	conns []net.Conn
	// held gives the COMMIT that was kept back to the server and waits for its answer.
	held func()
}

// The modes. After each the client's connection is closed.
const (
	pass       = ""
	loseCommit = "lose"   // the server never sees the COMMIT; its connection ends
	loseAnswer = "answer" // the server does the COMMIT
	holdCommit = "hold"   // the server sees nothing for now: its transaction stays open until held is called
)

func newProxy(t *testing.T, server string) *proxy {
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "p"))
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{ln: ln, server: server}
	p.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("unix", server)
			if err != nil {
				c.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, c, s)
			p.mu.Unlock()
			answered := make(chan struct{}, 100)
			p.wg.Go(func() { p.toServer(c, s, answered) })
			p.wg.Go(func() { toClient(c, s, answered) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

// options reach the database name through the proxy.
func (p *proxy) options(name string) mysql.Options {
	return mysql.Options{User: "root", Socket: p.ln.Addr().String(), Database: name}
}

func (p *proxy) set(mode string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = mode
}

func (p *proxy) take() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.mode
	p.mode = pass
	return m
}

// toServer forwards the client's packets; the store's COMMIT is always one packet of its own, read at once.
func (p *proxy) toServer(client, server net.Conn, answered <-chan struct{}) {
	buf := make([]byte, 1<<20)
	for {
		n, err := client.Read(buf)
		if err != nil {
			server.Close()
			return
		}
		packet := bytes.Clone(buf[:n])
		mode := pass
		if bytes.HasSuffix(packet, []byte("\x03COMMIT")) {
			mode = p.take()
		}
		switch mode {
		case loseCommit:
			client.Close()
			server.Close()
			return
		case loseAnswer, holdCommit:
			for len(answered) > 0 {
				<-answered
			}
			client.Close()
			deliver := func() {
				if _, err := server.Write(packet); err == nil {
					<-answered
				}
				server.Close()
			}
			if mode == loseAnswer {
				deliver()
				return
			}
			p.mu.Lock()
			p.held = deliver
			p.mu.Unlock()
			return
		}
		if _, err := server.Write(packet); err != nil {
			client.Close()
			return
		}
	}
}

func toClient(client, server net.Conn, answered chan<- struct{}) {
	defer close(answered)
	buf := make([]byte, 1<<20)
	for {
		n, err := server.Read(buf)
		if err != nil {
			client.Close()
			return
		}
		select {
		case answered <- struct{}{}:
		default:
		}
		_, _ = client.Write(buf[:n]) // the client may have been cut off
	}
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func batch(revision uint64, id byte) store.Batch {
	return store.Batch{ID: model.UUID{1, id}, Revision: revision, At: noon,
		Mutations: []store.Mutation{{Kind: "port", Key: fmt.Sprint(revision), Body: []byte{id}}}}
}

// testNetwork: whatever becomes of the COMMIT on its way, the answer is what the database then holds.
func testNetwork(t *testing.T, srv *server) {
	for _, c := range []struct {
		mode string
		done bool
	}{{pass, true}, {loseCommit, false}, {loseAnswer, true}} {
		t.Run("mode "+c.mode, func(t *testing.T) {
			p := newProxy(t, srv.socket)
			name := srv.database(t)
			s := open(t, p.options(name))
			base := storetest.Load(t, s).Snap.Position
			p.set(c.mode)
			err := s.Append(t.Context(), base, []store.Batch{batch(1, 1)})
			if c.done != (err == nil) || errors.Is(err, store.ErrUnknown) || errors.Is(err, store.ErrConflict) {
				t.Errorf("append: %v, want done: %t", err, c.done)
			}
			if got := storetest.Load(t, open(t, srv.options(name))).Snap.Revision == 1; got != c.done {
				t.Errorf("in the database: %t, want %t", got, c.done)
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.mode != pass {
				t.Error("the proxy saw no COMMIT")
			}
		})
	}
}

// testHeldCommit: a COMMIT is on its way for as long as it likes. Nobody may say that it was not done while it can still
// arrive, and nobody else can write meanwhile.
func testHeldCommit(t *testing.T, srv *server) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("too late %t", late), func(t *testing.T) {
			p := newProxy(t, srv.socket)
			name := srv.database(t)
			s, other := open(t, p.options(name)), open(t, srv.options(name))
			base := storetest.Load(t, s).Snap.Position
			p.set(holdCommit)
			answer := make(chan error, 1)
			go func() { answer <- s.Append(t.Context(), base, []store.Batch{batch(1, 1)}) }()
			var held func()
			eventually(t, "the COMMIT", func(context.Context) error {
				p.mu.Lock()
				defer p.mu.Unlock()
				if held = p.held; held == nil {
					return errors.New("not seen")
				}
				return nil
			})
			if !late {
				select {
				case err := <-answer:
					t.Fatalf("answered %v while the COMMIT was still on its way", err)
				case <-time.After(300 * time.Millisecond): // not a figure: any time in which a wrong answer would come
				}
				held()
				if err := <-answer; err != nil {
					t.Errorf("append: %v", err)
				}
				if ok, err := s.Committed(t.Context(), 1, batch(1, 1).ID); !ok || err != nil {
					t.Errorf("committed: %t, %v", ok, err)
				}
				return
			}
			// The server ends a transaction that idles (idle_transaction_timeout); from then on it cannot be done.
			eventually(t, "another server's write", func(ctx context.Context) error {
				return other.Append(ctx, base, []store.Batch{batch(1, 2)})
			})
			held()
			if err := <-answer; err == nil {
				t.Error("the lost append says that it is done")
			}
			if ok, err := s.Committed(t.Context(), 1, batch(1, 1).ID); ok || err != nil {
				t.Errorf("committed: %t, %v", ok, err)
			}
			if d := storetest.Load(t, other); len(d.Entries) != 1 || d.Entries[0].Body[0] != 2 {
				t.Errorf("the store holds %+v", d.Entries)
			}
		})
	}
}

// testCrash kills the database server under a writing store: what was acknowledged is there when it is back, without
// gaps, and the store goes on by itself.
func testCrash(t *testing.T, srv *server) {
	s := open(t, srv.options(srv.database(t)))
	pos := storetest.Load(t, s).Snap.Position
	start := pos
	acked := map[uint64]model.UUID{}
	for round := range byte(2) {
		victim := srv.cmd.Process
		kill := time.AfterFunc(200*time.Millisecond, func() { _ = victim.Kill() }) // it may have gone
		for {
			b := batch(pos.Revision+1, round)
			b.ID[15], b.ID[14] = byte(pos.Revision), byte(pos.Revision>>8)
			err := s.Append(t.Context(), pos, []store.Batch{b})
			if err == nil {
				pos.Revision++
				acked[pos.Revision] = b.ID
				continue
			}
			<-srv.ended
			kill.Stop()
			srv.start(t)
			if !errors.Is(err, store.ErrUnknown) {
				break
			}
			eventually(t, "committed", func(ctx context.Context) error {
				done, cerr := s.Committed(ctx, b.Revision, b.ID)
				if cerr == nil && done {
					pos.Revision++
					acked[pos.Revision] = b.ID
				}
				return cerr
			})
			break
		}
		log, err := s.Tail(t.Context(), start, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		if len(log) != len(acked) {
			t.Errorf("round %d: %d batches, acknowledged were %d", round, len(log), len(acked))
		}
		for _, b := range log {
			if acked[b.Revision] != b.ID {
				t.Errorf("round %d: revision %d is %s, acknowledged was %s", round, b.Revision, b.ID, acked[b.Revision])
			}
		}
		t.Logf("round %d: %d acknowledged", round, len(acked))
	}
}

// testServers has several servers of one database write at once and follow each other by Tail.
func testServers(t *testing.T, srv *server) {
	const servers, rounds = 3, 20
	o := srv.options(srv.database(t))
	start := storetest.Load(t, open(t, o)).Snap.Position
	var wg sync.WaitGroup
	logs := make([][]store.Batch, servers)
	for i := range servers {
		s := open(t, o)
		wg.Go(func() {
			at, wins := start, 0
			for wins < rounds {
				news, err := s.Tail(t.Context(), at, 1000)
				if err != nil {
					t.Error(err)
					return
				}
				logs[i] = append(logs[i], news...)
				at.Revision += uint64(len(news))
				b := batch(at.Revision+1, byte(i))
				b.ID[2], b.ID[3] = byte(i), byte(wins)
				if err := s.Append(t.Context(), at, []store.Batch{b}); err == nil {
					wins++
				} else if !errors.Is(err, store.ErrConflict) {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	d := storetest.Load(t, open(t, o))
	if d.Snap.Revision != servers*rounds || len(d.Entries) != servers*rounds {
		t.Errorf("%d entries at revision %d, want %d", len(d.Entries), d.Snap.Revision, servers*rounds)
	}
	for i, log := range logs {
		if err := store.CheckTail(0, log); err != nil {
			t.Errorf("server %d: %v", i, err)
		}
	}
}

// testLostRace: a writer that waits too long for the lock has lost, certainly.
func testLostRace(t *testing.T, srv *server) {
	name := srv.database(t)
	s := open(t, srv.options(name))
	base := storetest.Load(t, s).Snap.Position
	db := srv.root(t)
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec("UPDATE " + name + ".weft_meta SET fence = fence + 1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), base, []store.Batch{batch(1, 1)}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("append behind a lock: %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), base, []store.Batch{batch(1, 1)}); err != nil {
		t.Errorf("append: %v", err)
	}
}

// testLease: one holder at a time, each change a new term.
func testLease(t *testing.T, srv *server) {
	o := srv.options(srv.database(t))
	a, b := open(t, o), open(t, o)
	campaign := func(s *mysql.Store, who string, ttl time.Duration, holder string, term uint64) {
		t.Helper()
		l, err := s.Campaign(t.Context(), who, ttl)
		if err != nil || l.Holder != holder || l.Term != term || (l.Holder == who && (l.Left <= 0 || l.Left > ttl)) {
			t.Errorf("%s campaigns: %+v, %v, want %s in term %d", who, l, err, holder, term)
		}
	}
	campaign(a, "a:1", time.Hour, "a:1", 1)
	campaign(b, "b:1", time.Hour, "a:1", 1)
	campaign(a, "a:1", time.Hour, "a:1", 1)
	if err := b.Resign(t.Context(), "b:1"); err != nil { // not b's to give
		t.Fatal(err)
	}
	campaign(b, "b:1", time.Hour, "a:1", 1)
	if err := a.Resign(t.Context(), "a:1"); err != nil {
		t.Fatal(err)
	}
	campaign(b, "b:1", 50*time.Millisecond, "b:1", 2)
	eventually(t, "the lease running out", func(ctx context.Context) error {
		l, err := a.Campaign(ctx, "a:1", time.Hour)
		if err == nil && l.Holder != "a:1" {
			err = fmt.Errorf("%+v", l)
		}
		return err
	})
	campaign(b, "b:1", time.Hour, "a:1", 3)
	if _, err := a.Campaign(t.Context(), "", time.Hour); err == nil {
		t.Error("a holder without a name was taken")
	}
}

// testSettings: a server that would lose writes is refused, and the error names the variable.
func testSettings(t *testing.T, srv *server) {
	o := srv.options(srv.database(t))
	for _, c := range []struct{ set, back, want string }{
		{"SET GLOBAL innodb_flush_log_at_trx_commit = 2", "SET GLOBAL innodb_flush_log_at_trx_commit = 1", "innodb_flush_log_at_trx_commit is 2"},
		{"SET GLOBAL read_only = ON", "SET GLOBAL read_only = OFF", "read_only is ON"},
		{"SET GLOBAL max_allowed_packet = 1048576", "SET GLOBAL max_allowed_packet = 16777216", "max_allowed_packet is 1048576"},
	} {
		srv.exec(t, c.set)
		s, err := mysql.Open(t.Context(), o)
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.set, err, c.want)
		}
		srv.exec(t, c.back)
	}
	srv.stop(t)
	srv.start(t, "--log-bin="+srv.dir+"/binlog", "--sync-binlog=0")
	if _, err := mysql.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "sync_binlog is 0") {
		t.Errorf("a binary log that is not synced: %v", err)
	}
	srv.exec(t, "SET GLOBAL sync_binlog = 1")
	s := open(t, o)
	if err := s.Append(t.Context(), storetest.Load(t, s).Snap.Position, []store.Batch{batch(1, 1)}); err != nil {
		t.Errorf("with a binary log: %v", err)
	}
	srv.exec(t, "UPDATE weft"+fmt.Sprint(srv.databases)+".weft_meta SET format = 1000")
	if _, err := mysql.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "upgrade") {
		t.Errorf("a newer weft's tables: %v", err)
	}
	srv.stop(t)
	srv.start(t)
}

// testDeadlock: when the server chooses the append as a deadlock's victim it ends the transaction, and whatever is sent
// after that would stay by itself. The append must send nothing more and say that it lost.
func testDeadlock(t *testing.T, srv *server) {
	name := srv.database(t)
	s := open(t, srv.options(name))
	before := storetest.Load(t, s)
	db := srv.root(t)
	defer db.Close()
	srv.exec(t, "CREATE TABLE "+name+".ballast (n INT PRIMARY KEY) ENGINE=InnoDB")
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for _, q := range []string{ // many rows, so that the other transaction is the cheaper victim
		"INSERT INTO " + name + ".ballast SELECT seq FROM " + name + ".seq_1_to_5000",
		"INSERT INTO " + name + ".weft_entries VALUES ('port', 'k1', 0, 0, 0, '')",
	} {
		if _, err := tx.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	big := func(key string) store.Mutation {
		return store.Mutation{Kind: "port", Key: key, Body: make([]byte, 700<<10)}
	}
	b := store.Batch{ID: model.UUID{1}, Revision: 1, At: noon, Mutations: []store.Mutation{big("k0"), big("k1"), big("k2"), big("k3"), {Kind: "port", Key: "k4"}},
		Intents: []store.Intent{{ID: model.UUID{2}, Kind: "nova"}}}
	answer := make(chan error, 1)
	go func() { answer <- s.Append(t.Context(), before.Snap.Position, []store.Batch{b}) }()
	eventually(t, "the append waiting for k1", func(ctx context.Context) error {
		var n int
		err := db.QueryRowContext(ctx, "SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'INSERT INTO weft_entries%' AND time_ms > 100").Scan(&n)
		if err == nil && n == 0 {
			err = errors.New("nobody waits")
		}
		select {
		case early := <-answer:
			t.Fatalf("append did not wait: %v", early)
		default:
		}
		return err
	})
	if _, err := tx.Exec("SELECT * FROM " + name + ".weft_meta FOR UPDATE"); err != nil {
		t.Fatalf("the other transaction was the victim: %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-answer; !errors.Is(err, store.ErrConflict) {
		t.Errorf("append: %v", err)
	}
	if d := storetest.Load(t, s); len(d.Entries) > 0 || len(d.Snap.Intents) > 0 || d.Snap.Revision > 0 {
		t.Errorf("left behind: %d entries, %d intents, revision %d", len(d.Entries), len(d.Snap.Intents), d.Snap.Revision)
	}
	if err := s.Append(t.Context(), before.Snap.Position, []store.Batch{b}); err != nil {
		t.Errorf("again: %v", err)
	}
}
