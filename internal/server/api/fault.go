package api

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/weft-cloud/weft/internal/model"
)

// badRequest is a refusal of the HTTP layer itself, of Neutron's type HTTPBadRequest.
func badRequest(format string, args ...any) *model.Error {
	return model.Errf(model.KindInvalid, "HTTPBadRequest", format, args...)
}

// errNoPath answers a path that leads nowhere.
var errNoPath = model.Errf(model.KindNotFound, "HTTPNotFound", "The resource could not be found.")

// errMethod answers a method that the path does not have; it alone maps to 405.
var errMethod = model.Errf(model.KindInvalid, "HTTPMethodNotAllowed",
	"The server could not comply with the request since it is either malformed or otherwise incorrect.")

// errTooLarge answers a body beyond the limit; it alone maps to 413.
var errTooLarge = model.Errf(model.KindInvalid, "HTTPRequestEntityTooLarge",
	"The body is larger than one request may have (max_request_body_size): send less at once.")

// status is the one place where kinds of error become statuses of HTTP.
func status(err error) int {
	switch {
	case errors.Is(err, errMethod):
		return http.StatusMethodNotAllowed
	case errors.Is(err, errTooLarge):
		return http.StatusRequestEntityTooLarge
	}
	switch model.KindOf(err) {
	case model.KindInvalid:
		return http.StatusBadRequest
	case model.KindUnauthorized:
		return http.StatusUnauthorized
	case model.KindForbidden:
		return http.StatusForbidden
	case model.KindNotFound:
		return http.StatusNotFound
	case model.KindConflict, model.KindOverQuota:
		return http.StatusConflict
	case model.KindPrecondition:
		return http.StatusPreconditionFailed
	case model.KindUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// fault answers with err. What is our own fault is logged and not shown.
func (c *call) fault(err error) {
	code := status(err)
	var e *model.Error
	switch {
	case c.r.Context().Err() != nil && code == http.StatusInternalServerError:
		return // the client has gone
	case !errors.As(err, &e) || code == http.StatusInternalServerError:
		c.s.deps.Log.Error("request failed", "method", c.r.Method, "path", c.r.URL.Path, "requestID", c.requestID, "error", err)
		e = &model.Error{Type: "HTTPInternalServerError", Message: "Request Failed: internal server error while processing your request."}
	case e.RetryAfter > 0:
		c.w.Header().Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
	b := c.buffer()
	if code == http.StatusUnauthorized {
		if challenge := c.s.deps.Identity.Challenge(); challenge != "" {
			c.w.Header().Set("WWW-Authenticate", challenge)
		}
		b = appendString(append(b, `{"error": {"code": 401, "title": "Unauthorized", "message": `...), e.Message)
		b = append(b, "}}"...)
	} else {
		b = appendString(append(b, `{"NeutronError": {"type": `...), e.Type)
		b = appendString(append(b, `, "message": `...), e.Message)
		b = append(b, `, "detail": ""}}`...)
	}
	c.reply(code, b)
}
