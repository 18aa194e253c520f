// Package rest is what the lab's identity, compute and image services share: routing with OpenStack's habits, JSON in
// and out, and faults in the shape of each service. It knows nothing of any of them.
package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
)

// Error is a refusal for the client.
type Error struct {
	Status  int
	Message string
}

func (e *Error) Error() string { return e.Message }

// Errf makes an Error.
func Errf(status int, format string, args ...any) error {
	return &Error{Status: status, Message: fmt.Sprintf(format, args...)}
}

// Status is the HTTP status of err: an Error's own, else 500.
func Status(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Status
	}
	return http.StatusInternalServerError
}

// Response is what a handler answers. A nil Body is none.
type Response struct {
	Status int
	Header map[string]string
	Body   any
}

// OK is a 200 with that body.
func OK(body any) (*Response, error) { return &Response{Status: http.StatusOK, Body: body}, nil }

// Created is a 201 with that body.
func Created(body any) (*Response, error) {
	return &Response{Status: http.StatusCreated, Body: body}, nil
}

// NoContent is a 204.
func NoContent() (*Response, error) { return &Response{Status: http.StatusNoContent}, nil }

// Handler answers a request or refuses it with an error.
type Handler func(r *http.Request) (*Response, error)

// Router sends requests to Handlers.
type Router struct {
	mux *http.ServeMux
	// Fault shapes the body of a refusal.
	Fault func(status int, message string) any
	Log   *slog.Logger
}

// NewRouter returns an empty Router which answers 404 to everything.
func NewRouter(log *slog.Logger, fault func(status int, message string) any) *Router {
	rt := &Router{mux: http.NewServeMux(), Fault: fault, Log: log}
	rt.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		rt.answer(w, r, nil, Errf(http.StatusNotFound, "The resource could not be found: %s %s.", r.Method, r.URL.Path))
	})
	return rt
}

// Handle routes "METHOD /path/{var}" to h.
func (rt *Router) Handle(pattern string, h Handler) {
	rt.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		resp, err := h(r)
		rt.answer(w, r, resp, err)
	})
}

// ServeHTTP implements http.Handler. A trailing slash means the same as none, as in every OpenStack service.
func (rt *Router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p := r.URL.Path; len(p) > 1 && strings.HasSuffix(p, "/") {
		r2 := r.Clone(r.Context())
		r2.URL.Path, r2.URL.RawPath = strings.TrimRight(p, "/"), ""
		if r2.URL.Path == "" {
			r2.URL.Path = "/"
		}
		r = r2
	}
	rt.mux.ServeHTTP(w, r)
}

func (rt *Router) answer(w http.ResponseWriter, r *http.Request, resp *Response, err error) {
	if err != nil {
		status, msg := Status(err), err.Error()
		if status == http.StatusInternalServerError {
			rt.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "err", err)
		}
		resp = &Response{Status: status, Body: rt.Fault(status, msg)}
		if status == http.StatusUnauthorized {
			resp.Header = map[string]string{"WWW-Authenticate": `Keystone uri="http://` + r.Host + `"`}
		}
	}
	for k, v := range resp.Header {
		w.Header().Set(k, v)
	}
	if resp.Body == nil {
		w.WriteHeader(resp.Status)
		return
	}
	b, err := json.Marshal(resp.Body)
	if err != nil {
		rt.Log.Error("encode answer", "path", r.URL.Path, "err", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(resp.Status)
	w.Write(b) //nolint:errcheck // a client that is gone
}

// ReadJSON decodes the body into v; at most 1 MiB.
func ReadJSON(r *http.Request, v any) error {
	dec := json.NewDecoder(io.LimitReader(r.Body, 1<<20))
	if err := dec.Decode(v); err != nil {
		return Errf(http.StatusBadRequest, "The body is not the JSON expected: %v.", err)
	}
	return nil
}

// Base is the URL under which the client reached the service: "http://127.0.0.1:5000".
func Base(r *http.Request) string { return "http://" + r.Host }
