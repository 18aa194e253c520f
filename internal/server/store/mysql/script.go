package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Bounds of one statement and of one script: its bytes when escaped must stay far below max_allowed_packet.
const (
	statementRows  = 500
	statementBytes = 1 << 20
)

// script gathers statements that go to the server in one round trip, and sends them before they get too large. After an
// error it sends nothing more: a deadlock has ended the transaction, and what came behind it would stand by itself.
type script struct {
	err  error // the first
	conn session
	text strings.Builder
	args []any
	size int
}

// add takes a statement whose arguments have about size bytes.
func (s *script) add(ctx context.Context, size int, query string, args ...any) error {
	if s.err == nil && s.size+size > statementBytes {
		if err := s.run(ctx); err != nil {
			return err
		}
	}
	if s.err != nil {
		return s.err
	}
	if size > statementBytes { // the binary protocol does not escape, and so does not double it
		st, err := s.conn.PrepareContext(ctx, query)
		if err == nil {
			_, err = st.ExecContext(ctx, args...)
			err = errors.Join(err, st.Close())
		}
		s.err = explain(query, err)
		return s.err
	}
	if s.text.Len() > 0 {
		s.text.WriteString("; ")
	}
	s.text.WriteString(query)
	s.args, s.size = append(s.args, args...), s.size+size
	if !s.conn.batch {
		return s.run(ctx)
	}
	return nil
}

// run sends what has been gathered.
func (s *script) run(ctx context.Context) error {
	if s.err != nil || s.text.Len() == 0 {
		return s.err
	}
	_, err := s.conn.ExecContext(ctx, s.text.String(), s.args...)
	s.err = explain(s.text.String(), err)
	s.text.Reset()
	s.args, s.size = nil, 0
	return s.err
}

func explain(query string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%.40s…: %w", query, err)
}

// insert gathers the rows of one statement for a script.
type insert struct {
	script          *script
	head, row, tail string
	rows, size      int
	args            []any
}

func newInsert(to *script, head string, columns int, tail string) *insert {
	return &insert{script: to, head: head, row: "(?" + strings.Repeat(", ?", columns-1) + ")", tail: tail}
}

// add takes a row whose values have about size bytes.
func (in *insert) add(ctx context.Context, size int, args ...any) error {
	if in.rows > 0 && (in.rows >= statementRows || in.size+size > statementBytes) {
		if err := in.flush(ctx); err != nil {
			return err
		}
	}
	in.rows, in.size, in.args = in.rows+1, in.size+size, append(in.args, args...)
	return nil
}

// flush gives the statement to the script.
func (in *insert) flush(ctx context.Context) error {
	if in.rows == 0 {
		return nil
	}
	query := in.head + strings.Repeat(in.row+", ", in.rows-1) + in.row + in.tail
	err := in.script.add(ctx, in.size, query, in.args...)
	in.rows, in.size, in.args = 0, 0, nil
	return err
}
