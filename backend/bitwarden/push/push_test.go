package push

import "testing"

// message is what a server sends: [1, {}, nil, "ReceiveMessage", [{"ContextId": nil, "Type": kind, "Payload": {"Id": "x"}}]].
func message(kind byte) []byte {
	m := []byte("\x95\x01\x80\xc0\xaeReceiveMessage\x91\x83\xa9ContextId\xc0\xa4Type")
	m = append(m, kind)
	return append(m, "\xa7Payload\x81\xa2Id\xa1x"...)
}

func TestRead(t *testing.T) {
	for kind, want := range map[byte]Event{0: Changed, 1: Changed, 5: Changed, 10: Changed, 11: Logout, 12: Nothing, 15: Nothing, 25: Nothing} {
		if e, over := read(message(kind)); e != want || over {
			t.Errorf("kind %d: %v, %v", kind, e, over)
		}
	}
	for name, m := range map[string]string{"ping": "\x91\x06", "completion": "\x95\x03\x80\xa1x\x03\xc0", "another target": "\x95\x01\x80\xc0\xa5Hello\x90", "empty": "", "a text": "\xa5hello"} {
		if e, over := read([]byte(m)); e != Nothing || over {
			t.Errorf("%s: %v, %v", name, e, over)
		}
	}
	if _, over := read([]byte("\x93\x07\xc0\xc3")); !over {
		t.Error("a closing message does not end the connection")
	}
}

func TestFrames(t *testing.T) {
	long := make([]byte, 300)
	b := append([]byte{2, 0x91, 6, 0xac, 2}, long...)
	messages, ok := frames(append(b, 1, 9))
	if !ok || len(messages) != 3 || len(messages[0]) != 2 || len(messages[1]) != 300 || messages[2][0] != 9 {
		t.Errorf("%d messages, %v", len(messages), ok)
	}
	for _, bad := range [][]byte{{5, 1}, {0x80}, {0xff, 0xff, 0xff, 0xff, 0xff, 1}} {
		if _, ok := frames(bad); ok {
			t.Errorf("% x was taken", bad)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(message(0))
	f.Add([]byte("\x95\x01\xdf\xff\xff\xff\xff"))
	f.Add([]byte("\x95\x01\xc9\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		messages, _ := frames(b)
		for _, m := range append(messages, b) {
			read(m)
		}
	})
}
