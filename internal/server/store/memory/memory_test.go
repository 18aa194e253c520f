package memory_test

import (
	"crypto/rand"
	"testing"

	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/memory"
	"github.com/weft-cloud/weft/internal/server/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Harness{Open: func(t testing.TB) store.Store {
		s, err := memory.New(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}})
}
