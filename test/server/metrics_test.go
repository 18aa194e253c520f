package server

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weft-cloud/weft/test/rig"
)

// freePort is an address of this machine that nobody listens at.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// readMetrics is what is read at a process's address, by the name with its labels.
func readMetrics(t *testing.T, at string) (all map[string]float64, text string) {
	t.Helper()
	resp, err := http.Get("http://" + at + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("%s, %s, %v\n%s", resp.Status, resp.Header, err, b)
	}
	all = map[string]float64{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z_]+(?:\{[^\n]*\})?) (\S+)$`).FindAllStringSubmatch(string(b), -1) {
		if all[m[1]], err = strconv.ParseFloat(m[2], 64); err != nil {
			t.Errorf("%s: %v", m[0], err)
		}
	}
	return all, string(b)
}

// expect waits until all of that is read.
func expect(t *testing.T, at string, want map[string]float64) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		got, text := readMetrics(t, at)
		wrong := ""
		for name, v := range want {
			if x, ok := got[name]; !ok || x != v {
				wrong += fmt.Sprintf("%s: %v (%v), want %v\n", name, x, ok, v)
			}
		}
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%sof\n%s", wrong, text)
		}
	}
}

// Server and agent tell what they count, on the addresses that they were given; nothing of it names what a tenant made.
func TestMetrics(t *testing.T) {
	serverAt, agentAt := freePort(t), freePort(t)
	s := start(t, rig.Options{Config: rig.Config{"weft": {"metrics_bind": serverAt}, "DEFAULT": {"agent_down_time": "5"}}})
	if err := s.Agent("host1", "192.0.2.1", rig.Config{"weft": {"metrics_bind": agentAt}}); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, s, func(st status) bool { return len(st.Agents) == 1 && st.Agents[0].Connected })
	network := create(t, s, "network", object{"name": "confidential"})["id"].(string)
	create(t, s, "subnet", object{"network_id": network, "cidr": "10.11.12.0/24", "ip_version": 4, "name": "confidential"})
	for range 2 {
		create(t, s, "port", object{"network_id": network, "binding:host_id": "host1", "device_owner": "compute:nova", "name": "confidential"})
	}
	if err := s.Do(t.Context(), "", "GET", "/v2.0/ports/"+network, nil, nil); err == nil {
		t.Error("there is no such port")
	}
	expect(t, serverAt, map[string]float64{
		`weft_api_requests_total{code="201",method="POST",resource="ports"}`:        2,
		`weft_api_requests_total{code="404",method="GET",resource="ports"}`:         1,
		`weft_api_request_duration_seconds_count{method="POST",resource="ports"}`:   2,
		`weft_api_request_duration_seconds_count{method="POST",resource="subnets"}`: 1,
		`weft_store_writable`:                1,
		`weft_objects{kind="network"}`:       1,
		`weft_agent_alive{host="host1"}`:     1,
		`weft_agent_connected{host="host1"}`: 1,
		`weft_agent_held{host="host1"}`:      0,
		`weft_agent_ports{host="host1"}`:     2,
		`weft_agent_problems{host="host1"}`:  0,
	})
	expect(t, agentAt, map[string]float64{
		`weft_feed_connected`:              1,
		`weft_feed_connects_total`:         1,
		`weft_in_sync`:                     1,
		`weft_held`:                        0,
		`weft_ports{state="programmed"}`:   2, // the null plane needs no interface
		`weft_ports{state="no_interface"}`: 0,
		`weft_scope{kind="network"}`:       1,
		`weft_service_questions_total`:     0,
		`weft_apply_failures_total`:        0,
	})
	revision := float64(serverState(t, s).Position.Revision)
	expect(t, serverAt, map[string]float64{`weft_store_revision`: revision})
	all, agents := readMetrics(t, agentAt)
	if x := all[`weft_applied_revision`]; x != all[`weft_feed_revision`] || x <= 0 || x > revision {
		t.Errorf("applied %v of %v, the server is at %v", x, all[`weft_feed_revision`], revision)
	}
	_, servers := readMetrics(t, serverAt)
	for _, secret := range []string{"confidential", network, "10.11.12."} {
		if strings.Contains(servers+agents, secret) {
			t.Errorf("what is read names %s", secret)
		}
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	expect(t, agentAt, map[string]float64{`weft_feed_connected`: 0})
}

// An address for readers that is taken is named with the option.
func TestMetricsAddressTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s, err := rig.New(rig.Options{Weft: os.Getenv(binaryEnv), Dir: t.TempDir(), Config: rig.Config{"weft": {"metrics_bind": l.Addr().String()}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "set [weft] metrics_bind to a free address") {
		t.Errorf("the address is taken: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
