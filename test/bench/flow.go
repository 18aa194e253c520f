package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/weft-cloud/weft/internal/linux"
)

// place is one side of a measurement: a network namespace and the address there.
type place struct {
	ns   string
	addr netip.Addr
}

const port = 7700

// kind is what is measured, each as a rate that is better when higher.
type kind struct {
	name, unit string
	aim        float64 // how much of the bare programs' rate is aimed at
	run        func(from, to place, each time.Duration) (float64, error)
}

var kinds = []kind{
	{"stream", "Gbit/s", 0.97, stream},
	{"request/response", "1/s", 0.97, requests},
	{"connect-request-close", "1/s", 0.90, connects},
}

// serve listens in a place and gives each connection to handle, until closed.
func serve(at place, handle func(net.Conn)) (io.Closer, error) {
	var l net.Listener
	err := linux.InNetns(at.ns, func() (err error) {
		l, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(at.addr, port)))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen in %s: %w", at.ns, err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go handle(c)
		}
	}()
	return l, nil
}

func echo(c net.Conn) {
	defer c.Close()
	b := make([]byte, 1)
	for {
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

// connected runs f with a connection from one place to the other.
func connected(from, to place, handle func(net.Conn), f func(c *net.TCPConn) (float64, error)) (rate float64, err error) {
	l, err := serve(to, handle)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	err = linux.InNetns(from.ns, func() error {
		c, err := dial(to)
		if err != nil {
			return err
		}
		defer c.Close()
		rate, err = f(c)
		return err
	})
	return rate, err
}

func dial(to place) (*net.TCPConn, error) { return dialWithin(to, 3*time.Second) }

func dialWithin(to place, limit time.Duration) (*net.TCPConn, error) {
	d := net.Dialer{Timeout: limit}
	c, err := d.Dial("tcp", netip.AddrPortFrom(to.addr, port).String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

func stream(from, to place, each time.Duration) (float64, error) {
	got := make(chan int64, 1)
	sink := func(c net.Conn) {
		n, _ := io.Copy(io.Discard, c) // ends with the connection
		got <- n
		c.Close()
	}
	return connected(from, to, sink, func(c *net.TCPConn) (float64, error) {
		began := time.Now()
		b := make([]byte, 256<<10)
		for time.Since(began) < each {
			if _, err := c.Write(b); err != nil {
				return 0, err
			}
		}
		if err := c.CloseWrite(); err != nil {
			return 0, err
		}
		select {
		case n := <-got:
			return float64(n) * 8 / time.Since(began).Seconds() / 1e9, nil
		case <-time.After(5 * time.Second):
			return 0, errors.New("the stream did not end")
		}
	})
}

func requests(from, to place, each time.Duration) (float64, error) {
	return connected(from, to, echo, func(c *net.TCPConn) (float64, error) {
		began, n, b := time.Now(), 0, []byte{1}
		for ; time.Since(began) < each; n++ {
			if _, err := c.Write(b); err != nil {
				return 0, err
			}
			if _, err := io.ReadFull(c, b); err != nil {
				return 0, err
			}
		}
		return float64(n) / time.Since(began).Seconds(), nil
	})
}

func connects(from, to place, each time.Duration) (float64, error) {
	l, err := serve(to, echo)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	rate := 0.0
	err = linux.InNetns(from.ns, func() error {
		began, n, b := time.Now(), 0, []byte{1}
		for ; time.Since(began) < each; n++ {
			c, err := dial(to)
			if err != nil {
				return err
			}
			_ = c.SetLinger(0) // a reset at the end: ports in TIME_WAIT would run out
			if _, err := c.Write(b); err != nil {
				return err
			}
			if _, err := io.ReadFull(c, b); err != nil {
				return err
			}
			c.Close()
		}
		rate = float64(n) / time.Since(began).Seconds()
		return nil
	})
	return rate, err
}
