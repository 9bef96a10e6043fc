package systemd

import (
	"strings"
	"testing"
)

// TestCredentials: what the service manager gives to secretfs, decrypted or not, is
// served, and so are credentials that lie in a directory, under the key that the
// machine has.
func TestCredentials(t *testing.T) {
	const name = "credentials"
	m := boot(t)
	m.file(t, name+"/wifi.txt", "passphrase of the wifi\n")
	m.file(t, name+"/store/.keep", "")
	at := inside + "/" + name
	m.must(t, "systemd-creds", "setup")
	for _, file := range []string{"vpn", "mail.cred"} {
		m.must(t, "systemd-creds", "encrypt", "--with-key=host", at+"/wifi.txt", at+"/store/"+file)
	}
	s := installOn(t, m, name, options{
		plain: "a: b\n",
		backends: "  unit: {type: dir, path: $CREDENTIALS_DIRECTORY}\n" +
			"  store: {type: systemd-creds, path: store}\n",
		secrets: "secrets:\n  wifi: {backend: unit}\n  vpn: {backend: unit}\n  mail: {backend: store}\n  a: {backend: main}\n" +
			"directories:\n  given: {backend: unit}\n  stored: {backend: store}\n",
		settings: "LoadCredential=wifi:" + at + "/wifi.txt\nLoadCredentialEncrypted=vpn:" + at + "/store/vpn",
	})
	s.start(t, name+".service")
	for _, path := range []string{"wifi", "vpn", "mail", "given/wifi", "given/vpn", "stored/vpn", "stored/mail"} {
		if got, err := s.run("cat", s.dir+"/"+path); got != "passphrase of the wifi\n" || err != nil {
			t.Errorf("%s: got %q, %v", path, got, err)
		}
	}
	if got := strings.Fields(s.must(t, "ls", s.dir+"/given", s.dir+"/stored")); strings.Join(got, " ") != s.dir+"/given: vpn wifi "+s.dir+"/stored: mail vpn" {
		t.Errorf("listed: %q", got)
	}
	// The next worker, and a restarted unit, have them too.
	before := s.must(t, "cat", s.dir+"/wifi")
	s.must(t, "sh", "-c", "kill -9 $(cat /proc/$(systemctl show --value -p MainPID "+name+".service)/task/*/children)")
	if got, err := s.run("cat", s.dir+"/wifi", s.dir+"/mail"); got != before+before || err != nil {
		t.Errorf("by the next worker: %q, %v", got, err)
	}
	if out, err := s.systemctl("restart", name+".service"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got, err := s.run("cat", s.dir+"/vpn", s.dir+"/mail"); got != before+before || err != nil {
		t.Errorf("after a restart of the unit: %q, %v", got, err)
	}
	// There is nothing to be said against credentials in memory.
	out, err := s.run("sh", "-c", "CREDENTIALS_DIRECTORY=/run/credentials/"+name+".service "+inside+"/secretfs check --policy "+s.in("policy.yaml"))
	if strings.Contains(out, "at rest") {
		t.Errorf("%v\n%s", err, out)
	}
}
