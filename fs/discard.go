package fs

import (
	"github.com/secretfs/secretfs/fs/table"
)

// Discard drops every value of a backend that no open file reads. It is for one
// that was locked: open files read on, as after a chmod(2).
func (f *FS) Discard(name string) {
	tree := f.cfg.Gate.View().Tree
	var ids []table.NodeID
	f.cfg.Table.EachCarried(func(id table.NodeID, _ table.Carried) {
		path, _, ok := f.cfg.Table.Path(id)
		if n, known := tree.Lookup(path); ok && known && n.Backend == name {
			ids = append(ids, id)
		}
	})
	for _, id := range ids {
		f.expire(id)
	}
}
