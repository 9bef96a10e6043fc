package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/hashicorp/vault/api"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/sops/keys"
)

// refusal is what may be told of err: codes and numbers, never the server's or
// the library's text. AWS, for one, quotes the session token back in the text of
// SignatureDoesNotMatch.
func refusal(k keys.MasterKey, err error) error {
	if strings.HasPrefix(err.Error(), "Allowlist does not allow ") {
		return helper.Refuse(backend.ErrRejected, "%s: no Vault token goes to a server that only the file names: "+
			"name it in vault: {addresses} of the backend, or in VAULT_ADDR", k)
	}
	status, code := answerOf(err)
	told := strings.TrimSpace(fmt.Sprintf("%s (HTTP %d)", code, status))
	switch {
	case strings.HasPrefix(code, "ExpiredToken"):
		return helper.Refuse(backend.ErrExpired, "%s: the credentials have expired: %s", k, told)
	case status >= 500, status == 429, strings.HasPrefix(code, "Throttling"):
		return helper.Refuse(backend.ErrUnavailable, "%s: the server cannot answer now: %s", k, told)
	case code != "":
		return helper.Refuse(backend.ErrRejected, "%s: the server refused: %s", k, told)
	case loginRefused(err):
		return helper.Refuse(backend.ErrRejected, "%s: the login server refused the credentials", k)
	case lacksCredentials(err):
		return helper.Refuse(backend.ErrLocked, "%s: no usable credentials, in the backend's settings or in the environment of secretfs mount", k)
	case status >= 400:
		return helper.Refuse(backend.ErrRejected, "%s: the server refused: %s", k, told)
	}
	if cause := networkCause(err); cause != "" {
		return helper.Refuse(backend.ErrUnavailable, "%s: the server is not reachable: %s", k, cause)
	}
	return helper.Refuse(backend.ErrRejected, "%s: sops cannot use this entry, which may be malformed", k)
}

// answerOf is the server's answer: HTTP status, and the API's own name for the
// error. AWS and Google are recognised by their methods.
func answerOf(err error) (status int, code string) {
	var (
		aws     interface{ ErrorCode() string }
		awsHTTP interface{ HTTPStatusCode() int }
		google  interface {
			HTTPCode() int
			Reason() string
		}
		azure  *azcore.ResponseError
		vault  *api.ResponseError
		huawei *sdkerr.ServiceResponseError
	)
	if errors.As(err, &awsHTTP) {
		status = awsHTTP.HTTPStatusCode()
	}
	switch {
	case errors.As(err, &aws):
		return status, aws.ErrorCode()
	case errors.As(err, &google):
		return max(google.HTTPCode(), 0), google.Reason()
	case errors.As(err, &azure):
		return azure.StatusCode, azure.ErrorCode
	case errors.As(err, &vault):
		return vault.StatusCode, ""
	case errors.As(err, &huawei):
		return huawei.StatusCode, huawei.ErrorCode
	}
	return status, ""
}

// loginRefused says that Microsoft's login server has answered, and gave no token.
func loginRefused(err error) bool {
	failed, ok := errors.AsType[*azidentity.AuthenticationFailedError](err)
	return ok && failed.RawResponse != nil && failed.RawResponse.StatusCode < 500
}

// lacksCredentials knows the phrases of AWS, Google and Azure, which have no
// exported type for it. The only files read are those with credentials.
func lacksCredentials(err error) bool {
	if errors.As(err, new(*fs.PathError)) {
		return true
	}
	text := err.Error()
	for _, phrase := range []string{"get credentials:", "could not find default credentials", "failed to acquire a token"} {
		if strings.Contains(text, phrase) {
			return true
		}
	}
	return false
}

func networkCause(err error) string {
	var (
		op    *net.OpError
		errno syscall.Errno
		dns   *net.DNSError
		cert  *tls.CertificateVerificationError
		other net.Error
	)
	switch {
	case errors.As(err, &dns):
		return "no address for " + dns.Name
	case errors.As(err, &op) && errors.As(op, &errno):
		return errno.Error()
	case errors.As(err, &cert):
		return "its TLS certificate is not trusted"
	case errors.As(err, &other) && other.Timeout():
		return "it did not answer in time"
	}
	return ""
}
