package mount

import "testing"

func TestCovered(t *testing.T) {
	entries := []mountEntry{
		{id: 1, device: "8:1", root: "/", dir: "/"},
		{id: 2, parent: 1, device: "0:40", root: "/", dir: "/run/secrets"},
		{id: 3, parent: 2, device: "0:9", root: "/top", dir: "/run/secrets/a/covered"},
		{id: 4, parent: 1, device: "0:40", root: "/b", dir: "/elsewhere"},
		{id: 5, parent: 4, device: "0:9", root: "/", dir: "/elsewhere/within"},
		{id: 6, parent: 1, device: "0:40", root: "/file", dir: "/bound"},
		{id: 7, parent: 6, device: "0:9", root: "/", dir: "/bound"},
		{id: 8, parent: 1, device: "0:41", root: "/", dir: "/other"},
		{id: 9, parent: 8, device: "0:9", root: "/", dir: "/other/x"},
	}
	for path, want := range map[string]bool{
		"/a/covered": true, "/b/within": true, "/file": true,
		"/a": false, "/covered": false, "/within": false, "/x": false, "/b": false,
	} {
		if got := covered(entries, "0:40", path); got != want {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
}
