package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
)

// Build makes the binary under test from the module around the working directory, in dir.
func Build(dir string) (string, error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	path := filepath.Join(dir, "weft")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/weft")
	cmd.Dir = strings.TrimSpace(string(root))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
}

// Answer is what the server said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Object is the answer's body as JSON; nil if it is none.
func (a *Answer) Object() map[string]any {
	var out map[string]any
	_ = json.Unmarshal(a.Body, &out) // nil says it
	return out
}

// Send sends a request to the API; path begins with "/v2.0" or is "/". An error means that there was no answer, or not a
// whole one.
func (s *Server) Send(ctx context.Context, method, path string, body io.Reader, header http.Header) (*Answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.API+path, body)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		r.Header[k] = v
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return &Answer{resp.StatusCode, resp.Header, b}, nil
}

// Do sends a request with a JSON body (nil: none) as the administrator of the project "rig", or with the token if there
// is one, and decodes the answer into out (nil: not). A status of 400 or more is an error that quotes the answer.
func (s *Server) Do(ctx context.Context, token, method, path string, body, out any) error {
	header := http.Header{"X-Project-Id": {"rig"}}
	if token != "" {
		header = http.Header{"X-Auth-Token": {token}}
	}
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		r = bytes.NewReader(b)
	}
	a, err := s.Send(ctx, method, path, r, header)
	if err != nil {
		return err
	}
	if a.Status >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %d: %s", method, path, a.Status, a.Body)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(a.Body, out)
}

// Token logs a user of the identity service in to a project of the default domain.
func (s *Server) Token(ctx context.Context, user, password, project string) (string, error) {
	domain := map[string]any{"name": "Default"}
	b, err := json.Marshal(map[string]any{"auth": map[string]any{
		"identity": map[string]any{"methods": []string{"password"}, "password": map[string]any{
			"user": map[string]any{"name": user, "domain": domain, "password": password}}},
		"scope": map[string]any{"project": map[string]any{"name": project, "domain": domain}}}})
	if err != nil {
		return "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Keystone+"/v3/auth/tokens", bytes.NewReader(b))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("identity answers %s: %s", resp.Status, text)
	}
	return resp.Header.Get("X-Subject-Token"), nil
}

// Identity sends a request to the identity service, path being below /v3, and returns the object in its answer, which is empty if it has no body.
func (s *Server) Identity(ctx context.Context, token, method, path string, body any) (map[string]any, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, s.Keystone+"/v3"+path, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	r.Header = http.Header{"X-Auth-Token": {token}, "Content-Type": {"application/json"}}
	resp, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		return nil, fmt.Errorf("identity: %s %s: %s: %s", method, path, resp.Status, text)
	}
	out := map[string]any{}
	if len(text) == 0 {
		return out, nil
	}
	return out, json.Unmarshal(text, &out)
}
