package model

// RBACPolicy gives a project (or, as "*", all) access to an object of another (API reference: RBAC policies).
type RBACPolicy struct {
	ID         RBACPolicyID `json:"id"`
	ProjectID  string       `json:"project_id"`
	ObjectType string       `json:"object_type"` // Neutron's word, the Kind of most
	ObjectID   UUID         `json:"object_id"`
	Action     string       `json:"action"`
	Target     string       `json:"target"`
	Meta
}

// Actions of RBAC policies, and the target that means everybody.
const (
	ActionShared   = "access_as_shared"
	ActionExternal = "access_as_external"
	TargetAll      = "*"
)

// Quota is a project's own limits, where they differ from the defaults. Its key is the project.
type Quota struct {
	ProjectID string       `json:"project_id"`
	Limits    map[Kind]int `json:"limits"`
	Meta
}
