package ebpf

import (
	"slices"

	"github.com/weft-cloud/weft/internal/hostplan"
)

func sorted(es []*hostplan.Endpoint) []*hostplan.Endpoint {
	slices.SortFunc(es, func(a, b *hostplan.Endpoint) int { return a.Port.Compare(b.Port.UUID) })
	return es
}
