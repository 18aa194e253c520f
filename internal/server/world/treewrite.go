package world

// set puts an item, in place of the one that compares equal.
func (t *tree[P]) set(what item[P]) {
	if t.root == nil {
		t.root = &node[P]{edit: t.edit, items: []item[P]{what}}
		t.n++
		return
	}
	t.root = t.mine(t.root)
	if len(t.root.items) == maxItems {
		left := t.root
		middle, right := t.split(left)
		t.root = &node[P]{edit: t.edit, items: []item[P]{middle}, kids: []*node[P]{left, right}}
	}
	if t.insert(t.root, &what) {
		t.n++
	}
}

// insert puts an item beneath n, which is t's own and not full; false: in place of another.
func (t *tree[P]) insert(n *node[P], what *item[P]) bool {
	i, found := t.find(n, what)
	if found {
		n.items[i] = *what
		return false
	}
	if n.kids == nil {
		n.items = inserted(n.items, i, *what)
		return true
	}
	kid := t.mine(n.kids[i])
	n.kids[i] = kid
	if len(kid.items) == maxItems {
		middle, right := t.split(kid)
		n.items, n.kids = inserted(n.items, i, middle), inserted(n.kids, i+1, right)
		switch c := t.compare(what, &middle); {
		case c == 0:
			n.items[i] = *what
			return false
		case c > 0:
			kid = right
		}
	}
	return t.insert(kid, what)
}

// split takes the upper half of a full node that is t's own into another.
func (t *tree[P]) split(n *node[P]) (middle item[P], right *node[P]) {
	middle = n.items[minItems]
	right = &node[P]{edit: t.edit, items: fitted(n.items[minItems+1:])}
	n.items = fitted(n.items[:minItems])
	if n.kids != nil {
		right.kids, n.kids = fitted(n.kids[minItems+1:]), fitted(n.kids[:minItems+1])
	}
	return middle, right
}

// mine is n, or t's own copy of it.
func (t *tree[P]) mine(n *node[P]) *node[P] {
	if n.edit == t.edit {
		return n
	}
	c := &node[P]{edit: t.edit, items: fitted(n.items)}
	if n.kids != nil {
		c.kids = fitted(n.kids)
	}
	return c
}

// fitted is a copy of a slice with room for a few more.
func fitted[S ~[]E, E any](s S) S { return append(make(S, 0, room(len(s)+1)), s...) }

// room is how much to make for n elements.
func room(n int) int { return min((n+3)&^3, maxItems+1) }

// inserted puts v at i, in a larger slice if need be.
func inserted[S ~[]E, E any](s S, i int, v E) S {
	if len(s) == cap(s) {
		s = fitted(s)
	}
	s = s[:len(s)+1]
	copy(s[i+1:], s[i:])
	s[i] = v
	return s
}

// taken removes what is at i and leaves nothing behind that the collector would follow.
func taken[S ~[]E, E any](s S, i int) (S, E) {
	v := s[i]
	copy(s[i:], s[i+1:])
	clear(s[len(s)-1:])
	return s[:len(s)-1], v
}

// remove takes the item that compares equal away, if there is one.
func (t *tree[P]) remove(what item[P]) {
	if t.root == nil {
		return
	}
	t.root = t.mine(t.root)
	if t.without(t.root, &what) {
		t.n--
	}
	if len(t.root.items) == 0 {
		if t.root.kids == nil {
			t.root = nil
		} else {
			t.root = t.root.kids[0]
		}
	}
}

// without removes an item beneath n, which is t's own and has more than the fewest items, or is the root.
func (t *tree[P]) without(n *node[P], what *item[P]) bool {
	i, found := t.find(n, what)
	if n.kids == nil {
		if found {
			n.items, _ = taken(n.items, i)
		}
		return found
	}
	if len(n.kids[i].items) <= minItems {
		t.feed(n, i)
		return t.without(n, what) // it may be elsewhere now
	}
	kid := t.mine(n.kids[i])
	n.kids[i] = kid
	if found {
		n.items[i] = t.last(kid)
		return true
	}
	return t.without(kid, what)
}

// last removes and returns the last item beneath n, of which the same is true as in without.
func (t *tree[P]) last(n *node[P]) (v item[P]) {
	if n.kids == nil {
		n.items, v = taken(n.items, len(n.items)-1)
		return v
	}
	i := len(n.kids) - 1
	if len(n.kids[i].items) <= minItems {
		t.feed(n, i)
		return t.last(n)
	}
	kid := t.mine(n.kids[i])
	n.kids[i] = kid
	return t.last(kid)
}

// feed gives the child i of n more items: one of a neighbour that can spare it, or all that a neighbour has.
func (t *tree[P]) feed(n *node[P], i int) {
	switch {
	case i > 0 && len(n.kids[i-1].items) > minItems:
		left, kid := t.mine(n.kids[i-1]), t.mine(n.kids[i])
		n.kids[i-1], n.kids[i] = left, kid
		kid.items = inserted(kid.items, 0, n.items[i-1])
		left.items, n.items[i-1] = taken(left.items, len(left.items)-1)
		if left.kids != nil {
			var moved *node[P]
			left.kids, moved = taken(left.kids, len(left.kids)-1)
			kid.kids = inserted(kid.kids, 0, moved)
		}
	case i < len(n.kids)-1 && len(n.kids[i+1].items) > minItems:
		kid, right := t.mine(n.kids[i]), t.mine(n.kids[i+1])
		n.kids[i], n.kids[i+1] = kid, right
		kid.items = inserted(kid.items, len(kid.items), n.items[i])
		right.items, n.items[i] = taken(right.items, 0)
		if right.kids != nil {
			var moved *node[P]
			right.kids, moved = taken(right.kids, 0)
			kid.kids = inserted(kid.kids, len(kid.kids), moved)
		}
	default:
		i = min(i, len(n.kids)-2)
		left, right := t.mine(n.kids[i]), n.kids[i+1]
		n.kids[i] = left
		var middle item[P]
		n.items, middle = taken(n.items, i)
		n.kids, _ = taken(n.kids, i+1)
		left.items = append(append(left.items, middle), right.items...)
		left.kids = append(left.kids, right.kids...)
	}
}
