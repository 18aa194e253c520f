package server

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/weft-cloud/weft/test/rig"
)

// status is what `weft server status --json` prints, as far as the tests want it.
type status struct {
	Position struct {
		Lineage  string
		Revision uint64
	}
	StoreError string `json:"store_error"`
	Agents     []struct {
		Host                   string
		Alive, Connected, Held bool
	}
}

func serverState(t *testing.T, s *rig.Server) (st status) {
	t.Helper()
	out := weft(t, "server", "status", "--json", "--config-file", s.ConfigFile())
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		t.Fatalf("weft server status: %v\n%s", err, out)
	}
	return st
}

// awaitStatus waits until the server says of itself what is wanted.
func awaitStatus(t *testing.T, s *rig.Server, want func(status) bool) status {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		st := serverState(t, s)
		if want(st) {
			return st
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not come to pass; the server says %+v", st)
		}
	}
}
