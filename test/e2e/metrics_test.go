package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// metricsOf is what the agent of compute1 tells, by the name with its labels.
func metricsOf(t *testing.T) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for line := range strings.Lines(must(t, "lab", "exec", "compute1", "--", "curl", "-sS", "--max-time", "10", "http://127.0.0.1:9698/metrics")) {
		i := strings.LastIndexByte(line, ' ')
		if v, err := strconv.ParseFloat(strings.TrimSpace(line[i+1:]), 64); err == nil && line[0] != '#' {
			out[line[:i]] = v
		}
	}
	return out
}

// An agent tells what its host's data plane dropped, how full its tables are, and what instances asked.
func metricsCountWhatHappens(t *testing.T) {
	const spoofed = `weft_dropped_packets_total{reason="spoofed_ip"}`
	const metadata = `weft_service_exchanges_total{answered="yes",service="metadata"}`
	before := metricsOf(t)
	for name, want := range map[string]float64{`weft_feed_connected`: 1, `weft_in_sync`: 1, `weft_ports{state="programmed"}`: 4, `weft_table_entries{table="endpoints"}`: 4} {
		if v, ok := before[name]; !ok || v != want {
			t.Errorf("%s is %v (%v), want %v", name, v, ok, want)
		}
	}
	for _, some := range []string{`weft_punts_total{result="replies"}`, `weft_service_exchanges_total{answered="yes",service="dhcpv4"}`, metadata,
		`weft_table_entries{table="routes"}`, `weft_applied_revision`} {
		if before[some] <= 0 {
			t.Errorf("%s is %v", some, before[some])
		}
	}
	const n = 5
	_, _ = weft("lab", "exec", "red1", "--", "python3", "-c", fmt.Sprintf(strangers, "own", n)) //nolint:errcheck // what comes of it is counted
	must(t, "lab", "exec", "red1", "--", "python3", "-c", "import urllib.request as u;u.urlopen('http://169.254.169.254/openstack/latest/meta_data.json',timeout=5)")
	after := metricsOf(t)
	if after[spoofed] < before[spoofed]+n || after[metadata] != before[metadata]+1 {
		t.Errorf("dropped %v, before %v; metadata answered %v, before %v", after[spoofed], before[spoofed], after[metadata], before[metadata])
	}
	must(t, "lab", "exec", "red1", "--", "ping", "-c", "1", "172.16.43.6")
	eventually(t, func() string { // connections are counted every 5 s
		now := metricsOf(t)
		if now[`weft_table_entries{table="conn"}`] > 0 && now[`weft_table_room{table="conn"}`] > 0 {
			return ""
		}
		return fmt.Sprintf("connections: %v", now)
	})
}
