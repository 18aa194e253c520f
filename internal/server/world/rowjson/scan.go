package rowjson

import (
	"bytes"
	"unicode/utf8"
)

// scan is a text that is being read. A method that returns false may have read any part of what it was to read.
type scan struct {
	data  []byte
	at    int
	known Words
}

// word reads exactly this.
func (s *scan) word(w string) bool {
	if len(s.data)-s.at < len(w) || string(s.data[s.at:s.at+len(w)]) != w {
		return false
	}
	s.at += len(w)
	return true
}

// text reads a string that has no escapes.
func (s *scan) text() ([]byte, bool) {
	if !s.word(`"`) {
		return nil, false
	}
	b := s.data[s.at:]
	end := bytes.IndexByte(b, '"')
	if end < 0 {
		return nil, false
	}
	b = b[:end]
	s.at += end + 1
	ascii := true
	for _, c := range b {
		if c < ' ' || c == '\\' {
			return nil, false
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	return b, ascii || utf8.Valid(b)
}

// number reads an integer of at most 18 digits.
func (s *scan) number() (n int64, ok bool) {
	minus := s.word("-")
	first := s.at
	for s.at < len(s.data) && s.data[s.at]-'0' <= 9 {
		n = n*10 + int64(s.data[s.at]-'0')
		if s.at++; s.at-first > 18 {
			return 0, false
		}
	}
	if s.at == first || s.data[first] == '0' && s.at-first > 1 {
		return 0, false
	}
	if minus {
		n = -n
	}
	return n, true
}

// value reads to the end of a value, which need not be a valid one.
func (s *scan) value() ([]byte, bool) {
	begin := s.at
	for depth := 0; s.at < len(s.data); {
		c := s.data[s.at]
		switch c {
		case '"':
			if !s.skipText() {
				return nil, false
			}
			if depth == 0 {
				return s.data[begin:s.at], true
			}
			continue
		case '{', '[':
			depth++
		case '}', ']', ',':
			if depth == 0 {
				return s.data[begin:s.at], s.at > begin
			}
			if c != ',' {
				depth--
			}
		}
		s.at++
		if depth == 0 && (c == '}' || c == ']') {
			return s.data[begin:s.at], true
		}
	}
	return nil, false
}

// skipText reads past a string.
func (s *scan) skipText() bool {
	for s.at++; s.at < len(s.data); s.at++ {
		switch s.data[s.at] {
		case '\\':
			s.at++
		case '"':
			s.at++
			return true
		}
	}
	return false
}

// elements counts those of the list that begins here, and stays here.
func (s *scan) elements() (n int, ok bool) {
	begin := s.at
	defer func() { s.at = begin }()
	if !s.word("[") {
		return 0, false
	}
	if s.word("]") {
		return 0, true
	}
	for {
		if _, ok := s.value(); !ok {
			return 0, false
		}
		if n++; !s.word(",") {
			return n, s.word("]")
		}
	}
}
