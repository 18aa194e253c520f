package lab

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/weft-cloud/weft/internal/lab/osclient"
)

// Reboot does to a host what a power cut does, and a start after it: its agent and instances end, its interfaces, tunnel
// device, programs and maps are gone; then it comes up with what is on its disk. It needs no networking server.
func (r *Record) Reboot(ctx context.Context, name string) error {
	i := slices.IndexFunc(r.Hosts(), func(h Host) bool { return h.Name == name })
	if i < 1 { // the controller's namespace is where the server and the services' listeners live
		return fmt.Errorf("no compute %q to reboot: the computes are %v", name, r.Computes())
	}
	h := r.Hosts()[i]
	l, err := takeLock()
	if err != nil {
		return err
	}
	defer l.release()
	admin := r.Admin()
	defer admin.Close()
	guests, err := serversOn(ctx, admin, name)
	if err != nil {
		return err
	}
	rec, err := r.Keeper().Find(agentJob(name))
	if err != nil {
		return err
	}
	if err := r.Keeper().Stop(ctx, rec.Name, 0); err != nil {
		return err
	}
	for _, id := range guests {
		if err := act(ctx, admin, id, "os-stop"); err != nil {
			return err
		}
	}
	if err := r.removeHost(h); err != nil {
		return err
	}
	if err := os.RemoveAll(r.PinDir(name)); err != nil {
		return fmt.Errorf("remove pinned objects of %s: %w", name, err)
	}
	if err := r.removeRouters(name); err != nil {
		return err
	}
	if err := r.buildHost(h); err != nil {
		return err
	}
	if _, _, err := r.Keeper().Start(rec.Spec()); err != nil {
		return err
	}
	for _, id := range guests {
		if err := act(ctx, admin, id, "os-start"); err != nil {
			return err
		}
	}
	return nil
}

// serversOn are the ids of the servers that run on a host.
func serversOn(ctx context.Context, c *osclient.Client, host string) ([]string, error) {
	var out struct{ Servers []struct{ ID string } }
	err := c.Do(ctx, "compute", http.MethodGet, "/servers?all_tenants=1&status=ACTIVE&host="+host, nil, &out)
	var ids []string
	for _, s := range out.Servers {
		ids = append(ids, s.ID)
	}
	return ids, err
}

func act(ctx context.Context, c *osclient.Client, server, action string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return c.Do(ctx, "compute", http.MethodPost, "/servers/"+server+"/action", doc{action: nil}, nil)
}
