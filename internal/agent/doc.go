// Package agent is the host's side of Weft: it follows the server's feed, finds the interfaces of instances, compiles what
// the host must do (internal/hostplan), has a data plane do it (internal/dataplane), answers what the plane punts, and
// reports what is really programmed.
//
// It decides nothing about packets itself, never imports the server's side, and touches the kernel only through a plane
// and internal/linux. When it dies, packets go on by the plane's last state.
package agent
