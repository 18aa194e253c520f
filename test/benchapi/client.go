package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// conn is one keep-alive connection to the API: HTTP/1.1 with no more than this server's answers need, so that the
// client takes as little as possible of the processors that it shares with the server. Not for concurrent use.
type conn struct {
	addr string
	c    net.Conn
	r    *bufio.Reader
	out  []byte
	in   []byte
	used time.Time
}

// idle is after what time a connection is made anew: the server closes one that has not sent a request within ten seconds.
const idle = 5 * time.Second

func dial(addr string) (*conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &conn{addr: addr, c: c, r: bufio.NewReaderSize(c, 64<<10), used: time.Now()}, nil
}

func (c *conn) close() { c.c.Close() }

// do sends a request; path begins beneath /v2.0. The answer is good until the next call.
func (c *conn) do(method, path string, body []byte) (int, []byte, error) {
	now := time.Now()
	if now.Sub(c.used) > idle {
		fresh, err := dial(c.addr)
		if err != nil {
			return 0, nil, err
		}
		c.close()
		*c = *fresh
	}
	c.used = now
	o := append(append(append(append(c.out[:0], method...), " /v2.0"...), path...), " HTTP/1.1\r\nHost: "...)
	o = append(append(o, c.addr...), "\r\nX-Project-Id: bench\r\n"...)
	if body != nil {
		o = append(append(append(o, "Content-Type: application/json\r\nContent-Length: "...), strconv.Itoa(len(body))...), "\r\n"...)
	}
	c.out = append(append(o, "\r\n"...), body...)
	if _, err := c.c.Write(c.out); err != nil {
		return 0, nil, err
	}
	return c.answer()
}

func (c *conn) answer() (int, []byte, error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	if len(line) < 12 {
		return 0, nil, fmt.Errorf("no status line: %q", line)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return 0, nil, fmt.Errorf("no status line: %q", line)
	}
	length, chunked := 0, false
	for {
		if line, err = c.r.ReadSlice('\n'); err != nil {
			return 0, nil, err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch string(bytes.ToLower(name)) {
		case "content-length":
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, nil, err
			}
		case "transfer-encoding":
			chunked = true
		}
	}
	c.in = c.in[:0]
	if !chunked {
		err := c.more(length)
		return status, c.in, err
	}
	for {
		if line, err = c.r.ReadSlice('\n'); err != nil {
			return 0, nil, err
		}
		n, err := strconv.ParseInt(string(bytes.TrimRight(line, "\r\n")), 16, 32)
		if err != nil {
			return 0, nil, err
		}
		if err := c.more(int(n)); err != nil {
			return 0, nil, err
		}
		if _, err := c.r.Discard(2); err != nil {
			return 0, nil, err
		}
		if n == 0 {
			return status, c.in, nil
		}
	}
}

// more reads n bytes of the body.
func (c *conn) more(n int) error {
	at := len(c.in)
	if cap(c.in) < at+n {
		grown := make([]byte, at, 2*(at+n))
		copy(grown, c.in)
		c.in = grown
	}
	c.in = c.in[:at+n]
	_, err := io.ReadFull(c.r, c.in[at:])
	return err
}

// want is do that expects a status.
func (c *conn) want(status int, method, path string, body []byte) ([]byte, error) {
	got, answer, err := c.do(method, path, body)
	if err == nil && got != status {
		err = fmt.Errorf("%s %s: %d, not %d: %.300s", method, path, got, status, answer)
	}
	return c.in, err
}

// make creates an object and returns its id.
func (c *conn) make(path string, body []byte) (string, error) {
	answer, err := c.want(201, "POST", path, body)
	if err != nil {
		return "", err
	}
	// The object's own id is found by its key: what begins with "id" at the top level of the only object. Parsing each
	// answer would cost the client more than the server took.
	_, after, ok := bytes.Cut(answer, []byte(`"id": "`))
	if !ok || len(after) < 36 {
		return "", errors.New("an answer without id: " + string(answer))
	}
	return string(after[:36]), nil
}

// get decodes what is at a path.
func (c *conn) get(path string, out any) error {
	answer, err := c.want(200, "GET", path, nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(answer, out)
}
