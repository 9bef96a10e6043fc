package httpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend"
)

// A redirectError is a redirect that was not followed.
type redirectError struct{ to string }

func (e *redirectError) Error() string {
	if e.to == "" {
		return "the server sends from one address to the next without end"
	}
	return fmt.Sprintf("the server sends to %s, which is not followed: it would get the credentials; if that is the right server, write it into the policy", e.to)
}

// explain says what went wrong in the words of who has to mend it.
func explain(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer in time: %w", backend.ErrTimeout)
	}
	plain := false
	if ue, ok := errors.AsType[*url.Error](err); ok {
		plain = strings.HasPrefix(ue.URL, "http:")
		err = ue.Err // the query may hold a credential
	}
	for _, kind := range sentinels {
		if errors.Is(err, kind) {
			return err
		}
	}
	if text := explainTLS(err); text != "" {
		return fmt.Errorf("%s: %w", text, backend.ErrUnavailable)
	}
	if text := explainNet(err); text != "" {
		if plain && text == cutOff {
			text += " (it may want https://)"
		}
		return fmt.Errorf("%s: %w", text, backend.ErrUnavailable)
	}
	return fmt.Errorf("%w: %w", err, backend.ErrUnavailable)
}

var sentinels = []error{backend.ErrUnavailable, backend.ErrRejected, backend.ErrTimeout}

const cutOff = "the connection was cut before the answer was complete"

func explainNet(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return fmt.Sprintf("there is no host %q (asked DNS)", dns.Name)
		}
		return fmt.Sprintf("DNS does not answer for %q", dns.Name)
	}
	where := ""
	if op, ok := errors.AsType[*net.OpError](err); ok {
		if op.Op == "proxyconnect" {
			where = " the proxy"
			if inner, ok := errors.AsType[*net.OpError](op.Err); ok {
				op = inner
			}
		}
		if op.Addr != nil {
			where += " " + op.Addr.String()
		}
		if op.Timeout() {
			return "connecting to" + where + " takes too long"
		}
	}
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return "nothing listens on" + where + " (connection refused)"
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH):
		return "there is no way to" + where + " (is the network up?)"
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return cutOff
	}
	return ""
}

// explainTLS says why the server is not trusted, or does not trust us.
func explainTLS(err error) string {
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Sprintf("the server's certificate is not for %q", e.Host)
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the server's certificate is signed by an authority that is not trusted (name its certificate with ca_file)"
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if e.Reason == x509.Expired {
			return fmt.Sprintf("the server's certificate is good from %s to %s, and this machine's clock says %s",
				date(e.Cert.NotBefore), date(e.Cert.NotAfter), date(time.Now()))
		}
		return "the server's certificate: " + e.Error()
	}
	if _, ok := errors.AsType[x509.SystemRootsError](err); ok {
		return "this machine has no certificates of authorities (install ca-certificates, or name one with ca_file)"
	}
	if errors.Is(err, http.ErrSchemeMismatch) {
		return "the server answers in plain HTTP (https:// is wrong for that port)"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the server does not speak TLS (https:// is wrong for that port)"
	}
	// crypto/tls has no public type for what the other side complains about.
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return fmt.Sprintf("the server ends the TLS handshake (%v); it may want client_cert and client_key, or others", op.Err)
	}
	return ""
}

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }
