// Package converge tests that hosts end in the same state in whatever order things happen: real rules, the real feed and real
// agents with a plane that moves nothing, under random requests, reports, deaths and returns.
package converge
