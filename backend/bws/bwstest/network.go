package bwstest

import (
	"net/http"
	"net/http/httptest"
)

// Network is a network in memory with one server in it: no sockets, so that time
// can be simulated (testing/synctest).
func Network(server http.Handler) http.RoundTripper { return network{server} }

type network struct{ server http.Handler }

func (n network) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	n.server.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	reply := w.Result()
	reply.Request = r
	return reply, nil
}
