package dataplane

import (
	"time"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/model"
)

// Teller is a Plane that says what it dropped, and what its kernel dropped of what it had sent. All methods may be used
// beside Apply.
type Teller interface {
	// Drops are what was dropped by port and reason, since the host's tables were made; sorted.
	Drops() ([]DropCount, error)
	// Rules are the security group rules of this host with what they did, since the host's tables were made; sorted by id.
	Rules() ([]RuleCount, error)
	// Lost is what the kernel dropped behind the data plane; sorted. missing says in words what of it cannot be told on this
	// host, and why.
	Lost() (lost []Lost, missing []string, err error)
	// Drop events are delivered until Close: a few a second for each port; the counters have all. What nobody takes is lost.
	Events() <-chan DropEvent
}

// DropCount is what was dropped at one endpoint for one reason. A packet that the receiving port's groups refuse counts at
// the receiving port, all others at the sending one.
type DropCount struct {
	// Port is zero for packets of no endpoint: from unknown devices, and from the overlay before the endpoint is known.
	Port           model.PortID
	Reason         reason.Reason
	Packets, Bytes uint64
}

// RuleCount is what became of a security group rule's word. Connections are those that it opened. Drops are packets that
// it had allowed and that were dropped all the same: by the receiver's groups, or because a table was full.
type RuleCount struct {
	Rule               model.UUID
	Connections, Drops uint64
	DropBytes          uint64
}

// Lost is what the kernel dropped on one interface of the host, in the kernel's words.
type Lost struct {
	Device string
	// Source is "kfree_skb" (the kernel's drop reasons, since the agent started), "link" (the interface's counters, since it
	// was made) or "softnet" (the processors' backlog, since boot; Device is "").
	Source string
	// Why is the kernel's name of the reason, or of the counter.
	Why     string
	Packets uint64
}

// DropEvent is one dropped packet.
type DropEvent struct {
	Time time.Time
	// Port is zero: of no endpoint.
	Port   model.PortID
	Reason reason.Reason
	// Rule had allowed it, before it was dropped all the same; zero: none had.
	Rule model.UUID
	// Kernel is the kernel's name of the reason, if it was the kernel that dropped it, on Device. Reason is None then.
	Kernel, Device string
	// Len is the frame's length, Data its first bytes.
	Len  int
	Data []byte
}
