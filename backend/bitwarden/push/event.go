package push

// An Event is what a message means to whoever reads a vault.
type Event uint8

// The events.
const (
	Nothing Event = iota
	Changed       // something in the vault has
	Logout        // the session is over: drop keys and tokens
)

// The kinds of hub message (SignalR hub protocol).
const (
	invocation = 1
	closing    = 7
)

// The kinds of notification of which anything is to be made (Bitwarden,
// PushType): 0 to 10 are changes of items, folders, organisation keys and
// settings.
const (
	lastChange = 10
	logout     = 11
)

// frames splits what came in one WebSocket message: each hub message stands
// behind its length, seven bits a byte and the lowest first.
func frames(b []byte) (messages [][]byte, ok bool) {
	for len(b) > 0 {
		n, shift := uint64(0), 0
		for {
			if len(b) == 0 || shift > 28 {
				return messages, false
			}
			c := b[0]
			b = b[1:]
			n |= uint64(c&0x7f) << shift
			if shift += 7; c < 0x80 {
				break
			}
		}
		if n > uint64(len(b)) {
			return messages, false
		}
		messages = append(messages, b[:n])
		b = b[n:]
	}
	return messages, true
}

// read tells what a hub message means, and whether it ends the connection.
func read(message []byte) (e Event, over bool) {
	r := &reader{rest: message}
	n := r.count(array)
	if k, kind := r.head(); n == 0 || k != number || kind != invocation {
		return Nothing, k == number && kind == closing
	}
	r.skip() // headers
	r.skip() // invocation id
	if n < 5 || r.text() != "ReceiveMessage" || r.count(array) == 0 {
		return Nothing, false
	}
	for range r.count(table) {
		if r.text() != "Type" {
			r.skip()
			continue
		}
		switch k, kind := r.head(); {
		case k != number:
		case kind <= lastChange:
			return Changed, false
		case kind == logout:
			return Logout, false
		}
		return Nothing, false
	}
	return Nothing, false
}
