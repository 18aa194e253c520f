package policy

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

// Follower takes changed files up while the server runs, as oslo.policy does.
type Follower struct {
	Engine *Engine
	// Read reads the files; see ReadFiles.
	Read func() ([]File, error)
	// Every is the time between two looks.
	Every time.Duration
	Log   *slog.Logger
}

// Run looks at the files until ctx ends and puts what changed into force. Files that cannot be read or hold a fault
// leave the rules as they are and are told once.
func (f *Follower) Run(ctx context.Context) error {
	seen := f.Engine.opts.Files
	told := ""
	tick := time.NewTicker(f.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		files, err := f.Read()
		if err == nil && same(files, seen) {
			told = ""
			continue
		}
		var notices []string
		if err == nil {
			notices, err = f.Engine.Reload(files)
		}
		if err != nil {
			if told != err.Error() {
				told = err.Error()
				f.Log.Error("policy files cannot be taken up; the rules stay as they were", "error", err)
			}
			continue
		}
		seen, told = files, ""
		f.Log.Info("policy files changed and are in force", "files", len(files))
		for _, n := range notices {
			f.Log.Warn("policy", "notice", n)
		}
	}
}

func same(a, b []File) bool {
	return slices.EqualFunc(a, b, func(x, y File) bool { return x.Name == y.Name && string(x.Text) == string(y.Text) })
}
