package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/httpc"
)

// An Error is an answer other than 2xx.
type Error struct {
	Status  int
	Code    string // `error` of OAuth: invalid_grant, device_error, …
	Message string // what the server says to people, made printable
	// TwoFactor are the providers with which a second factor can be given, if
	// it is that what is missing.
	TwoFactor []string
}

// AsError finds the Error in err, or gives nil.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return nil
}

func (e *Error) Error() string {
	s := fmt.Sprintf("the server answers with status %d", e.Status)
	switch {
	case e.Message != "":
		s += fmt.Sprintf(": %q", e.Message)
	case e.Code == "invalid_client":
		s += ": it does not know this API key (one that is made anew ends the one before it)"
	case e.Code != "":
		s += fmt.Sprintf(": %q", e.Code)
	}
	return s
}

// Unwrap gives the kind of error.
func (e *Error) Unwrap() error {
	switch e.Status {
	case http.StatusUnauthorized:
		return backend.ErrExpired
	case http.StatusForbidden, http.StatusBadRequest:
		return backend.ErrRejected
	}
	return backend.ErrUnavailable // 404 too: it is no such server
}

const maxMessage = 200 // characters

// failure reads what came instead of an answer.
func failure(r *httpc.Reply) error {
	if r.OK() {
		return nil
	}
	e := &Error{Status: r.Status}
	var b struct {
		Error            json.RawMessage
		ErrorDescription string `json:"error_description"`
		Message          string
		ErrorModel       struct{ Message string }
		Providers        []json.RawMessage          `json:"TwoFactorProviders"`
		Providers2       map[string]json.RawMessage `json:"TwoFactorProviders2"`
	}
	if json.Unmarshal(r.Body, &b) == nil {
		_ = json.Unmarshal(b.Error, &e.Code) // anything but a text says nothing
		e.Code = printable(e.Code)
		for _, text := range []string{b.ErrorModel.Message, b.ErrorDescription, b.Message} {
			if e.Message = printable(text); e.Message != "" {
				break
			}
		}
		for _, p := range b.Providers { // numbers, or texts
			e.TwoFactor = append(e.TwoFactor, strings.Trim(string(p), `"`))
		}
		for p := range b.Providers2 {
			e.TwoFactor = append(e.TwoFactor, p)
		}
		slices.Sort(e.TwoFactor)
		e.TwoFactor = slices.Compact(e.TwoFactor)
	}
	return r.Errorf("%w", e)
}

func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.TrimSpace(text))
	if runes := []rune(text); len(runes) > maxMessage {
		text = string(runes[:maxMessage]) + "…"
	}
	return text
}
