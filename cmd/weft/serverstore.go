package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/weft-cloud/weft/internal/config"
	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/dial"
)

// How long the log of changes is kept: what an agent that was away can catch up with without being sent everything.
const (
	trimEvery = 10 * time.Minute
	trimAge   = 7 * 24 * time.Hour
	trimKeep  = 100_000 // batches
)

// openStore opens the store for this server alone. taken is told if another server has it later.
func openStore(ctx context.Context, cfg *config.Server, log *slog.Logger, taken chan<- error) (store.Store, error) {
	if err := makeStoreDir(&cfg.Database); err != nil {
		return nil, err
	}
	return dial.Open(ctx, dial.Options{Database: cfg.Database,
		Waiting:   func(err error) { log.Warn("the database is not there yet, waiting", "error", err) },
		Taken:     func(err error) { taken <- err },
		NoJournal: func(err error) { log.Warn("the database has no journal beside it, writes take longer", "error", err) }})
}

func makeStoreDir(d *config.Database) error {
	if d.Engine != "sqlite" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(d.Path), 0o750); err != nil {
		return fmt.Errorf("directory of [database] connection: %w", err)
	}
	return nil
}

// trimLog keeps the log of changes from growing without end. Each bound is applied by itself: the log holds what is
// within both.
func (p *serverParts) trimLog(ctx context.Context) error {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	for {
		n, err := p.store.Trim(ctx, time.Now().Add(-trimAge), trimKeep)
		if err != nil && ctx.Err() == nil {
			p.log.Warn("the log of changes could not be shortened; it grows until this succeeds", "error", err)
		} else if n > 0 {
			p.log.Info("shortened the log of changes", "removed", n)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
