// Package policy says what a caller may do. It has oslo.policy's language, Neutron's default rules (Zed) under their own
// names, and the operator's file over them.
//
// Rules are compiled, not run per row: Engine.Compile folds everything that is known of a caller (roles, project, user)
// into each rule once. Most rules become yes or no; what is left asks the object, by a few attributes, through Target.
// A list therefore asks once which objects it may show (Set.Scope) and which attributes (Set.Attrs), and only rules
// that truly depend on the object run per object (Set.Allows).
//
//	policy.yaml ─┐
//	defaults  ───┴─▶ Engine ─ Compile(caller) ─▶ Set ─┬─ Allows(action, target)
//	                                                  ├─ Scope(resource)  which objects
//	                                                  └─ Mask(resource)   which attributes
//
// The package knows no HTTP and no resources beyond their rules' names, and holds no state but compiled rules.
package policy
