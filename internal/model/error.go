package model

import (
	"errors"
	"fmt"
)

// ErrorKind says what sort of refusal an Error is. The API maps kinds to HTTP statuses in one place and nowhere else.
type ErrorKind uint8

// The kinds. Add new ones at the end.
const (
	KindInternal     ErrorKind = iota // our fault; the message is for the log, not for the client
	KindInvalid                       // 400: the request cannot be meant
	KindUnauthorized                  // 401: no or bad credentials
	KindForbidden                     // 403: policy
	KindNotFound                      // 404: does not exist, or must not be seen
	KindConflict                      // 409: the world is not as the request needs it
	KindOverQuota                     // 409 of Neutron's type OverQuota
	KindPrecondition                  // 412: If-Match does not match
	KindUnavailable                   // 503: certainly not done; try again
)

// Error is a refusal meant for the client. Type is the name of Neutron's exception ("NetworkNotFound"), which clients
// match on; Message names the field and the cure.
type Error struct {
	Kind    ErrorKind
	Type    string
	Message string
	// RetryAfter, in seconds, is a hint for KindUnavailable; 0 = none.
	RetryAfter int
}

func (e *Error) Error() string { return e.Message }

// Errf makes an Error. typ is Neutron's exception name.
func Errf(kind ErrorKind, typ, format string, args ...any) *Error {
	return &Error{Kind: kind, Type: typ, Message: fmt.Sprintf(format, args...)}
}

// NotFound is the refusal for a resource that is not there: type "PortNotFound", "Port … could not be found."
// resource is Neutron's capitalised word ("Port", "SecurityGroup", "FloatingIP").
func NotFound(resource, id string) *Error {
	return Errf(KindNotFound, resource+"NotFound", "%s %s could not be found.", resource, id)
}

// Invalid is the refusal for a value that cannot be, with Neutron's general type.
func Invalid(format string, args ...any) *Error {
	return Errf(KindInvalid, "InvalidInput", "Invalid input for operation: "+format, args...)
}

// KindOf is the kind of the Error in err's chain; KindInternal if there is none.
func KindOf(err error) ErrorKind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindInternal
}
