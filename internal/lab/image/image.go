// Package image is the lab's Glance: the Image API v2 with one image, whose contents are the guest built into Weft.
//
// Clients may list and show; nothing can be uploaded, and what is downloaded says so.
package image

import (
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/weft-cloud/weft/internal/lab/rest"
)

// Authorize checks a request's token.
type Authorize func(r *http.Request) error

// ID and Name of the image.
const (
	ID   = "5e1f6c2a-90ad-4c1e-8f0b-2b5d0a6f0c01"
	Name = "weft-guest"
)

type doc = map[string]any

// New returns the Image API. made is the image's creation time.
func New(log *slog.Logger, auth Authorize, made time.Time) http.Handler {
	rt := rest.NewRouter(log, func(status int, message string) any {
		return doc{"code": status, "title": http.StatusText(status), "message": message}
	})
	img := func() doc {
		at := made.UTC().Format(time.RFC3339)
		return doc{"id": ID, "name": Name, "status": "active", "visibility": "public", "protected": true, "os_hidden": false,
			"container_format": "bare", "disk_format": "raw", "min_disk": 0, "min_ram": 0, "size": 0, "virtual_size": nil,
			"checksum": nil, "owner": nil, "tags": []string{}, "created_at": at, "updated_at": at,
			"self": "/v2/images/" + ID, "file": "/v2/images/" + ID + "/file", "schema": "/v2/schemas/image",
			"description": "The guest built into Weft: a network namespace with a DHCP client and a greeting on port 80."}
	}
	authed := func(h rest.Handler) rest.Handler {
		return func(r *http.Request) (*rest.Response, error) {
			if err := auth(r); err != nil {
				return nil, err
			}
			return h(r)
		}
	}
	versions := func(r *http.Request) (*rest.Response, error) {
		return &rest.Response{Status: http.StatusMultipleChoices, Body: doc{"versions": []doc{{"id": "v2.9", "status": "CURRENT",
			"links": []doc{{"rel": "self", "href": rest.Base(r) + "/v2/"}}}}}}, nil
	}
	rt.Handle("GET /{$}", versions)
	rt.Handle("GET /versions", versions)
	rt.Handle("GET /v2/images", authed(func(r *http.Request) (*rest.Response, error) {
		out := []doc{}
		if matches(img(), r.URL.Query()) {
			out = append(out, img())
		}
		return rest.OK(doc{"images": out, "first": "/v2/images", "schema": "/v2/schemas/images"})
	}))
	rt.Handle("GET /v2/images/{id}", authed(func(r *http.Request) (*rest.Response, error) {
		if id := r.PathValue("id"); id != ID {
			return nil, rest.Errf(http.StatusNotFound, "No image found with ID %s.", id)
		}
		return rest.OK(img())
	}))
	rt.Handle("GET /v2/images/{id}/file", authed(func(*http.Request) (*rest.Response, error) { return rest.NoContent() }))
	rt.Handle("GET /v2/schemas/image", authed(func(*http.Request) (*rest.Response, error) {
		return rest.OK(doc{"name": "image", "properties": doc{}, "additionalProperties": doc{"type": "string"}})
	}))
	return rt
}

// matches applies filters of equality; a marker means the page after it, which is empty.
func matches(img doc, q url.Values) bool {
	if q.Get("marker") != "" {
		return false
	}
	for key, vals := range q {
		have, ok := img[key].(string)
		if ok && !slices.Contains(vals, have) {
			return false
		}
	}
	return true
}
