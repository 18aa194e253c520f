package model

// KindLog is the kind of log resources.
const KindLog Kind = "log"

// LogID identifies a log resource.
type LogID struct{ UUID }

// Log asks for a record of the connections that security groups accept or drop (API reference: logging resources).
type Log struct {
	ID           LogID  `json:"id"`
	ProjectID    string `json:"project_id"`
	Name         string `json:"name,omitempty"`
	Enabled      bool   `json:"enabled"`
	Event        string `json:"event"`         // LogAll, LogAccept or LogDrop
	ResourceType string `json:"resource_type"` // LogSecurityGroup
	// Resource is the security group; zero: all of the project.
	Resource UUID `json:"resource,omitzero"`
	// Target is the port; zero: all.
	Target PortID `json:"target,omitzero"`
	Meta
}

// Values of Log.
const (
	LogAll           = "ALL"
	LogAccept        = "ACCEPT"
	LogDrop          = "DROP"
	LogSecurityGroup = "security_group"
)
