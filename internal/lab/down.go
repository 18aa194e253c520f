package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/linux"
)

// Down removes the lab: processes, namespaces with their links and filters, pinned objects, files. It goes on after a
// failure and may be repeated; the record goes last. ErrNoLab if there is none. An interruption does not stop it: that
// would only leave the rest to do.
func Down(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	if err := CheckRoot(); err != nil {
		return err
	}
	if _, err := os.Stat(RunDir); errors.Is(err, fs.ErrNotExist) {
		return ErrNoLab
	}
	l, err := takeLock()
	if err != nil {
		return err
	}
	defer l.release()
	r, err := Load()
	if errors.Is(err, ErrNoLab) { // killed before the record was written: then nothing else was made
		return errors.Join(ErrNoLab, l.removeRunDir())
	} else if err != nil {
		return err
	}
	return r.down(ctx, l)
}

func (r *Record) down(ctx context.Context, l *lock) error {
	// Little grace: nothing that the processes could still tidy up is to stay.
	pids, err := r.pidsInside()
	err = errors.Join(err, r.Keeper().StopAll(ctx, pids, 200*time.Millisecond))
	err = errors.Join(err, r.removeNamespaces())
	// Pinned links are what keeps programs attached; with their namespaces gone they hold nothing but memory.
	if rerr := os.RemoveAll(PinRoot); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
		err = errors.Join(err, fmt.Errorf("remove pinned objects: %w", rerr))
	}
	if r.Undo.NetnsMount {
		err = errors.Join(err, linux.UndoNetnsDir())
	}
	if r.Undo.BPFMount {
		// Somebody else may have put objects there meanwhile; they are not ours to remove.
		if uerr := unix.Unmount(bpfDir, 0); uerr != nil && !errors.Is(uerr, unix.EINVAL) && !errors.Is(uerr, unix.EBUSY) {
			err = errors.Join(err, fmt.Errorf("unmount %s: %w", bpfDir, uerr))
		}
	}
	err = errors.Join(err, r.removeStateDir())
	if err != nil {
		return fmt.Errorf("remove the lab: %w", err)
	}
	return l.removeRunDir()
}

// removeStateDir removes what the lab wrote, and the directories that were not there before if they are empty.
func (r *Record) removeStateDir() error {
	ents, err := os.ReadDir(r.Options.StateDir)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	for _, e := range ents {
		err = errors.Join(err, os.RemoveAll(r.path(e.Name())))
	}
	for _, dir := range r.Undo.Dirs {
		if _, serr := os.Lstat(dir); errors.Is(serr, fs.ErrNotExist) {
			continue // a read-only file system says so of what is not there, too
		}
		if rerr := os.Remove(dir); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) && !errors.Is(rerr, unix.ENOTEMPTY) {
			err = errors.Join(err, rerr)
		}
	}
	return err
}

// full reports whether root can write nothing more below dir. Where there is no telling, it can.
func full(dir string) bool {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return false
	}
	const least = 64 << 10                                                    // bytes: what is less is no room for a page of a database and a line of a log
	return st.Bfree*uint64(st.Bsize) < least || st.Files > 0 && st.Ffree == 0 //nolint:gosec // a block size
}

// noSpace adds the cure to an error that comes of a full disk below dir.
func noSpace(err error, dir string) error {
	// A process that came to the same end has written it into its log, whose end is part of the error, or could not even do that.
	if err != nil && (errors.Is(err, unix.ENOSPC) || strings.Contains(err.Error(), unix.ENOSPC.Error()) || full(dir)) {
		return fmt.Errorf("%w: the disk is full; make room, or use --state-dir on another one", err)
	}
	return err
}
