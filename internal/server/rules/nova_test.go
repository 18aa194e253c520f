package rules

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store/memory"
	"github.com/weft-cloud/weft/internal/server/world"
)

// TestTellNova is which changes of a port are events to Nova.
func TestTellNova(t *testing.T) {
	random := func() model.UUID {
		var b [16]byte
		rand.Read(b[:])
		return model.NewUUIDv4(b)
	}
	port := func(status, owner, addr string) *model.Port {
		return &model.Port{DeviceID: "6ba7b810-9dad-41d1-80b4-00c04fd430c8", DeviceOwner: owner, Status: status,
			FixedIPs: []model.FixedIP{{Address: netip.MustParseAddr(addr)}}}
	}
	down, active := port(model.StatusDown, "compute:nova", "10.0.0.1"), port(model.StatusActive, "compute:nova", "10.0.0.1")
	stray := port(model.StatusDown, "compute:nova", "10.0.0.1")
	stray.DeviceID = "my vm"
	for _, tt := range []struct {
		name     string
		old, now *model.Port
		want     []string
	}{
		{"plugged", down, active, []string{"network-vif-plugged completed"}},
		{"unplugged", active, down, []string{"network-vif-unplugged completed"}},
		{"failed", down, port(model.StatusError, "compute:nova", "10.0.0.1"), []string{"network-vif-plugged failed"}},
		{"same", active, active, nil},
		{"building", down, port(model.StatusBuild, "compute:nova", "10.0.0.1"), nil},
		{"deleted", active, nil, []string{"network-vif-deleted completed"}},
		{"address", active, port(model.StatusActive, "compute:nova", "10.0.0.2"), []string{"network-changed "}},
		{"a router's", port(model.StatusDown, model.OwnerDVRInterface, "10.0.0.1"), port(model.StatusActive, model.OwnerDVRInterface, "10.0.0.1"), nil},
		{"no instance's id", stray, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := memory.New(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			w, err := world.Open(t.Context(), world.Config{Store: s, Log: slog.New(slog.DiscardHandler), Now: time.Now, Random: random})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- w.Run(ctx) }()
			defer func() { stop(); <-done }()
			r := New(Deps{Config: Config{NovaStatus: true, NovaData: true}})
			if _, err := w.Do(ctx, "test", func(tx *world.Tx) error { r.tellNova(tx, tt.old, tt.now); return nil }); err != nil {
				t.Fatal(err)
			}
			intents, err := s.Intents(ctx, 10)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, i := range intents {
				var e model.NovaEvent
				if err := json.Unmarshal(i.Body, &e); err != nil || i.Kind != model.IntentNova {
					t.Fatalf("intent %s %s: %v", i.Kind, i.Body, err)
				}
				got = append(got, e.Name+" "+e.Status)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}
