package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

// filled is a server with n ports on one network of a /15, made by rules a thousand at a time.
func filled(b testing.TB, n int) (*env, string) {
	b.Helper()
	e := newEnv(b, nil)
	net := e.create("network", object{"name": "big"})["id"].(string)
	e.create("subnet", object{"network_id": net, "ip_version": 4, "cidr": "10.0.0.0/15"})
	id, err := model.ParseUUID(net)
	if err != nil {
		b.Fatal(err)
	}
	admin := &rules.Actor{Admin: true}
	for done := 0; done < n; done += 1000 {
		e.write(func(tx *world.Tx) error {
			for i := range min(1000, n-done) {
				p := &model.Port{NetworkID: model.NetworkID{UUID: id}, ProjectID: "admin-project", Name: fmt.Sprint("port-", done+i),
					AdminStateUp: true, DeviceID: fmt.Sprint("device-", (done+i)/50), VNICType: model.VNICNormal}
				if err := e.rules.CreatePort(tx, admin, p, &rules.PortExtra{}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if b, ok := b.(*testing.B); ok {
		b.ResetTimer()
	}
	return e, net
}

// sink counts what is answered and keeps nothing.
type sink struct {
	header http.Header
	code   int
	n      int64
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(code int)        { s.code = code }
func (s *sink) Write(b []byte) (int, error) { s.n += int64(len(b)); return len(b), nil }

// get asks for a path and returns how many bytes were answered.
func (e *env) get(path string) int64 {
	r := httptest.NewRequest(http.MethodGet, "/v2.0"+path, nil)
	for k, v := range e.headers {
		r.Header.Set(k, v)
	}
	s := &sink{header: http.Header{}}
	e.handler.ServeHTTP(s, r)
	if s.code != http.StatusOK {
		e.t.Fatalf("GET %s: %d", path, s.code)
	}
	return s.n
}

func BenchmarkCreatePort(b *testing.B) {
	for _, size := range []int{0, 100000} {
		b.Run(fmt.Sprint("of ", size), func(b *testing.B) {
			e, net := filled(b, size)
			body, _ := json.Marshal(object{"port": object{"network_id": net, "name": "x"}})
			var failed atomic.Int64
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if code, _, _ := e.raw(http.MethodPost, "/v2.0/ports", body, nil); code != http.StatusCreated {
						failed.Add(1)
					}
				}
			})
			if failed.Load() > 0 {
				b.Fatalf("%d creations failed", failed.Load())
			}
		})
	}
}

func BenchmarkCreatePortsBulk100(b *testing.B) {
	e, net := filled(b, 0)
	one := `{"network_id": "` + net + `", "name": "x"}`
	body := []byte(`{"ports": [` + strings.Repeat(one+",", 99) + one + `]}`)
	for b.Loop() {
		if code, answer, _ := e.raw(http.MethodPost, "/v2.0/ports", body, nil); code != http.StatusCreated {
			b.Fatalf("%d %s", code, answer)
		}
	}
}

// TestListMakesLittleGarbage: of each port that a list shows, two pieces are garbage. Four more made a list of all take twice as long.
func TestListMakesLittleGarbage(t *testing.T) {
	few, _ := filled(t, 100)
	many, _ := filled(t, 600)
	garbage := func(e *env) float64 { return testing.AllocsPerRun(20, func() { e.get("/ports") }) }
	if per := (garbage(many) - garbage(few)) / 500; per > 3 {
		t.Errorf("%.1f pieces for each port", per)
	}
}

func BenchmarkList(b *testing.B) {
	for _, c := range []struct {
		name, path string
		size       int
	}{
		{"all 5000", "/ports", 5000},
		{"all 5000 fields", "/ports?fields=id&fields=status", 5000},
		{"filtered 50", "/ports?device_id=device-77", 100000},
		{"page of 1000", "/ports?limit=1000", 100000},
		{"page of 50 filtered by network", "/ports?limit=50&network_id=NET", 100000},
		{"page of 50 by name", "/ports?limit=50&sort_key=name&sort_dir=asc", 100000},
		{"member's page", "/ports?limit=50", 100000},
	} {
		b.Run(c.name, func(b *testing.B) {
			e, net := filled(b, c.size)
			path := strings.ReplaceAll(c.path, "NET", net)
			if c.name == "member's page" {
				e = e.as("somebody")
			}
			for b.Loop() {
				b.SetBytes(e.get(path))
			}
		})
	}
}
