package provenance

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/palladium-guard/palladium/weights/signing"
)

// Services of Sigstore's public instance.
const (
	publicFulcio = "https://fulcio.sigstore.dev"
	publicRekor  = "https://rekor.sigstore.dev"
)

// sigstoreAudience is what a token for Sigstore is made out to.
const sigstoreAudience = "sigstore"

// SigstoreOptions say how a model is signed with a short-lived certificate of Sigstore. It is a Signer; it talks to the
// certificate authority, the log and the timestamp authority.
type SigstoreOptions struct {
	TokenFile   string // OIDC token of the signer; that of the environment or of the CI job when empty
	Config      string // Sigstore signing configuration, or client trust configuration; the public services when empty
	TrustedRoot string // keys of the services, to check the result with before it is returned; may be empty

	now func() time.Time
}

// Sign implements Signer.
func (o *SigstoreOptions) Sign(ctx context.Context, payload []byte) ([]byte, error) {
	token, err := o.token(ctx)
	if err != nil {
		return nil, fmt.Errorf("sign with Sigstore: %w", err)
	}
	opt := sign.BundleOptions{Context: ctx, CertificateProviderOptions: &sign.CertificateProviderOptions{IDToken: token}}
	if err := o.services(&opt); err != nil {
		return nil, fmt.Errorf("sign with Sigstore: %w", err)
	}
	key, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		return nil, fmt.Errorf("sign with Sigstore: make a key: %w", err)
	}
	b, err := bundleOf(payload, key, opt)
	if err != nil {
		return nil, fmt.Errorf("sign with Sigstore: %s: check the network, and that the token is fresh", strings.ReplaceAll(err.Error(), token, "(token)"))
	}
	data, err := protojson.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("sign with Sigstore: write the bundle: %w", err)
	}
	return data, nil
}

// bundleOf asks the services. sigstore-go takes some incomplete answers for complete ones and panics; here that is an error.
func bundleOf(payload []byte, key sign.Keypair, opt sign.BundleOptions) (b *protobundle.Bundle, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("a service gave an incomplete answer")
		}
	}()
	return sign.Bundle(&sign.DSSEData{Data: payload, PayloadType: signing.PayloadType}, key, opt)
}

// services fills in whom to ask: those of the configuration, or the public ones.
func (o *SigstoreOptions) services(opt *sign.BundleOptions) error {
	if o.TrustedRoot != "" {
		data, err := readSmall(o.TrustedRoot, maxCredential)
		if err == nil {
			opt.TrustedRoot, err = parseTrustedRoot(data)
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", o.TrustedRoot, err)
		}
	}
	if o.Config == "" {
		opt.CertificateProvider = sign.NewFulcio(&sign.FulcioOptions{BaseURL: publicFulcio, Retries: 1})
		opt.TransparencyLogs = []sign.Transparency{sign.NewRekor(&sign.RekorOptions{BaseURL: publicRekor, Retries: 1})}
		return nil
	}
	data, err := readSmall(o.Config, maxCredential)
	if err != nil {
		return fmt.Errorf("read the signing configuration: %w", err)
	}
	var client struct {
		SigningConfig json.RawMessage `json:"signingConfig"`
	}
	if err := json.Unmarshal(data, &client); err == nil && len(client.SigningConfig) > 0 {
		data = client.SigningConfig
	}
	config, err := root.NewSigningConfigFromJSON(data)
	if err != nil {
		return fmt.Errorf("read the signing configuration %s: %w", o.Config, err)
	}
	return o.configured(config, opt)
}

func (o *SigstoreOptions) configured(config *root.SigningConfig, opt *sign.BundleOptions) error {
	now := time.Now()
	if o.now != nil {
		now = o.now()
	}
	ca, err := root.SelectService(config.FulcioCertificateAuthorityURLs(), sign.FulcioAPIVersions, now)
	if err != nil {
		return fmt.Errorf("find a certificate authority in the signing configuration: %w", err)
	}
	opt.CertificateProvider = sign.NewFulcio(&sign.FulcioOptions{BaseURL: ca.URL, Retries: 1})
	logs, err := root.SelectServices(config.RekorLogURLs(), config.RekorLogURLsConfig(), sign.RekorAPIVersions, now)
	if err != nil {
		return fmt.Errorf("find a transparency log in the signing configuration: %w", err)
	}
	for _, l := range logs {
		opt.TransparencyLogs = append(opt.TransparencyLogs, sign.NewRekor(&sign.RekorOptions{BaseURL: l.URL, Retries: 1, Version: l.MajorAPIVersion}))
	}
	if len(config.TimestampAuthorityURLs()) == 0 {
		return nil
	}
	stamps, err := root.SelectServices(config.TimestampAuthorityURLs(), config.TimestampAuthorityURLsConfig(), sign.TimestampAuthorityAPIVersions, now)
	if err != nil {
		return fmt.Errorf("find a timestamp authority in the signing configuration: %w", err)
	}
	for _, s := range stamps {
		opt.TimestampAuthorities = append(opt.TimestampAuthorities, sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: s.URL, Retries: 1}))
	}
	return nil
}

// token returns the signer's OIDC token: from the file, from SIGSTORE_ID_TOKEN, or from the CI job that this runs in.
func (o *SigstoreOptions) token(ctx context.Context) (string, error) {
	if o.TokenFile != "" {
		data, err := readSmall(o.TokenFile, 1<<20)
		return strings.TrimSpace(string(data)), err
	}
	if t := os.Getenv("SIGSTORE_ID_TOKEN"); t != "" {
		return t, nil
	}
	where, bearer := os.Getenv("ACTIONS_ID_TOKEN_REQUEST_URL"), os.Getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
	if where == "" || bearer == "" {
		return "", errors.New("there is no OIDC token: name a file with --identity-token-file, or set SIGSTORE_ID_TOKEN")
	}
	u, err := url.Parse(where)
	if err != nil {
		return "", errors.New("the CI job's token address is not a URL")
	}
	q := u.Query()
	q.Set("audience", sigstoreAudience)
	u.RawQuery = q.Encode()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", errors.New("ask the CI job for a token: no answer")
	}
	defer resp.Body.Close()
	var body struct{ Value string }
	err = json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&body)
	if resp.StatusCode != http.StatusOK || err != nil || body.Value == "" {
		return "", fmt.Errorf("ask the CI job for a token: status %s", cmp.Or(resp.Status, "unknown"))
	}
	return body.Value, nil
}
