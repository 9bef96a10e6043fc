// Package dir serves plain files, one secret each, from below one directory:
// systemd's $CREDENTIALS_DIRECTORY (systemd.exec(5)), a Secret that Kubernetes has
// mounted, a directory on the way to something better. It adds what the files
// themselves do not have: who may read which, the audit log, versions.
package dir
