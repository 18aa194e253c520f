package notify_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-cloud/weft/internal/config"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/notify"
	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/memory"
	"github.com/weft-cloud/weft/internal/server/world"
)

// cloud is Keystone and Nova.
type cloud struct {
	*httptest.Server
	mu      sync.Mutex
	answers []int // of Nova, one by one; then 200
	logins  int
	asked   int
	got     []model.NovaEvent // those answered 200
}

func newCloud(t *testing.T, answers ...int) *cloud {
	c := &cloud{answers: answers}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v3/auth/tokens", func(w http.ResponseWriter, _ *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.logins++
		w.Header().Set("X-Subject-Token", "secret")
		w.WriteHeader(http.StatusCreated)
		json.NewEncoder(w).Encode(map[string]any{"token": map[string]any{
			"expires_at": time.Now().Add(time.Hour),
			"catalog": []any{map[string]any{"type": "compute", "endpoints": []any{
				map[string]any{"interface": "internal", "region": "one", "url": "http://127.0.0.1:1/wrong"},
				map[string]any{"interface": "public", "region": "two", "url": "http://127.0.0.1:1/wrong"},
				map[string]any{"interface": "public", "region": "one", "url": c.URL + "/v2.1/"},
			}}}}})
	})
	mux.HandleFunc("POST /v2.1/os-server-external-events", func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Events []model.NovaEvent }
		err := json.NewDecoder(r.Body).Decode(&body)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asked++
		code := http.StatusOK
		switch {
		case err != nil || r.Header.Get("X-Auth-Token") != "secret":
			t.Errorf("request %v with token %q", err, r.Header.Get("X-Auth-Token"))
		case len(c.answers) > 0:
			code, c.answers = c.answers[0], c.answers[1:]
		}
		if code == http.StatusOK {
			c.got = append(c.got, body.Events...)
		}
		w.WriteHeader(code)
	})
	c.Server = httptest.NewServer(mux)
	t.Cleanup(c.Close)
	return c
}

func (c *cloud) nova(t *testing.T, s notify.Outbox) *notify.Nova {
	return notify.New(notify.Deps{Outbox: s, Client: c.Client(), Now: time.Now, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Config: config.Nova{Credentials: config.Credentials{AuthURL: c.URL, Username: "nova", Password: config.NewSecret("p"), UserDomainID: "default",
			ProjectName: "service", ProjectDomainID: "default", Region: "one", Interface: "publicURL", Timeout: 10 * time.Second},
			EventsInterval: 10 * time.Millisecond}})
}

func randomUUID() model.UUID {
	var b [16]byte
	rand.Read(b[:])
	return model.NewUUIDv4(b)
}

// commit makes a change that has events durable, and stops: nobody has been told yet.
func commit(t *testing.T, s store.Store, events ...model.NovaEvent) {
	w, err := world.Open(t.Context(), world.Config{Store: s, Log: slog.New(slog.DiscardHandler), Now: time.Now, Random: randomUUID})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	defer func() { stop(); <-done }()
	if _, err := w.Do(ctx, "test", func(tx *world.Tx) error {
		for _, e := range events {
			body, err := json.Marshal(e)
			if err != nil {
				return err
			}
			tx.Emit(model.IntentNova, body)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// run runs n until the outbox is empty.
func run(t *testing.T, n *notify.Nova, s notify.Outbox) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	defer func() { stop(); <-done }()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		left, err := s.Intents(ctx, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d events are left", len(left))
		}
	}
}

func TestDelivery(t *testing.T) {
	events := []model.NovaEvent{
		{Name: model.NovaPlugged, Server: "s1", Tag: "p1", Status: model.NovaCompleted},
		{Name: model.NovaChanged, Server: "s2", Tag: "p2"},
	}
	for _, tt := range []struct {
		name                 string
		answers              []int
		want                 []model.NovaEvent
		wantAsked, wantLogin int
	}{
		{"at once", nil, events, 1, 1},
		{"token withdrawn", []int{401}, events, 2, 2},
		{"Nova down", []int{503}, events, 2, 2},
		{"no such instance", []int{404}, nil, 1, 1},
		{"some instances", []int{207}, nil, 1, 1},
		{"refused", []int{400}, nil, 1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := memory.New(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			c := newCloud(t, tt.answers...)
			commit(t, s, events...) // the server dies between the commit and the delivery, and another one starts:
			run(t, c.nova(t, s), s)
			c.mu.Lock()
			defer c.mu.Unlock()
			if d := cmp.Diff(tt.want, c.got); d != "" || c.asked != tt.wantAsked || c.logins != tt.wantLogin {
				t.Errorf("asked %d times after %d logins; want %d, %d; events:\n%s", c.asked, c.logins, tt.wantAsked, tt.wantLogin, d)
			}
		})
	}
}

// forgetful dies after the delivery, before the outbox is emptied.
type forgetful struct {
	store.Store
	mu   sync.Mutex
	fail error
}

func (f *forgetful) DoneIntents(ctx context.Context, ids []model.UUID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.fail; err != nil {
		f.fail = nil
		return err
	}
	return f.Store.DoneIntents(ctx, ids)
}

func TestTwiceRatherThanNever(t *testing.T) {
	s, err := memory.New(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := newCloud(t)
	f := &forgetful{Store: s, fail: context.DeadlineExceeded}
	commit(t, s, model.NovaEvent{Name: model.NovaPlugged, Server: "s1", Tag: "p1", Status: model.NovaCompleted})
	run(t, c.nova(t, f), f)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.got) != 2 {
		t.Errorf("Nova was told %d times, want 2", len(c.got))
	}
}
