package linux

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ProcessStart is the time at which the process started, in clock ticks since boot (proc_pid_stat(5), field 22). Together
// with the pid it names a process for as long as the machine is up. ok is false if there is no such process, or only its
// remains (a zombie).
func ProcessStart(pid int) (start uint64, ok bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}
	// The second field is the command in parentheses and may contain anything, so count from its end.
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return 0, false
	}
	fields := bytes.Fields(b[i+1:])
	if len(fields) < 20 || fields[0][0] == 'Z' || fields[0][0] == 'X' {
		return 0, false
	}
	start, err = strconv.ParseUint(string(fields[19]), 10, 64)
	return start, err == nil
}

// Signal sends sig to the process with that pid and start time; gone is true if it is no more.
func Signal(pid int, start uint64, sig unix.Signal) (gone bool, err error) {
	// A pidfd pins the process, so that the pid cannot be another's between the look and the signal.
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return true, nil
	} else if err != nil {
		return false, fmt.Errorf("open process %d: %w", pid, err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	if now, ok := ProcessStart(pid); !ok || now != start {
		return true, nil
	}
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); errors.Is(err, unix.ESRCH) {
		return true, nil
	} else if err != nil {
		return false, fmt.Errorf("signal process %d: %w", pid, err)
	}
	return false, nil
}

// BootID names this boot of the machine (random_boot_id of proc_sys_kernel(5)).
func BootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return string(bytes.TrimSpace(b)), nil
}
