package model

// IntentNova is the kind of intents that hold a NovaEvent.
const IntentNova = "nova.event"

// Names of events, and their statuses (Nova's API reference, os-server-external-events).
const (
	NovaPlugged   = "network-vif-plugged"
	NovaUnplugged = "network-vif-unplugged"
	NovaDeleted   = "network-vif-deleted"
	NovaChanged   = "network-changed"

	NovaCompleted = "completed"
	NovaFailed    = "failed"
)

// NovaEvent is something that Nova is told about an instance's port; its JSON is that of the request.
type NovaEvent struct {
	Name   string `json:"name"`
	Server string `json:"server_uuid"`
	// Tag is the port.
	Tag    string `json:"tag,omitempty"`
	Status string `json:"status,omitempty"`
}
