package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

// booting is how many instances boot at once, all on one host.
const booting = 1000

// bootResult is how a host served instances that all booted at the same moment. Times are from that moment.
type bootResult struct {
	Instances int `json:"instances"`
	// Ready is how long it took from the last port's making until the host had programmed all of them, All until the last
	// instance had its address and its metadata, in seconds.
	Ready float64 `json:"ready_seconds"`
	All   float64 `json:"all_seconds"`
	// Address is until the DHCP ACK, Metadata from there until the metadata was there whole; milliseconds.
	Address  percentiles `json:"address_ms"`
	Metadata percentiles `json:"metadata_ms"`
	// Resent are questions that had to be asked again, Failed instances that got nothing within a minute.
	Resent int    `json:"resent"`
	Failed int    `json:"failed"`
	Why    string `json:"why,omitempty"`
}

type percentiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// boot makes ports on one host, a tap device for each, and lets what is behind them ask for an address and for metadata all at
// once: through the data plane, the agent, the server and the compute service, as instances do.
func boot(ctx context.Context, l *benchLab, _ options, r *labResult) error {
	network, ports, err := l.bootPorts(ctx)
	if err != nil {
		return err
	}
	defer l.api.do("DELETE", "/networks/"+network, nil, nil)
	defer func() {
		for _, p := range ports {
			l.api.do("DELETE", "/ports/"+p.ID, nil, nil)
		}
	}()
	began := time.Now()
	clients, err := openClients(ports)
	defer func() {
		for _, c := range clients {
			c.f.Close()
		}
	}()
	if err != nil {
		return err
	}
	if err := l.allActive(ctx, network, len(ports)); err != nil {
		return err
	}
	res := &bootResult{Instances: len(clients), Ready: time.Since(began).Seconds()}
	res.bootAll(clients)
	r.Boot = res
	return nil
}

// bootPorts makes a network and its ports. They are of an instance that there is, since nobody else has metadata.
func (l *benchLab) bootPorts(ctx context.Context) (network string, ports []apiPort, err error) {
	home, err := l.api.home(l.instances["red1"])
	if err != nil {
		return "", nil, err
	}
	var got struct {
		Port struct {
			Project string   `json:"project_id"`
			Device  string   `json:"device_id"`
			Groups  []string `json:"security_groups"`
		}
	}
	if err := l.api.do("GET", "/ports/"+home.ID, nil, &got); err != nil {
		return "", nil, err
	}
	p := got.Port
	if err := l.api.do("PUT", "/quotas/"+p.Project, map[string]any{"quota": map[string]any{"port": -1, "network": -1, "subnet": -1}}, nil); err != nil {
		return "", nil, err
	}
	var made struct{ Network struct{ ID string } }
	if err := l.api.do("POST", "/networks", map[string]any{"network": map[string]any{"name": "boot", "project_id": p.Project}}, &made); err != nil {
		return "", nil, err
	}
	network = made.Network.ID
	if err := l.api.do("POST", "/subnets", map[string]any{"subnet": map[string]any{"network_id": network, "project_id": p.Project,
		"ip_version": 4, "cidr": "10.200.0.0/20"}}, nil); err != nil {
		return network, nil, err
	}
	for len(ports) < booting && err == nil {
		if err := ctx.Err(); err != nil {
			return network, ports, err
		}
		var want []any
		for range min(100, booting-len(ports)) {
			want = append(want, map[string]any{"network_id": network, "project_id": p.Project, "binding:host_id": "compute1",
				"device_owner": "compute:bench", "device_id": p.Device, "security_groups": p.Groups})
		}
		var some struct{ Ports []apiPort }
		err = l.api.do("POST", "/ports", map[string]any{"ports": want}, &some)
		ports = append(ports, some.Ports...)
	}
	return network, ports, err
}

func openClients(ports []apiPort) ([]*bootClient, error) {
	var out []*bootClient
	for _, p := range ports {
		mac, err := net.ParseMAC(p.MAC)
		if err != nil {
			return out, err
		}
		dev := "tap" + p.ID[:11]
		f, err := linux.OpenTap("weft-compute1", dev, false)
		if err != nil {
			return out, err
		}
		out = append(out, &bootClient{f: f, mac: model.MAC(mac)})
		if err := linux.SetUp("weft-compute1", dev); err != nil {
			return out, err
		}
	}
	return out, nil
}

// allActive waits until the host says that all ports are programmed.
func (l *benchLab) allActive(ctx context.Context, network string, n int) error {
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if err := ctx.Err(); err != nil {
			return err
		}
		var got struct{ Ports []struct{ ID string } }
		if err := l.api.do("GET", "/ports?fields=id&device_owner=compute:bench&status=ACTIVE&network_id="+network, nil, &got); err != nil {
			return err
		}
		if len(got.Ports) >= n {
			return nil
		}
	}
	return errors.New("the host did not program all ports within 5 minutes")
}

// bootAll lets all clients go at once.
func (r *bootResult) bootAll(clients []*bootClient) {
	var all sync.WaitGroup
	var mu sync.Mutex // guards what follows
	var address, metadata []float64
	start := make(chan struct{})
	var began time.Time
	for _, c := range clients {
		all.Go(func() {
			<-start
			err := c.dora()
			bound := time.Now()
			if err == nil {
				err = c.metadata()
			}
			done := time.Now()
			mu.Lock()
			defer mu.Unlock()
			r.Resent += c.resent
			if err != nil {
				r.Failed++
				r.Why = err.Error()
				return
			}
			address = append(address, ms(bound.Sub(began)))
			metadata = append(metadata, ms(done.Sub(bound)))
		})
	}
	began = time.Now()
	close(start)
	all.Wait()
	r.All = time.Since(began).Seconds()
	r.Address = percentiles{quantile(address, 0.5), quantile(address, 0.99)}
	r.Metadata = percentiles{quantile(metadata, 0.5), quantile(metadata, 0.99)}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func printBoot(w io.Writer, r *labResult) {
	b := r.Boot
	fmt.Fprintf(w, "\n%d instances boot at once on one host (its ports programmed in %.1f s): all served in %.1f s\n", b.Instances, b.Ready, b.All)
	fmt.Fprintf(w, "%-34s p50 %.0f ms, p99 %.0f ms\n", "address (DISCOVER to ACK)", b.Address.P50, b.Address.P99)
	fmt.Fprintf(w, "%-34s p50 %.0f ms, p99 %.0f ms\n", "metadata, from the address on", b.Metadata.P50, b.Metadata.P99)
	fmt.Fprintf(w, "%-34s %d\n", "questions asked again", b.Resent)
	if b.Failed > 0 {
		fmt.Fprintf(w, "FAILED: %d instances were not served: %s\n", b.Failed, b.Why)
	}
}
