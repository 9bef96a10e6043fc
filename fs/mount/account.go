package mount

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// An account is who a helper runs as.
type account struct {
	uid, gid int
	groups   []int
	name     string // empty where /etc/passwd has no line for the uid
	home     string
}

// lookAccount finds a user by name or number in /etc/passwd and /etc/group
// (passwd(5), group(5)). No name service is asked: its answer may depend on
// this very mount. A number needs no entry; it then stands for a user without
// groups.
func lookAccount(user, passwd, group string) (account, error) {
	n, err := strconv.ParseUint(user, 10, 32)
	numeric := err == nil
	a := account{uid: int(n), gid: int(n), home: "/"}
	found := false
	err = eachEntry(passwd, 6, func(f []string) {
		if found || f[0] != user && (!numeric || f[2] != user) {
			return
		}
		uid, err1 := strconv.ParseUint(f[2], 10, 32)
		gid, err2 := strconv.ParseUint(f[3], 10, 32)
		if errors.Join(err1, err2) == nil {
			found, a = true, account{uid: int(uid), gid: int(gid), name: f[0], home: f[5]}
		}
	})
	if err != nil {
		return a, err
	}
	if !found {
		if numeric {
			return a, nil
		}
		return a, fmt.Errorf("no user %q in %s", user, passwd)
	}
	return a, eachEntry(group, 4, func(f []string) {
		gid, err := strconv.ParseUint(f[2], 10, 32)
		if err == nil && slices.Contains(strings.Split(f[3], ","), a.name) {
			a.groups = append(a.groups, int(gid))
		}
	})
}

// eachEntry calls each for the lines of a file that have that many fields. A
// file that is not there has no lines.
func eachEntry(path string, fields int, each func([]string)) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for a user: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if entry := strings.Split(lines.Text(), ":"); len(entry) >= fields {
			each(entry)
		}
	}
	return lines.Err()
}

// env puts the account's own values into an environment that was another's.
func (a account) env(env []string) []string {
	env = slices.DeleteFunc(env, func(entry string) bool {
		return slices.ContainsFunc([]string{"HOME=", "USER=", "LOGNAME=", "XDG_"}, func(prefix string) bool {
			return strings.HasPrefix(entry, prefix)
		})
	})
	env = append(env, "HOME="+a.home)
	if a.name != "" {
		env = append(env, "USER="+a.name, "LOGNAME="+a.name)
	}
	return env
}
