package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/api"
	"github.com/weft-cloud/weft/internal/server/world"
)

// manyNetworks is a server over HTTP with so many networks that their list is a long answer.
func manyNetworks(t *testing.T) (e *env, url string) {
	t.Helper()
	e = newEnv(t, nil)
	for range 12 {
		var some []object
		for range 100 {
			some = append(some, object{"name": "n", "description": strings.Repeat("long ", 40)})
		}
		e.must(http.StatusCreated, "POST", "/networks", object{"networks": some})
	}
	s := httptest.NewServer(e.handler)
	t.Cleanup(s.Close)
	return e, s.URL + "/v2.0"
}

func getAs(ctx context.Context, url string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return "", err
	}
	r.Header.Set("X-Project-Id", "admin-project")
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err == nil && a.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", a.Status, b)
	}
	return string(b), err
}

// TestLane: while others are worked at, a long answer waits, by id, sorted and filtered alike, and a short one does not; then it comes whole.
func TestLane(t *testing.T) {
	e, url := manyNetworks(t)
	empty := api.FillLane(e.handler)
	type got struct {
		query, body string
		err         error
	}
	long := make(chan got)
	queries := []string{"", "?sort_key=name&sort_dir=desc", "?description=none", "?fields=id"}
	for _, q := range queries {
		go func() {
			body, err := getAs(t.Context(), url+"/networks"+q)
			long <- got{q, body, err}
		}()
	}
	for _, q := range []string{"/networks?limit=50", "/subnets", "/extensions"} {
		if _, err := getAs(t.Context(), url+q); err != nil {
			t.Error(err)
		}
	}
	select {
	case g := <-long:
		t.Errorf("%q did not wait: %.200s %v", g.query, g.body, g.err)
		queries = queries[1:]
	case <-time.After(200 * time.Millisecond):
	}
	empty()
	for range queries {
		g := <-long
		want := 1200
		if g.query == "?description=none" {
			want = 0
		}
		if n := strings.Count(g.body, `"id": `); g.err != nil || n != want || !strings.HasSuffix(g.body, "]}") {
			t.Errorf("%q: %d networks, want %d; %v", g.query, n, want, g.err)
		}
	}
	if n := api.LaneInUse(e.handler); n != 0 {
		t.Errorf("%d places in use when all is answered", n)
	}
}

// stalled is the connection of a client that does not read: a write comes back when it is closed.
type stalled struct {
	http.ResponseWriter
	writing chan<- struct{}
	closed  <-chan struct{}
}

func (s *stalled) Write(b []byte) (int, error) {
	s.writing <- struct{}{}
	<-s.closed
	return len(b), nil
}

// TestLaneIsLeft: no place is held for a client that does not read, for one that has gone away while its answer waited, and behind an answer of
// whatever kind.
func TestLaneIsLeft(t *testing.T) {
	e, url := manyNetworks(t)
	ask := func(w http.ResponseWriter, path string) {
		r := httptest.NewRequest("GET", "/v2.0"+path, nil)
		r.Header.Set("X-Project-Id", "admin-project")
		e.handler.ServeHTTP(w, r)
	}
	clients := runtime.GOMAXPROCS(0) + 1
	writing, closed := make(chan struct{}, 100), make(chan struct{})
	var work sync.WaitGroup
	for range clients {
		work.Go(func() { ask(&stalled{httptest.NewRecorder(), writing, closed}, "/networks") })
	}
	for range clients {
		<-writing
	}
	if n := api.LaneInUse(e.handler); n != 0 {
		t.Errorf("%d places in use for clients that do not read", n)
	}
	close(closed)
	work.Wait()

	empty := api.FillLane(e.handler)
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := getAs(ctx, url+"/networks")
		left <- err
	}()
	time.Sleep(20 * time.Millisecond)
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the client that goes away got %v", err)
	}
	empty()

	e.host("one", "192.0.2.1", "dvr")
	agent := e.list("/agents?agent_type=DHCP+agent")[0].(object)["id"].(string)
	e.write(func(tx *world.Tx) error {
		id, err := model.ParseUUID(agent)
		for v := range tx.Networks.All() {
			if err == nil {
				err = e.rules.AddDHCP(tx, tx.Agents.Get(model.AgentID{UUID: id}), v.ID)
			}
		}
		return err
	})
	for _, path := range []string{"/networks", "/networks?sort_key=name&sort_dir=asc&limit=10", "/agents/" + agent + "/dhcp-networks"} {
		w := httptest.NewRecorder()
		ask(w, path)
		if w.Code != http.StatusOK {
			t.Errorf("%s: %s", path, w.Body)
		}
		if n := api.LaneInUse(e.handler); n != 0 {
			t.Errorf("%s: %d places in use when it is answered", path, n)
		}
	}
}
