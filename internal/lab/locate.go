package lab

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// Locate finds the instance of that name, or whose id begins so (8 or more characters): its id, and the host that it runs on. It asks the
// compute service alone, so that it answers also while the networking service does not. ok is false where there is no such instance.
func (r *Record) Locate(ctx context.Context, want string) (id, host string, ok bool, err error) {
	var list struct {
		Servers []struct {
			ID, Name string
			Host     string `json:"OS-EXT-SRV-ATTR:host"`
			Guest    string `json:"OS-EXT-SRV-ATTR:instance_name"`
		}
	}
	admin := r.Admin()
	defer admin.Close()
	if err := admin.Do(ctx, "compute", http.MethodGet, "/servers/detail?all_tenants=1", nil, &list); err != nil {
		return "", "", false, fmt.Errorf("find instance %q: %w", want, err)
	}
	var found []string
	for _, s := range list.Servers {
		if s.Guest == want { // one alone has this name
			return s.ID, s.Host, true, nil
		}
		if s.Name == want || len(want) >= 8 && strings.HasPrefix(s.ID, want) {
			id, host = s.ID, s.Host
			found = append(found, s.ID)
		}
	}
	if len(found) > 1 {
		return "", "", false, fmt.Errorf("%d instances are called %q: use an id, one of %s", len(found), want, strings.Join(found, ", "))
	}
	return id, host, len(found) == 1, nil
}

// AgentConfig are the arguments that name the configuration files of a host's agent.
func (r *Record) AgentConfig(h Host) []string { return r.configArgs(h.Name, r.agentFiles(h)) }
