package policy

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var mu sync.Mutex // guards text and fail
		var text string
		var fail error
		f := &Follower{Every: 10 * time.Second, Log: slog.New(slog.NewTextHandler(&log, nil)),
			Read: func() ([]File, error) {
				mu.Lock()
				defer mu.Unlock()
				return []File{{Name: "p", Text: []byte(text)}}, fail
			}}
		text = `create_network: "!"`
		files, _ := f.Read()
		f.Engine = engine(t, Options{Files: files})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		for _, step := range []struct {
			name, text string
			fail       error
			allowed    bool
			errors     int // in the log, in all
		}{
			{"as it was", `create_network: "!"`, nil, false, 0},
			{"changed", `create_network: "@"`, nil, true, 0},
			{"with a fault", `create_network: "x"`, nil, true, 1},
			{"with the same fault", `create_network: "x"`, nil, true, 1},
			{"unreadable", "", errors.New("disk on fire"), true, 2},
			{"mended", `create_network: "!"`, nil, false, 2},
			{"gone", "", nil, true, 2},
		} {
			mu.Lock()
			text, fail = step.text, step.fail
			mu.Unlock()
			time.Sleep(f.Every)
			synctest.Wait()
			if got := f.Engine.Compile(caller("p", "member")).Allows("create_network", Project("p")); got != step.allowed {
				t.Errorf("%s: allowed %v, want %v", step.name, got, step.allowed)
			}
			if n := strings.Count(log.String(), "level=ERROR"); n != step.errors {
				t.Errorf("%s: %d errors told, want %d:\n%s", step.name, n, step.errors, log.String())
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestReloadKeepsOldOnFault: a Set that somebody holds goes on as it was made.
func TestReloadKeepsOldOnFault(t *testing.T) {
	e := engine(t, Options{})
	before := e.Compile(caller("p", "member"))
	if _, err := e.Reload([]File{{Name: "p", Text: []byte(`create_network: "("`)}}); err == nil {
		t.Fatal("accepted")
	}
	if e.Compile(caller("p", "member")) != before {
		t.Error("a fault changed the rules")
	}
	if _, err := e.Reload([]File{{Name: "p", Text: []byte(`create_network: "!"`)}}); err != nil {
		t.Fatal(err)
	}
	if e.Compile(caller("p", "member")).Allows("create_network", nil) || !before.Allows("create_network", nil) {
		t.Error("the new rules are not in force, or changed a Set that was handed out")
	}
}
