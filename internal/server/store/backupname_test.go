package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/server/store"
)

// TestNoNameOfBackup: an empty name is refused with what to do, before anything is written to the directory that "" would mean.
func TestNoNameOfBackup(t *testing.T) {
	t.Chdir(t.TempDir())
	if _, err := store.Backup(t.Context(), nil, "", time.Now()); err == nil || !strings.Contains(err.Error(), "name a new file") {
		t.Errorf("backup: %v", err)
	}
	if _, err := store.InspectBackup(""); err == nil || !strings.Contains(err.Error(), "name the file") {
		t.Errorf("inspect: %v", err)
	}
}
