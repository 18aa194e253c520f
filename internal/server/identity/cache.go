package identity

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"
)

// tokenKey stands for a token in memory; tokens themselves are not kept.
type tokenKey [sha256.Size]byte

// cache keeps what is known of tokens until it ends; of more than size it drops the one not used for longest. Safe for
// concurrent use.
type cache struct {
	size int

	mu    sync.Mutex // guards order and at
	order *list.List // of *entry, the one used last in front
	at    map[tokenKey]*list.Element
}

type entry struct {
	key  tokenKey
	tok  *token // nil: known to be bad
	ends time.Time
}

func newCache(size int) *cache {
	return &cache{size: size, order: list.New(), at: map[tokenKey]*list.Element{}}
}

// get returns what is known; ok is false if nothing is, or no longer.
func (c *cache) get(k tokenKey, now time.Time) (tok *token, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el := c.at[k]
	if el == nil {
		return nil, false
	}
	e := el.Value.(*entry)
	if !now.Before(e.ends) {
		c.drop(el)
		return nil, false
	}
	c.order.MoveToFront(el)
	return e.tok, true
}

// put stores what is known until ends.
func (c *cache) put(k tokenKey, tok *token, ends time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el := c.at[k]; el != nil {
		c.drop(el)
	}
	c.at[k] = c.order.PushFront(&entry{k, tok, ends})
	for c.order.Len() > c.size {
		c.drop(c.order.Back())
	}
}

// forget drops all known to be good that a test finds.
func (c *cache) forget(test func(*token) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for el := c.order.Front(); el != nil; {
		next := el.Next()
		if t := el.Value.(*entry).tok; t != nil && test(t) {
			c.drop(el)
		}
		el = next
	}
}

func (c *cache) drop(el *list.Element) {
	delete(c.at, el.Value.(*entry).key)
	c.order.Remove(el)
}

func (c *cache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.order.Len()
}
