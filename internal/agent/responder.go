package agent

import (
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
)

// Responder answers one kind of punted packet.
//
// Handle is given the packet and the newest State, which it must not change. What it returns are whole frames from the
// Ethernet header on; they are delivered, in order, to the endpoint that sent the packet. No replies is an answer, too:
// the packet was not for us, or was malformed. Handle is called by one goroutine at a time for each responder, must not
// block, and must not keep p.Frame or st.
type Responder interface {
	Handle(p dataplane.Punt, st *hostplan.State) (replies [][]byte)
}
