package caller

import (
	"os"
	"testing"

	"github.com/secretfs/secretfs/policy"
)

func self(b *testing.B) (*Proc, *task) {
	p, err := Open("/proc")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = p.Close() })
	t, err := p.open(uint32(os.Getpid()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(t.close)
	return p, t
}

func BenchmarkLookup(b *testing.B) {
	p, _ := self(b)
	pid := uint32(os.Getpid())
	for _, kind := range []struct {
		name  string
		needs Needs
	}{{"least", 0}, {"file", NeedFile}, {"power", NeedPower}, {"all", NeedAll}} {
		b.Run(kind.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Lookup(pid, uint32(os.Geteuid()), uint32(os.Getegid()), kind.needs); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPart says what each part of a look-up costs.
func BenchmarkPart(b *testing.B) {
	p, t := self(b)
	var c policy.Caller
	text, err := t.read(fileStatus)
	if err != nil {
		b.Fatal(err)
	}
	text = append([]byte(nil), text...)
	parts := []struct {
		name string
		run  func() error
	}{
		{"open", func() error {
			t, err := p.open(uint32(os.Getpid()))
			if err == nil {
				t.close()
			}
			return err
		}},
		{"status", func() error { _, err := t.read(fileStatus); return err }},
		{"leads", func() error { t.leads(uint32(os.Getpid())); return nil }},
		{"parseStatus", func() error { _, err := parseStatus(text); return err }},
		{"exe", func() error { _, err := t.readlink(linkExe); return err }},
		{"file", func() error { _, err := t.stat(linkExe); return err }},
		{"userns", func() error { _, err := t.maps(&c); return err }},
		{"uid_map", func() error { _, _, err := t.idMap(fileUIDMap); return err }},
		{"cgroup", func() error { return t.membership(&c) }},
		{"unitOf", func() error { unitOf("/system.slice/system-getty.slice/getty@tty1.service"); return nil }},
	}
	for _, part := range parts {
		b.Run(part.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := part.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
