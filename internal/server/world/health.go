package world

import "time"

// storeState is what the newest write to the store came to.
type storeState struct {
	err error // nil: it was done
	// commit: it was a commit of the writer's that failed, at the time.
	commit bool
	at     time.Time
}

// commitsCount is for how long a failed commit says more of the store than a small write beside it that went well: on a disk that is
// almost full one may fit and the other not.
const commitsCount = 5 * time.Second

// StoreError is why the store cannot be written at present; nil when the last write succeeded.
func (w *Writer) StoreError() error { return w.healthy.Load().err }

// StoreTried says what a write to the store came to that was not the writer's own: where nobody changes anything a store that has gone
// away is noticed by that alone, and that it is back.
func (w *Writer) StoreTried(err error) {
	was := w.healthy.Load()
	switch {
	case err != nil && was.err == nil:
		w.healthy.CompareAndSwap(was, &storeState{err: err, at: w.cfg.Now()}) // a commit that went well meanwhile is newer
	case err == nil && was.err != nil && (!was.commit || w.cfg.Now().Sub(was.at) >= commitsCount):
		w.healthy.CompareAndSwap(was, &storeState{})
	}
}
