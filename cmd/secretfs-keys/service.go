package main

import (
	"context"
	"net"
	"os"

	"github.com/getsops/sops/v3/keyservice"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/backend/sops/keys"
)

// askService has the key service at a socket open the master key, whatever its kind:
// it has the keys and credentials. The socket's permissions say who may ask.
func askService(ctx context.Context, q *keys.Request) (*secret.Value, error) {
	key := serviceKeyOf(q.Key)
	if key == nil {
		return nil, helper.Refuse(backend.ErrUnsupported, "no key service knows a master key of the type %q", q.Key.Type)
	}
	if _, err := os.Stat(q.KeyService); err != nil {
		return nil, helper.Refuse(backend.ErrUnavailable, "%s: there is no key service at %s: start one with sops keyservice --network unix --address %[2]s", q.Key, q.KeyService)
	}
	conn, err := grpc.NewClient("passthrough:///key-service", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", q.KeyService)
		}))
	if err != nil {
		return nil, helper.Refuse(backend.ErrUnavailable, "%s: the key service at %s cannot be asked", q.Key, q.KeyService)
	}
	defer conn.Close()
	answer, err := keyservice.NewKeyServiceClient(conn).Decrypt(ctx, &keyservice.DecryptRequest{Key: key, Ciphertext: []byte(q.Key.Fields["enc"])})
	switch code := status.Code(err); {
	case err == nil:
		return secret.From(answer.Plaintext)
	case code == codes.Unavailable:
		return nil, helper.Refuse(backend.ErrUnavailable, "%s: the key service at %s is not reachable, or may not be asked by uid %d", q.Key, q.KeyService, os.Getuid())
	case code == codes.Canceled, code == codes.DeadlineExceeded:
		return nil, helper.Refuse(backend.ErrTimeout, "%s: the key service at %s did not answer in time", q.Key, q.KeyService)
	}
	// Its text is not ours to repeat: it may quote what a cloud has said.
	return nil, helper.Refuse(backend.ErrRejected, "%s: the key service at %s does not open it; what it says of that is in its own output", q.Key, q.KeyService)
}

// serviceKeyOf is keyOf with the kinds that a key service opens and secretfs-keys by
// itself does not.
func serviceKeyOf(k keys.MasterKey) *keyservice.Key {
	switch k.Type {
	case keys.Age:
		return &keyservice.Key{KeyType: &keyservice.Key_AgeKey{AgeKey: &keyservice.AgeKey{Recipient: k.Fields["recipient"]}}}
	case keys.PGP:
		return &keyservice.Key{KeyType: &keyservice.Key_PgpKey{PgpKey: &keyservice.PgpKey{Fingerprint: k.Fields["fp"]}}}
	}
	return keyOf(k)
}
