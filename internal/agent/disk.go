package agent

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/wire"
)

// The scope is kept on disk so that a host that starts while the server is away brings its ports up. The file is a line
// of text and a wire.Update that lists everything:
//
//	weft-scope 1 <crc32c of the rest> <host>
//
// It is only ever replaced as a whole. Losing it, or the last moments of it, costs a longer resume and nothing else.
const (
	scopeFile    = "scope"
	scopeVersion = "weft-scope 1"
)

// saved is what is to be written: objects are never changed once here.
type saved struct {
	position model.Position
	objects  []*wire.Object
}

// saveSoon sees to it that the scope is written before long.
func (a *Agent) saveSoon() {
	if a.core.saveTimer == nil {
		a.core.saveTimer = time.AfterFunc(a.Config.SaveAfter, func() { poke(a.savable) })
	}
}

// save hands the scope to the saver; what waits there is replaced.
func (a *Agent) save() {
	c := &a.core
	stop(c.saveTimer)
	c.saveTimer = nil
	c.scope.pack()
	s := saved{position: c.scope.position, objects: make([]*wire.Object, 0, len(c.scope.objects))}
	for _, o := range c.scope.objects {
		s.objects = append(s.objects, o)
	}
	select {
	case <-a.saves:
	default:
	}
	a.saves <- s
}

// saver is the goroutine that writes, until saves is closed.
func (a *Agent) saver() {
	failing := false
	for s := range a.saves {
		err := a.write(s)
		if err != nil && !failing {
			a.Log.Error("the scope cannot be kept on disk; if this host restarts while the server is away, its ports stay down", "error", err)
		}
		failing = err != nil
	}
}

func (a *Agent) write(s saved) error {
	body, err := proto.Marshal(&wire.Update{Position: wire.FromPosition(s.position), Puts: s.objects, Snapshot: true})
	if err != nil {
		return fmt.Errorf("encode scope: %w", err)
	}
	head := fmt.Appendf(nil, "%s %08x %s\n", scopeVersion, crc32.Checksum(body, castagnoli()), a.Config.Host)
	path := filepath.Join(a.Dir, scopeFile)
	f, err := os.CreateTemp(a.Dir, scopeFile+".new-*")
	if err != nil {
		return fmt.Errorf("write scope: %w", err)
	}
	_, err = f.Write(slices.Concat(head, body))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write scope: %w", err), os.Remove(f.Name()))
	}
	return nil
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// restore takes in what the last run wrote. What cannot be used is reported and left alone.
func (a *Agent) restore() {
	a.sweep()
	u, err := a.read()
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		a.Log.Warn("the scope on disk is of no use, will ask the server for everything", "error", err)
		return
	}
	c := &a.core
	for _, o := range u.Puts {
		c.scope.put(o)
	}
	if p, err := wire.ParsePosition(u.Position); err == nil {
		c.scope.position = p
	}
	c.compile = true
	a.Log.Info("restored from disk", "objects", len(c.scope.objects), "position", c.scope.position)
}

// sweep removes half-written files of a run that was killed.
func (a *Agent) sweep() {
	left, _ := filepath.Glob(filepath.Join(a.Dir, scopeFile+".new-*")) // the pattern is well formed
	for _, f := range left {
		if err := os.Remove(f); err != nil {
			a.Log.Debug("half-written scope stays", "error", err)
		}
	}
}

func (a *Agent) read() (*wire.Update, error) {
	b, err := os.ReadFile(filepath.Join(a.Dir, scopeFile))
	if err != nil {
		return nil, fmt.Errorf("read scope: %w", err)
	}
	head, body, _ := bytes.Cut(b, []byte("\n"))
	rest, ok := strings.CutPrefix(string(head), scopeVersion+" ")
	sum, host, _ := strings.Cut(rest, " ")
	switch {
	case !ok:
		return nil, fmt.Errorf("%s is not a scope of this version", scopeFile)
	case sum != fmt.Sprintf("%08x", crc32.Checksum(body, castagnoli())):
		return nil, fmt.Errorf("%s is damaged", scopeFile)
	case host != a.Config.Host:
		return nil, fmt.Errorf("%s is of host %q, and this is %q", scopeFile, host, a.Config.Host)
	}
	u := &wire.Update{}
	if err := proto.Unmarshal(body, u); err != nil {
		return nil, fmt.Errorf("decode scope: %w", err)
	}
	return u, nil
}
