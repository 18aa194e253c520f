// Package obs is how Weft is observed: loggers, metrics and their names. It is wired by cmd/weft and passed in; nothing
// here is global.
package obs

import (
	"io"
	"log/slog"
	"os"

	"github.com/mattn/go-isatty"
)

// Keys of log attributes that several packages use; others are camelCase at their one place.
const (
	KeyHost = "host"
	KeyPort = "port"
	KeyErr  = "error"
)

// NewLogger writes lines of key=value to w, from level Info on, or Debug. A terminal gets no time stamps: whoever looks is
// there.
func NewLogger(w io.Writer, debug bool) *slog.Logger {
	o := &slog.HandlerOptions{Level: slog.LevelInfo}
	if debug {
		o.Level = slog.LevelDebug
	}
	if f, ok := w.(*os.File); ok && isatty.IsTerminal(f.Fd()) {
		o.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	return slog.New(slog.NewTextHandler(w, o))
}
