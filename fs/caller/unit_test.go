package caller

import (
	"strings"
	"testing"
)

func TestUnitOf(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	const manager = "/user.slice/user-1000.slice/user@1000.service"
	cases := []struct {
		path string
		want membership
	}{
		{"/system.slice/mem0.service", membership{unit: "mem0.service"}},
		{"/system.slice/system-getty.slice/getty@tty1.service", membership{unit: "getty@tty1.service"}},
		{"/db.slice/db-fast.slice/pg.service", membership{unit: "pg.service"}},
		{"/mem0.service", membership{unit: "mem0.service"}},
		{"/init.scope", membership{unit: "init.scope"}},
		{"/system.slice/memory.service", membership{unit: "memory.service"}},
		{"/system.slice/_memory.service", membership{unit: "memory.service"}},
		{"/system.slice/mem0.service/sub/x.service", membership{unit: "mem0.service"}},
		{"/system.slice/data.mount", membership{unit: "data.mount"}},

		{manager + "/app.slice/mem0.service", membership{userUnit: "mem0.service"}},
		{manager + "/mem0.service", membership{userUnit: "mem0.service"}},
		{manager + "/mem0.service/system.slice/mem0.service", membership{userUnit: "mem0.service"}},
		{manager + "/system.slice/mem0.service", membership{userUnit: "mem0.service"}},
		{manager + "/init.scope", membership{userUnit: "init.scope"}},
		{manager + "/odd/mem0.service", membership{}},
		{manager + "/machine.slice/libpod-" + id + ".scope", membership{userUnit: "libpod-" + id + ".scope"}},
		{manager, membership{}},
		{"/user.slice/user-1000.slice/session-2.scope", membership{unit: "session-2.scope"}},
		{"/user.slice/user-1000.slice/user-runtime-dir@1000.service", membership{unit: "user-runtime-dir@1000.service"}},

		{"/machine.slice/machine-web\\x2d1.scope/payload", membership{unit: "machine-web\\x2d1.scope", container: "web-1"}},
		{"/machine.slice/systemd-nspawn@web.service/payload/system.slice/mem0.service", membership{unit: "systemd-nspawn@web.service", container: "web"}},
		{"/machine.slice/systemd-nspawn@web.service/supervisor", membership{unit: "systemd-nspawn@web.service"}},
		{"/machine.slice/systemd-nspawn@web.service/payloads", membership{unit: "systemd-nspawn@web.service"}},
		{"/system.slice/docker-" + id + ".scope/system.slice/mem0.service", membership{unit: "docker-" + id + ".scope", container: id}},
		{"/machine.slice/libpod-" + id + ".scope/container", membership{unit: "libpod-" + id + ".scope", container: id}},
		{"/machine.slice/libpod-conmon-" + id + ".scope", membership{unit: "libpod-conmon-" + id + ".scope"}},
		{"/kubepods.slice/kubepods-burstable.slice/cri-containerd-" + id + ".scope", membership{unit: "cri-containerd-" + id + ".scope", container: id}},
		{"/kubepods/burstable/pod1/" + id, membership{container: id}},
		{"/docker/" + id + "/system.slice/mem0.service", membership{container: id}},
		{"/lxc.payload.web/system.slice/mem0.service", membership{container: "web"}},

		{"/../mem0.service", membership{}},
		{"/../../system.slice/mem0.service", membership{}},
		{"/..", membership{}},
		{"/", membership{}},
		{"/system.slice", membership{}},
		{"/system.slice/.service", membership{}},
		{"/system.slice/mem0.service (deleted)", membership{}},
		{"/system.slice//mem0.service", membership{}},
		{"/system.slice/mem0.slice", membership{}},
	}
	for _, c := range cases {
		if got := unitOf(c.path); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.path, got, c.want)
		}
	}
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		"web": "web", `a\x2db\x2dc`: "a-b-c", `a\x2`: `a\x2`, `\xzz`: `\xzz`, `\x`: `\x`, `\x+1`: `\x+1`,
	} {
		if got := unescape(in); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}
