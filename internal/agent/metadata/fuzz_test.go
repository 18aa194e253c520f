package metadata

import (
	"bufio"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/agent/tally"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

type nova func(*http.Request) (*http.Response, error)

func (f nova) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// FuzzRequest: whatever an instance sends, Nova is told who it is by the agent alone. WSGI reads a header by its name in
// capitals with underscores, so that is how headers are compared.
func FuzzRequest(f *testing.F) {
	f.Add([]byte("GET /openstack/latest/meta_data.json HTTP/1.1\r\nHost: 169.254.169.254\r\nX_Instance_Id: other\r\nX-Instance-ID: other\r\n\r\n"))
	f.Add([]byte("PUT /latest/api/token HTTP/1.1\r\nHost: a\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\nConnection: X-Tenant-ID\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Instance-ID: other\r\n\r\n"))
	f.Add([]byte("POST http://10.0.0.1/ HTTP/1.1\r\nHost: a\r\nx-forwarded-for: 10.0.0.9\r\nForwarded: for=10.0.0.9\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc"))
	own := map[string]string{"X_INSTANCE_ID": "instance-2", "X_TENANT_ID": "project-2", "X_FORWARDED_FOR": "10.0.0.2", "X_INSTANCE_ID_SIGNATURE": "signed-2-10.0.0.2"}
	st := &hostplan.State{Endpoints: map[model.PortID]*hostplan.Endpoint{portN(2): {Port: portN(2)}}}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(b))))
		if err != nil {
			return
		}
		r.RemoteAddr = "127.0.0.2:4000"
		p := New(Deps{
			Signer: &signer{url: "http://nova.example:8775"}, State: func() *hostplan.State { return st }, Book: tally.New(tally.Deps{Now: time.Now}),
			Log: slog.New(slog.DiscardHandler), Now: time.Now,
			Attribute: func(netip.Addr) (model.PortID, netip.Addr, bool) {
				return portN(2), netip.AddrFrom4([4]byte{10, 0, 0, 2}), true
			},
			Transport: nova(func(out *http.Request) (*http.Response, error) {
				if out.URL.Host != "nova.example:8775" || out.Host != "nova.example:8775" {
					t.Errorf("sent to %s as %s", out.URL, out.Host)
				}
				got := map[string][]string{}
				for name, values := range out.Header {
					n := strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
					got[n] = append(got[n], values...)
				}
				for name, want := range own {
					if len(got[name]) != 1 || got[name][0] != want {
						t.Errorf("%s: %q", name, got[name])
					}
				}
				if len(out.Trailer) > 0 {
					t.Errorf("trailers %v", out.Trailer)
				}
				return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("")), Header: http.Header{}, Request: out}, nil
			}),
		})
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		if w.Code < 200 || w.Code > 599 {
			t.Errorf("answered with %d", w.Code)
		}
	})
}
