package oldkernel

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A machine is one boot of one kernel. QEMU emulates the processor, because
// KVM is missing, or there and of no use, in many a container and virtual
// machine.
type machine struct {
	kernel, initramfs string
	memfd             string // memfd_secret(2) "on" or "off"
}

// bootDeadline is far from what a boot with all tests takes.
const bootDeadline = 15 * time.Minute

// emulator lets the two processors take turns in one thread. In a thread each,
// one may meet the breakpoint with which the other is changing kernel text (a
// tracepoint switched on) after QEMU has forgotten that it was there: 2
// of 8 boots of Linux 6.12 ended so, in "Oops: int3".
const emulator = "tcg,thread=single"

// run returns what the guest has written to its serial console.
func (m machine) run(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bootDeadline)
	defer cancel()
	enable := map[string]string{"on": "1", "off": "0"}[m.memfd]
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64",
		"-accel", emulator, "-machine", "q35", "-cpu", "max", "-smp", "2", "-m", "1024",
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio",
		"-kernel", m.kernel, "-initrd", m.initramfs,
		"-append", strings.Join([]string{
			"console=ttyS0", "quiet", "panic=-1", "secretmem.enable=" + enable, "rdinit=/bin/guest",
			"SECRETFS_GUEST=.", "MEMFD_SECRET=" + m.memfd,
		}, " "))
	var console, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &console, &problems
	if err := cmd.Run(); err != nil {
		t.Errorf("qemu-system-x86_64: %v\n%s", errors.Join(err, ctx.Err()), problems.String())
	}
	return strings.ReplaceAll(console.String(), "\r\n", "\n")
}
