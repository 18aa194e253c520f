package sqlite

import "time"

// Hold keeps everybody from writing the file or the journal until the returned function is called.
func Hold(s *Store) (release func()) {
	s.turn <- struct{}{}
	s.log <- struct{}{}
	return func() { <-s.log; <-s.turn }
}

// HoldFile keeps everybody from writing the file; the journal takes what it can.
func HoldFile(s *Store) (release func()) {
	s.turn <- struct{}{}
	return func() { <-s.turn }
}

// SetFollowDelay says how long stores that are opened from now on leave records in the journal, until the returned function is called.
func SetFollowDelay(d time.Duration) (reset func()) {
	old := followDelay
	followDelay = d
	return func() { followDelay = old }
}

// Path is where the store's file is.
func (s *Store) Path() string { return s.path }
