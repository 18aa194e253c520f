// Package linux wraps the kernel interfaces that Weft needs: network namespaces, links, addresses, sysctls, tap devices
// and packet sockets.
//
// Each function is one operation with one error that names the operation and its key; there is no policy here, no state
// and no retry beyond what the kernel's interface itself demands. Together with the data planes it is the only part of
// Weft that touches the kernel. Functions that take a namespace's name act in that namespace ("" is the caller's own)
// and leave the calling goroutine where it was.
package linux
