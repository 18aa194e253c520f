package rules

import (
	"slices"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// LogExtra is what a client sends for a log beyond what is stored in it.
type LogExtra struct{}

// LoggableTypes are the types of resources that logs may be about.
var LoggableTypes = []string{model.LogSecurityGroup}

// CreateLog completes l and puts it.
func (r *Rules) CreateLog(tx *world.Tx, _ *Actor, l *model.Log, _ *LogExtra) error {
	if !slices.Contains(LoggableTypes, l.ResourceType) {
		return model.Errf(model.KindInvalid, "InvalidLogResourceType", "Invalid log resource_type: %s.", l.ResourceType)
	}
	g := model.SecurityGroupID{UUID: l.Resource}
	if !g.IsZero() && tx.SecurityGroups.Get(g) == nil {
		return model.Errf(model.KindNotFound, "ResourceNotFound", "Resource %s could not be found.", l.Resource)
	}
	if !l.Target.IsZero() {
		p := tx.Ports.Get(l.Target)
		if p == nil {
			return model.Errf(model.KindNotFound, "TargetResourceNotFound", "Target resource %s could not be found.", l.Target)
		}
		if !g.IsZero() && !slices.Contains(p.SecurityGroups, g) {
			return model.Errf(model.KindInvalid, "InvalidResourceConstraint",
				"Invalid resource constraint between resource (security_group %s) and target resource (port %s): the port is not in the group.", g, p.ID)
		}
	}
	l.ID = model.LogID{UUID: tx.NewUUID()}
	tx.Logs.Put(l)
	return nil
}

// UpdateLog puts l.
func (r *Rules) UpdateLog(tx *world.Tx, _ *Actor, l *model.Log) error {
	tx.Logs.Put(l)
	return nil
}

// DeleteLog deletes a log.
func (r *Rules) DeleteLog(tx *world.Tx, _ *Actor, l *model.Log) error {
	tx.Logs.Delete(l.ID)
	return nil
}

// dropLogs deletes the logs of a security group or port that goes away.
func dropLogs(tx *world.Tx, resource model.UUID, target model.PortID) {
	for _, l := range slices.Collect(tx.Logs.ByResource(resource)) {
		tx.Logs.Delete(l.ID)
	}
	for _, l := range slices.Collect(tx.Logs.ByTarget(target)) {
		tx.Logs.Delete(l.ID)
	}
}
