package world

import (
	"fmt"
	"runtime/debug"
)

// remainder is a group whose commit did not plainly succeed, and what the store said.
type remainder struct {
	group *group
	err   error
}

// alone does a write on its caller's goroutine, from the rule to the published commit, if nothing else is under way: there is
// nothing to compute meanwhile, and to hand it to Run, to the commit beside it and back wakes threads that find nothing to do.
// false: it was not begun. Anything but success is left to Run.
func (w *Writer) alone(r *request) bool {
	select {
	case w.turn <- struct{}{}:
	default:
		return false
	}
	if len(w.requests) > 0 { // they were first
		<-w.turn
		return false
	}
	// A handler must not recover from a panic of the store's and leave the turn taken: it ends the process, as it does on a goroutine of
	// the writer's own.
	defer func() {
		if x := recover(); x != nil {
			stack := debug.Stack()
			go func() { panic(fmt.Sprintf("%v\n%s", x, stack)) }()
			select {}
		}
	}()
	g := &group{world: w.Snapshot()}
	w.take(g, r)
	if len(g.batches) == 0 {
		g.reply()
		<-w.turn
		return true
	}
	if err := w.append(g); err != nil {
		w.left <- &remainder{g, err}
		return true
	}
	w.succeed(g)
	<-w.turn
	return true
}
