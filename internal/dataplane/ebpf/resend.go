package ebpf

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/model"
)

var _ dataplane.Resender = (*Plane)(nil)

// Where struct __sk_buff (linux/bpf.h) has its mark, and its size as of kernel 6.1.
const (
	skbMark = 8
	skbSize = 192
)

// resender is a program that puts the packet which it is run on into the receive path of the device whose index is the
// packet's mark: from there it meets from_instance like any packet of the instance. It hangs nowhere; BPF_PROG_RUN gives it
// one packet at a time, and bpf_clone_redirect acts at once, also there. The packet must fit into one page.
func newResender() (*ebpf.Program, error) {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "weft_resend", Type: ebpf.SchedCLS, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{
			asm.LoadMem(asm.R2, asm.R1, skbMark, asm.Word),
			asm.Mov.Imm(asm.R3, 1), // BPF_F_INGRESS
			asm.FnCloneRedirect.Call(),
			asm.Return(),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("load the program that sends packets again: %w", err)
	}
	return p, nil
}

// Resend implements dataplane.Resender. It must be called in the network namespace of the plane.
func (p *Plane) Resend(id model.PortID, frame []byte) error {
	if len(frame) > dataplane.MaxResend {
		return fmt.Errorf("resend for port %s: %d bytes, the most is %d", id, len(frame), dataplane.MaxResend)
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	index, err := p.deviceOf(id)
	if err == nil {
		err = p.receive(index, frame)
	}
	if err != nil {
		return fmt.Errorf("resend for port %s: %w", id, err)
	}
	return nil
}

var _ dataplane.OutsideReceiver = (*Plane)(nil)

// ReceiveOutside implements dataplane.OutsideReceiver. It must be called in the network namespace of the plane.
func (p *Plane) ReceiveOutside(external model.NetworkID, frame []byte) error {
	if len(frame) > dataplane.MaxResend {
		return fmt.Errorf("receive from external network %s: %d bytes, the most is %d", external, len(frame), dataplane.MaxResend)
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	out, err := p.outsideOf(external)
	if err == nil {
		err = p.receive(out.ifindex, tagged(frame, out.vlan))
	}
	if err != nil {
		return fmt.Errorf("receive from external network %s: %w", external, err)
	}
	return nil
}

// receive puts a frame into the receive path of the device with that index.
func (p *Plane) receive(index int, frame []byte) error {
	var ctx [skbSize]byte
	binary.NativeEndian.PutUint32(ctx[skbMark:], uint32(index)) //nolint:gosec // an interface index is positive
	ret, err := p.resend.Run(&ebpf.RunOptions{Data: frame, Context: ctx})
	if err != nil {
		return err
	}
	if ret != 0 {
		return fmt.Errorf("the kernel does not take the packet (%d)", int32(ret)) //nolint:gosec // a negative errno
	}
	return nil
}
