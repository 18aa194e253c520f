package promise

import (
	"strings"
	"testing"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// TestTable: names are in order and their own, sentences fit into a header.
func TestTable(t *testing.T) {
	last := ""
	for _, g := range table {
		if n := strings.ToLower(g.Name); n <= last {
			t.Errorf("%q comes after %q", g.Name, last)
		} else {
			last = n
		}
		for _, c := range g.Why {
			if c < ' ' || c > '~' || c == '"' || c == '\\' {
				t.Errorf("%s: %q cannot be in a quoted text of a header", g.Name, c)
			}
		}
		if g.Asked == "" || g.Why == "" || len(g.parts) == 0 {
			t.Errorf("%s is not whole", g.Name)
		}
	}
}

func TestOf(t *testing.T) {
	w := world.New(model.UUID{1})
	policy := model.QoSPolicyID{UUID: model.UUID{7}}
	plain, with := &model.Port{}, &model.Port{QoSPolicy: policy}
	for _, tt := range []struct {
		name      string
		v, before any
		want      string
	}{
		{"a plain port", plain, nil, ""},
		{"a new port with a policy", with, nil, "QoS"},
		{"a port that gets a policy", with, plain, "QoS"},
		{"a port that had one", with, with, ""},
		{"a port that loses it", plain, with, ""},
		{"a trunk", &model.Trunk{}, nil, "trunks"},
		{"a router with ha", &model.Router{HA: true}, &model.Router{}, "high availability"},
		{"what has no gaps", &model.SecurityGroup{}, nil, ""},
		{"nothing", (*model.Port)(nil), nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, g := range Of(w, tt.v, tt.before) {
				got = append(got, g.Name)
			}
			if strings.Join(got, ", ") != tt.want {
				t.Errorf("got %v, want %q", got, tt.want)
			}
		})
	}
}
