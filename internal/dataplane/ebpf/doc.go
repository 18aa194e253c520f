// Package ebpf is the data plane made of BPF programs (bpf/) on the instances' devices and on one VXLAN device.
//
// It compiles a hostplan.State into the programs' maps (compile.go), brings the kernel's maps from what they hold to that
// by the smallest change (table.go), attaches the programs (attach.go) and carries punted packets to user space. All state lives in
// maps and links pinned below one directory of a BPF file system, so that the process may die, restart or be upgraded
// while packets flow: a new process reads what is there and goes on from it. docs/pipeline.md says what the programs do
// and fixes every map.
//
// What is ours in the kernel: everything below the pin directory, the device "weft-vxlan", and tc filters named "weft_…".
//
// It knows no feed, no server and no other data plane, and decides nothing about packets itself: Runner, which runs the very
// programs on a packet by BPF_PROG_RUN, is for tests and traces.
package ebpf
