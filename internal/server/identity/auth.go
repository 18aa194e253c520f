package identity

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
)

// Authenticator says who a request comes from. Errors are *model.Error of kind unauthorized (no token, or one that is
// not good) or unavailable (it could not be checked; certainly nothing was allowed).
type Authenticator interface {
	Authenticate(r *http.Request) (*Caller, error)
	// Challenge is the WWW-Authenticate header of a 401; "" for none.
	Challenge() string
}

// unauthorized is the one refusal there is: why is for the log, never for the caller.
func unauthorized() error {
	return model.Errf(model.KindUnauthorized, "Unauthorized", "The request you have made requires authentication.")
}

// unavailable is the refusal while Keystone cannot be asked.
func unavailable() error {
	return &model.Error{Kind: model.KindUnavailable, Type: "ServiceUnavailable",
		Message: "Keystone cannot be asked about the token; nothing was done, try again.", RetryAfter: retryAfter}
}

// retryAfter, in seconds, is what a client is told to wait while Keystone is away.
const retryAfter = 5

// Reject answers 401 as Keystone's middleware does, which is the body that clients expect, and not Neutron's.
func Reject(w http.ResponseWriter, a Authenticator) {
	if c := a.Challenge(); c != "" {
		w.Header().Set("WWW-Authenticate", c)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnauthorized)
	// The client may have gone; there is nobody to tell.
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{
		"code": http.StatusUnauthorized, "title": "Unauthorized", "message": "The request you have made requires authentication.",
	}})
}

// NoAuth takes every caller for an administrator of the project that the caller names (auth_strategy = noauth), as
// Neutron does.
type NoAuth struct{}

// Authenticate implements Authenticator.
func (NoAuth) Authenticate(r *http.Request) (*Caller, error) {
	c := &Caller{UserID: r.Header.Get("X-User-Id"), ProjectID: r.Header.Get("X-Project-Id"), IsAdmin: true, IsAdminProject: true}
	if c.ProjectID == "" {
		c.ProjectID = r.Header.Get("X-Tenant-Id")
	}
	if c.ProjectID == "" {
		c.ProjectID = "fake_project_id" // neutron/auth.py, NoauthFakeProjectId
	}
	for role := range strings.SplitSeq(r.Header.Get("X-Roles"), ",") {
		if role = strings.TrimSpace(role); role != "" {
			c.Roles = append(c.Roles, role)
		}
	}
	return c, nil
}

// Challenge implements Authenticator.
func (NoAuth) Challenge() string { return "" }

// GlobalRequestID is the caller's own id of a request that spans services (X-Openstack-Request-Id), if it has the form
// req-<uuid>; else "". oslo.middleware takes no other either, so that nobody writes into logs what he likes.
func GlobalRequestID(r *http.Request) string {
	id := r.Header.Get("X-Openstack-Request-Id")
	u, ok := strings.CutPrefix(id, "req-")
	if _, err := model.ParseUUID(u); !ok || err != nil {
		return ""
	}
	return id
}
