package lab

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weft-cloud/weft/internal/agent"
)

// settling is how long an agent that hears from the server may be busy with what it heard before that is a problem.
const settling = 2 * time.Second

// agentProblems are what a host's agent says of itself: how it stands with the server, and what it could not carry out.
func (r *Record) agentProblems(ctx context.Context, host string) []string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var s agent.Status
	// What is left over when the time is up is in s.
	_ = poll(ctx, settling, func() (err error) {
		s, err = agent.ReadStatus(ctx, r.path(agentJob(host)))
		if err == nil && s.Server.Connected && !settled(s) {
			return errBusy
		}
		return nil // one that does not answer is not waited for
	})
	var out []string
	if p := standing(host, s); p != "" {
		out = append(out, p+fmt.Sprintf("; if that stays so, see `weft lab logs %s`", agentJob(host)))
	}
	for _, p := range s.Problems {
		out = append(out, fmt.Sprintf("%s: %s %s: %s", host, p.Kind, p.ID, p.Why))
	}
	return out
}

var errBusy = errors.New("the agent is busy with what the server told it")

// settled: the agent has carried out all that the server has told it.
func settled(s agent.Status) bool { return s.Listed && s.Applied == s.Position }

// standing is what is wrong between an agent and the server, in words; "": nothing. An agent that did not answer has the zero Status.
func standing(host string, s agent.Status) string {
	switch {
	case s.Host == "":
		return fmt.Sprintf("the agent of %s does not answer: it has ended, or is starting", host)
	case !s.Server.Connected && s.Server.Error == "":
		return fmt.Sprintf("the agent of %s has no connection to the server yet", host)
	case !s.Server.Connected:
		return fmt.Sprintf("the agent of %s has no connection to the server (%s) and tries again within 5 s; its instances go on by what it knows", host, s.Server.Error)
	case s.Held:
		return fmt.Sprintf("the server has asked the agent of %s to keep what it does not know itself: an operator must release that", host)
	case !s.Listed:
		return fmt.Sprintf("the agent of %s has not carried out yet what the server listed when it connected", host)
	case s.Applied != s.Position:
		return fmt.Sprintf("the agent of %s has carried out revision %d of %d that the server told it of", host, s.Applied.Revision, s.Position.Revision)
	}
	return ""
}
