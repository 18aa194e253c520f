package metadata

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/wire"
)

// fresh is how long a signature is used without asking again. It stays right for as long as the port is the same
// instance's; asking again is how a changed secret or address of Nova's is noticed.
const fresh = 5 * time.Minute

// askTimeout is for one question to the server.
const askTimeout = 5 * time.Second

// signatures remembers what the server signed, so that a booting instance's thirty requests are one question, and so that
// metadata goes on while the server is away.
type signatures struct {
	d     Deps
	group singleflight.Group

	mu   sync.Mutex // guards have
	have map[model.PortID]signature
}

type signature struct {
	instance, project string
	reply             *wire.SignReply
	at                time.Time
}

func newSignatures(d Deps) *signatures {
	return &signatures{d: d, have: make(map[model.PortID]signature)}
}

// of returns the signature for the endpoint. One that is old is used only if the server cannot be asked.
func (s *signatures) of(ctx context.Context, ep *hostplan.Endpoint, address netip.Addr) (*wire.SignReply, error) {
	s.mu.Lock()
	old, ok := s.have[ep.Port]
	s.mu.Unlock()
	ok = ok && old.instance == ep.DeviceID && old.project == ep.Project
	if ok && s.d.Now().Sub(old.at) < fresh {
		return old.reply, nil
	}
	// One question at a time for each instance; it is not the first asker's alone, so it outlives his leaving.
	key := ep.Port.String() + " " + ep.DeviceID
	v, err, _ := s.group.Do(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
		defer cancel()
		return s.ask(ctx, ep, address)
	})
	if err == nil {
		reply, _ := v.(*wire.SignReply)
		return reply, nil
	}
	if c := status.Code(err); ok && (c == codes.Unavailable || c == codes.DeadlineExceeded) {
		return old.reply, nil
	}
	return nil, err
}

func (s *signatures) ask(ctx context.Context, ep *hostplan.Endpoint, address netip.Addr) (*wire.SignReply, error) {
	reply, err := s.d.Signer.Sign(ctx, &wire.SignRequest{PortId: ep.Port.UUID[:], RemoteAddress: address.String()})
	if err != nil {
		return nil, fmt.Errorf("sign metadata request of port %s: %w", ep.Port, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
	s.have[ep.Port] = signature{instance: ep.DeviceID, project: ep.Project, reply: reply, at: s.d.Now()}
	return reply, nil
}

// forget drops the signatures of ports that are gone, now and then. The caller holds mu.
func (s *signatures) forget() {
	st := s.d.State()
	if st == nil || len(s.have) <= len(st.Endpoints)+len(st.Outsiders)+64 {
		return
	}
	for id := range s.have {
		if st.Served(id) == nil {
			delete(s.have, id)
		}
	}
}
