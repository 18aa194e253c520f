package linux

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// watchBuffer is the socket's receive buffer in bytes: room for the messages of a few thousand interfaces that come at
// once. When it overflows the kernel says so (ENOBUFS), and all links are listed again.
const watchBuffer = 4 << 20

// WatchLinks calls changed with the links of the current namespace whose names begin with prefix, by name: once with all
// that are there, and again after each change that shows in Link, until ctx is done or the kernel cannot be asked any
// more. Changes that come together are told together. The maps belong to the callee.
func WatchLinks(ctx context.Context, prefix string, changed func(map[string]Link)) error {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	if err != nil {
		return fmt.Errorf("subscribe to links: %w", err)
	}
	defer s.Close()
	// Past the system's limit only with CAP_NET_ADMIN of the first user namespace; what is granted is enough otherwise.
	if s.SetReceiveBufferSize(watchBuffer, true) != nil {
		if err := s.SetReceiveBufferSize(watchBuffer, false); err != nil {
			return fmt.Errorf("enlarge buffer of link subscription: %w", err)
		}
	}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	w := linkWatch{socket: s, prefix: prefix, changed: changed}
	err = w.run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

type linkWatch struct {
	socket  *nl.NetlinkSocket
	prefix  string
	changed func(map[string]Link)
	links   map[int]Link // by index: a name may change
	told    map[string]Link
}

func (w *linkWatch) run() error {
	if err := w.list(); err != nil {
		return err
	}
	w.tell()
	for {
		if err := w.receive(0); err != nil {
			return err
		}
		for { // what else is there already
			err := w.receive(50 * time.Microsecond)
			if errors.Is(err, unix.EAGAIN) {
				break
			}
			if err != nil {
				return err
			}
		}
		w.tell()
	}
}

// list starts afresh. The subscription is older than the list, so nothing is missed; what is told twice changes nothing.
func (w *linkWatch) list() error {
	all, err := Links("")
	if err != nil {
		return err
	}
	w.links = map[int]Link{}
	for _, l := range all {
		if strings.HasPrefix(l.Name, w.prefix) {
			w.links[l.Index] = l
		}
	}
	return nil
}

// receive takes in one datagram, waiting for it at most patience; 0: for ever.
func (w *linkWatch) receive(patience time.Duration) error {
	tv := unix.NsecToTimeval(int64(patience))
	if err := w.socket.SetReceiveTimeout(&tv); err != nil {
		return fmt.Errorf("set time limit of link subscription: %w", err)
	}
	msgs, from, err := w.socket.Receive()
	switch {
	case errors.Is(err, unix.ENOBUFS):
		return w.list()
	case errors.Is(err, os.ErrClosed), errors.Is(err, unix.EAGAIN):
		return err
	case err != nil:
		return fmt.Errorf("follow links: %w", err)
	case from.Pid != nl.PidKernel: // anybody may send to a netlink socket
		return nil
	}
	for _, m := range msgs {
		if err := w.message(m); err != nil {
			return err
		}
	}
	return nil
}

func (w *linkWatch) message(m syscall.NetlinkMessage) error {
	if m.Header.Type != unix.RTM_NEWLINK && m.Header.Type != unix.RTM_DELLINK {
		return nil
	}
	if len(m.Data) < unix.SizeofIfInfomsg {
		return nil
	}
	if nl.DeserializeIfInfomsg(m.Data).Family != unix.AF_UNSPEC {
		return nil // a bridge's view of its port
	}
	header := unix.NlMsghdr(m.Header)
	found, err := netlink.LinkDeserialize(&header, m.Data)
	if err != nil {
		return w.list()
	}
	l := fromNetlink(found)
	if m.Header.Type == unix.RTM_DELLINK || !strings.HasPrefix(l.Name, w.prefix) {
		delete(w.links, l.Index)
		return nil
	}
	w.links[l.Index] = l
	return nil
}

// tell passes on what is there, if it is not what was told last.
func (w *linkWatch) tell() {
	now := make(map[string]Link, len(w.links))
	for _, l := range w.links {
		now[l.Name] = l
	}
	same := func(a, b Link) bool {
		return a.Index == b.Index && a.Up == b.Up && a.Master == b.Master && a.MTU == b.MTU && a.Kind == b.Kind && a.Alias == b.Alias && a.MAC.String() == b.MAC.String()
	}
	if w.told != nil && maps.EqualFunc(w.told, now, same) {
		return
	}
	w.told = now
	w.changed(maps.Clone(now))
}
