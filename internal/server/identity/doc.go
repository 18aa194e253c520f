// Package identity says who calls: it turns a request's token into a Caller by asking Keystone (API v3), or, with
// auth_strategy = noauth, takes every caller for the administrator.
//
// It decides nothing about what a caller may do; that is package policy. It never lets a request through that it could
// not check: a token that Keystone refuses is ErrUnauthorized, and a Keystone that does not answer is an *Unavailable.
package identity
