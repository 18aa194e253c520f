package model

// The kinds of QoS.
const (
	KindQoSPolicy Kind = "qos_policy"
	KindQoSRule   Kind = "qos_rule"
)

// QoSRuleID identifies a rule of a QoS policy.
type QoSRuleID struct{ UUID }

// QoSPolicy is a set of rules for the traffic of ports: its own, or those of networks, that refer to it.
type QoSPolicy struct {
	ID        QoSPolicyID `json:"id"`
	ProjectID string      `json:"project_id"`
	Name      string      `json:"name"`
	// IsDefault: new networks of the project get the policy. At most one per project.
	IsDefault bool `json:"is_default,omitempty"`
	Meta
}

// Types of QoSRule.
const (
	QoSBandwidthLimit    = "bandwidth_limit"
	QoSDSCPMarking       = "dscp_marking"
	QoSMinimumBandwidth  = "minimum_bandwidth"
	QoSMinimumPacketRate = "minimum_packet_rate"
	QoSPacketRateLimit   = "packet_rate_limit"
)

// DirectionAny is the direction of a minimum packet rate that counts both.
const DirectionAny = "any"

// QoSRule is one rule of a policy. Which values mean something depends on the type.
type QoSRule struct {
	ID        QoSRuleID   `json:"id"`
	PolicyID  QoSPolicyID `json:"policy_id"`
	ProjectID string      `json:"project_id"` // the policy's
	Type      string      `json:"type"`
	// Direction is seen from the instance: Ingress, Egress or DirectionAny; "" for marking.
	Direction string `json:"direction,omitempty"`
	// Rate is the limit or the minimum, in kbit/s or 1000 packets/s; Burst in kbit or 1000 packets.
	Rate  int64 `json:"rate,omitempty"`
	Burst int64 `json:"burst,omitempty"`
	// DSCP is the differentiated services code point (RFC 2474, section 3).
	DSCP int64 `json:"dscp,omitempty"`
	Meta
}
