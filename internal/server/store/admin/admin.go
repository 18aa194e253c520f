// Package admin is what operators do with a store: look at it, check, back up, restore and repair it. Each function opens
// the store that the configuration names, does one thing, says in words what it did, and closes it.
//
// It must not know resources, so it counts objects by kind and does not show them.
package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/dial"
)

// Admin does things with one store.
type Admin struct {
	Store dial.Options     // ReadOnly is set as each function needs it
	Out   io.Writer        // what was done, for people
	Now   func() time.Time // required
}

// ErrDamaged is what Check returns after it has named the damage.
var ErrDamaged = errors.New("the store is damaged")

// with runs f on the store and closes it.
func (a *Admin) with(ctx context.Context, readOnly bool, f func(s store.Store) error) error {
	o := a.Store
	o.ReadOnly = readOnly
	s, err := dial.Open(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(f(s), s.Close())
}

func (a *Admin) say(format string, args ...any) error {
	_, err := fmt.Fprintf(a.Out, format+"\n", args...)
	return err
}

// Status prints the position, how many objects of each kind there are, and what servers last said; beside a running server, too.
func (a *Admin) Status(ctx context.Context) error {
	return a.with(ctx, true, func(s store.Store) error {
		counts, sizes := map[string]int{}, map[string]int{}
		snap, err := s.Load(ctx, func(e store.Entry) error {
			counts[e.Kind]++
			sizes[e.Kind] += len(e.Body)
			return nil
		})
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "store\t%s\nlineage\t%s\nrevision\t%d\nfeature level\t%d\nundelivered\t%d\n",
			a.Store.Database.String(), snap.Lineage, snap.Revision, snap.FeatureLevel, len(snap.Intents))
		if err := a.servers(ctx, s, w); err != nil {
			return err
		}
		if len(counts) > 0 {
			fmt.Fprint(w, "\nkind\tobjects\tbytes\n")
		}
		for _, kind := range slices.Sorted(maps.Keys(counts)) {
			fmt.Fprintf(w, "%s\t%d\t%d\n", kind, counts[kind], sizes[kind])
		}
		return w.Flush()
	})
}

func (a *Admin) servers(ctx context.Context, s store.Store, w io.Writer) error {
	beats, err := s.Heartbeats(ctx)
	if err != nil {
		return err
	}
	for _, b := range beats {
		fmt.Fprintf(w, "server\t%s, last heard of %v ago\n", b.Server, a.Now().Sub(b.At).Round(time.Second))
	}
	return nil
}

// Check reads everything, names each damaged row with its cure, and returns ErrDamaged if there was one.
func (a *Admin) Check(ctx context.Context) error {
	return a.with(ctx, true, func(s store.Store) error {
		found, err := s.Check(ctx)
		if err != nil {
			return err
		}
		for _, c := range found {
			if err := a.say("%v", c); err != nil {
				return err
			}
		}
		if len(found) > 0 {
			return fmt.Errorf("%w in %d places", ErrDamaged, len(found))
		}
		head, err := s.Head(ctx)
		if err != nil {
			return err
		}
		return a.say("nothing is wrong, up to revision %d", head.Revision)
	})
}

// Backup writes a backup to a new file, beside a running server, too.
func (a *Admin) Backup(ctx context.Context, path string) error {
	return a.with(ctx, true, func(s store.Store) error {
		info, err := store.Backup(ctx, s, path, a.Now())
		if err != nil {
			return err
		}
		return a.say("%s: %s", path, describe(info))
	})
}

// Inspect checks a backup and says what is in it.
func (a *Admin) Inspect(path string) error {
	info, err := store.InspectBackup(path)
	if err != nil {
		return err
	}
	return a.say("%s: whole; %s", path, describe(info))
}

func describe(i store.BackupInfo) string {
	return fmt.Sprintf("%d objects and %d undelivered effects at revision %d of lineage %s, made %s",
		i.Entries, i.Intents, i.Head.Revision, i.Head.Lineage, i.At.Format(time.RFC3339))
}

// Restore replaces what is in the store by a backup. A store that is not empty is first backed up to the file keep.
func (a *Admin) Restore(ctx context.Context, path, keep string) error {
	if _, err := store.InspectBackup(path); err != nil {
		return err
	}
	return a.with(ctx, false, func(s store.Store) error {
		head, err := s.Head(ctx)
		if err != nil {
			return err
		}
		switch {
		case head.Revision == 0:
		case keep == "":
			return fmt.Errorf("the store is at revision %d and not empty: name a file to which it is backed up before it is replaced (--keep)", head.Revision)
		default:
			info, err := store.Backup(ctx, s, keep, a.Now())
			if err != nil {
				return fmt.Errorf("back up what is there: %w", err)
			}
			if err := a.say("%s: %s", keep, describe(info)); err != nil {
				return err
			}
		}
		pos, err := store.Restore(ctx, s, path)
		if err != nil {
			return err
		}
		return a.say("restored %s: the store is at revision %d of the new lineage %s", path, pos.Revision, pos.Lineage)
	})
}

// Drop removes the object that Check has named as kind/key, without reading it.
func (a *Admin) Drop(ctx context.Context, name string) error {
	kind, key, ok := strings.Cut(name, "/")
	if !ok || kind == "" || key == "" {
		return fmt.Errorf("%q does not name an object; write kind/key as the check prints it", name)
	}
	return a.with(ctx, false, func(s store.Store) error {
		if err := s.Drop(ctx, kind, key, a.Now()); err != nil {
			return err
		}
		return a.say("dropped %s %s", kind, key)
	})
}

// NewLineage starts a new lineage, after which nobody reads the log of the old one.
func (a *Admin) NewLineage(ctx context.Context) error {
	return a.with(ctx, false, func(s store.Store) error {
		head, err := s.Head(ctx)
		if err != nil {
			return err
		}
		pos, err := s.NewLineage(ctx, head.Position)
		if err != nil {
			return err
		}
		return a.say("the store is at revision %d of the new lineage %s", pos.Revision, pos.Lineage)
	})
}

// Trim removes log rows that are older than age (0: however old) or not among the newest keep (0: however many).
func (a *Admin) Trim(ctx context.Context, age time.Duration, keep uint64) error {
	if age <= 0 && keep == 0 {
		return errors.New("nothing to trim by; give an age, a number of changes to keep, or both")
	}
	before := time.Time{}
	if age > 0 {
		before = a.Now().Add(-age)
	}
	return a.with(ctx, false, func(s store.Store) error {
		n, err := s.Trim(ctx, before, keep)
		if err != nil {
			return err
		}
		return a.say("removed %d changes from the log; no object is lost", n)
	})
}
