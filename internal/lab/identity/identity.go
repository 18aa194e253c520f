// Package identity is the lab's Keystone: the Identity API v3, small, with the real protocol.
//
// It holds domains, projects, users, roles, grants and the service catalogue in memory, in one file on disk, and issues
// signed tokens. It is for a machine's own loopback: it knows no policies but "admin may", no federation, no groups'
// memberships. Clients that speak to Keystone (the OpenStack client, Tempest's credentials, Weft's server) must not be
// able to tell.
package identity

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/weft-cloud/weft/internal/lab/rest"
)

// Deps is what a Service needs.
type Deps struct {
	// Path is the file that keeps everything; it is made with Bootstrap's contents if it is not there.
	Path string
	// AdminPassword of the user admin, ServicePassword of the users neutron, nova and glance; used at the first start.
	AdminPassword, ServicePassword string
	// Endpoints by service type ("network") at the first start.
	Endpoints []Endpoint
	Now       func() time.Time
	Log       *slog.Logger
}

// Endpoint is one service of the catalogue.
type Endpoint struct{ Type, Name, URL string }

// Region is the lab's only region.
const Region = "RegionOne"

// doc is a resource as clients see it.
type doc = map[string]any

// grant gives a user a role. Exactly one of Project, Domain and System is set.
type grant struct {
	User    string `json:"user"`
	Role    string `json:"role"`
	Project string `json:"project,omitempty"`
	Domain  string `json:"domain,omitempty"`
	System  bool   `json:"system,omitempty"`
}

// state is the file's contents.
type state struct {
	Key       string                    `json:"key"` // signs tokens
	Docs      map[string]map[string]doc `json:"docs"`
	Order     map[string][]string       `json:"order"` // ids by collection, oldest first
	Passwords map[string]string         `json:"passwords"`
	Grants    []grant                   `json:"grants"`
	Revoked   map[string]revoked        `json:"revoked_tokens"` // by audit id
	// RevokedBefore: tokens of that user issued before that time are void (password changed, disabled).
	RevokedBefore map[string]time.Time `json:"revoked_before"`
}

// revoked is when a token was revoked, and when it would have expired.
type revoked struct {
	At      time.Time `json:"at"`
	Expires time.Time `json:"expires"`
}

// Service answers the Identity API.
type Service struct {
	deps Deps
	*rest.Router

	mu sync.Mutex // guards st and the file
	st state
}

// New opens the file, or makes it.
func New(d Deps) (*Service, error) {
	s := &Service{deps: d, Router: rest.NewRouter(d.Log, fault)}
	b, err := os.ReadFile(d.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.bootstrap()
		if err := s.save(); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, fmt.Errorf("open identity store: %w", err)
	default:
		if err := json.Unmarshal(b, &s.st); err != nil {
			return nil, fmt.Errorf("read identity store %s: %w", d.Path, err)
		}
		if s.st.Revoked == nil {
			s.st.Revoked = map[string]revoked{}
		}
	}
	s.routes()
	return s, nil
}

func fault(status int, message string) any {
	return doc{"error": doc{"code": status, "title": http.StatusText(status), "message": message}}
}

func (s *Service) bootstrap() {
	s.st = state{Key: randomHex(32), Docs: map[string]map[string]doc{}, Order: map[string][]string{},
		Passwords: map[string]string{}, Revoked: map[string]revoked{}, RevokedBefore: map[string]time.Time{}}
	s.put("domains", doc{"id": defaultDomain, "name": "Default", "enabled": true, "description": "The default domain", "options": doc{}, "tags": []string{}})
	for _, r := range []string{"admin", "manager", "member", "reader", "service"} {
		s.put("roles", doc{"id": randomHex(16), "name": r, "domain_id": nil, "description": nil, "options": doc{}})
	}
	project := map[string]string{}
	for _, p := range []string{"admin", "service"} {
		project[p] = randomHex(16)
		s.put("projects", newProject(project[p], p))
	}
	admin := s.addUser("admin", s.deps.AdminPassword)
	s.st.Grants = append(s.st.Grants, grant{User: admin, Role: s.named("roles", "admin"), Project: project["admin"]},
		grant{User: admin, Role: s.named("roles", "admin"), System: true},
		grant{User: admin, Role: s.named("roles", "admin"), Domain: defaultDomain})
	for _, u := range []string{"neutron", "nova", "glance"} {
		id := s.addUser(u, s.deps.ServicePassword)
		for _, r := range []string{"admin", "service"} {
			s.st.Grants = append(s.st.Grants, grant{User: id, Role: s.named("roles", r), Project: project["service"]})
		}
	}
	s.put("regions", doc{"id": Region, "description": "", "parent_region_id": nil})
	for _, e := range s.deps.Endpoints {
		svc := randomHex(16)
		s.put("services", doc{"id": svc, "type": e.Type, "name": e.Name, "enabled": true, "description": ""})
		for _, iface := range []string{"public", "internal", "admin"} {
			s.put("endpoints", doc{"id": randomHex(16), "service_id": svc, "interface": iface, "url": e.URL,
				"region": Region, "region_id": Region, "enabled": true})
		}
	}
}

const defaultDomain = "default"

func newProject(id, name string) doc {
	return doc{"id": id, "name": name, "domain_id": defaultDomain, "parent_id": defaultDomain, "is_domain": false,
		"enabled": true, "description": "", "options": doc{}, "tags": []string{}}
}

func (s *Service) addUser(name, password string) string {
	id := randomHex(16)
	s.put("users", doc{"id": id, "name": name, "domain_id": defaultDomain, "enabled": true, "options": doc{}, "password_expires_at": nil})
	s.st.Passwords[id] = hashPassword(password)
	return id
}

func (s *Service) put(kind string, d doc) {
	if s.st.Docs[kind] == nil {
		s.st.Docs[kind] = map[string]doc{}
	}
	id := str(d, "id")
	if _, old := s.st.Docs[kind][id]; !old {
		s.st.Order[kind] = append(s.st.Order[kind], id)
	}
	s.st.Docs[kind][id] = d
}

func (s *Service) remove(kind, id string) {
	delete(s.st.Docs[kind], id)
	s.st.Order[kind] = slices.DeleteFunc(s.st.Order[kind], func(o string) bool { return o == id })
}

// named is the id of the first resource of that kind and name, "" if there is none.
func (s *Service) named(kind, name string) string {
	for _, id := range s.st.Order[kind] {
		if str(s.st.Docs[kind][id], "name") == name {
			return id
		}
	}
	return ""
}

// save writes the file whole; whoever changes st calls it before answering.
func (s *Service) save() error {
	for audit, r := range s.st.Revoked {
		if s.deps.Now().After(r.Expires) {
			delete(s.st.Revoked, audit)
		}
	}
	b, err := json.Marshal(&s.st)
	if err == nil {
		tmp := s.deps.Path + ".new"
		if err = os.WriteFile(tmp, b, 0o600); err == nil {
			err = os.Rename(tmp, s.deps.Path)
		}
	}
	if err != nil {
		return fmt.Errorf("save identity store: %w", err)
	}
	return nil
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) //nolint:errcheck // it never fails (crypto/rand)
	return hex.EncodeToString(b)
}

// passwordRounds is low because the lab's accounts live on a loopback address and are as secret as the machine.
const passwordRounds = 1000

func hashPassword(password string) string { return hashWith(password, randomHex(8)) }

func hashWith(password, salt string) string {
	key, err := pbkdf2.Key(sha256.New, password, []byte(salt), passwordRounds, 32)
	if err != nil {
		panic(err) // parameters are constants
	}
	return salt + "$" + hex.EncodeToString(key)
}

func passwordIs(stored, password string) bool {
	salt, _, ok := cut(stored)
	return ok && hmac.Equal([]byte(hashWith(password, salt)), []byte(stored))
}

func cut(stored string) (salt, key string, ok bool) {
	i := slices.Index([]byte(stored), '$')
	if i < 0 {
		return "", "", false
	}
	return stored[:i], stored[i+1:], true
}

func str(d doc, key string) string {
	v, _ := d[key].(string)
	return v
}

// enabled is true unless the resource says otherwise.
func enabled(d doc) bool {
	v, ok := d["enabled"].(bool)
	return !ok || v
}
