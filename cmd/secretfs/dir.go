package main

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend/dir"
)

// dirNeeds is the directory of a backend of type dir. That there is none of the
// service manager's is no wonder where secretfs runs by hand.
func dirNeeds(config any) []string {
	if at := config.(dir.Settings).Directory(); at != "" {
		return []string{at}
	}
	return nil
}

// dirDoubts tells of plaintext on a disk.
func dirDoubts(config any) []string {
	at := config.(dir.Settings).Directory()
	var fs unix.Statfs_t
	if at == "" || unix.Statfs(at, &fs) != nil || inMemory(fs.Type) {
		return nil
	}
	return []string{fmt.Sprintf("%s holds plaintext at rest: whoever gets the disk, a backup or a snapshot has the secrets; "+
		"encrypt them with sops or age, or keep the directory on a tmpfs", at)}
}

// inMemory knows the filesystems without a disk (statfs(2)). A tmpfs may be
// swapped out.
func inMemory(kind int64) bool {
	return kind == unix.TMPFS_MAGIC || kind == unix.RAMFS_MAGIC
}
