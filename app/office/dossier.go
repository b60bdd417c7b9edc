package office

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/palladium-guard/palladium/internal/tlsfile"
	"github.com/palladium-guard/palladium/proof/dossier"
	"github.com/palladium-guard/palladium/proof/ledger"
	"github.com/palladium-guard/palladium/proof/ledger/tlog"
)

// maxKey is more than any key file holds, in bytes.
const maxKey = 1 << 16

// VerifyDossier checks the archive in a file. key names the file with the public key that must have signed it; without one
// everything else is checked. log names the public key of the ledger, where it is another one.
func VerifyDossier(path, key, log string) (*dossier.Report, error) {
	data, err := readUpTo(path, dossier.MaxArchive)
	if err != nil {
		return nil, fmt.Errorf("read dossier: %w", err)
	}
	var k dossier.Keys
	if log == "" {
		log = key
	}
	if key != "" {
		text, err := readUpTo(key, maxKey)
		if err != nil {
			return nil, fmt.Errorf("read key: %w", err)
		}
		if k.Signer, err = note.NewVerifier(strings.TrimSpace(string(text))); err != nil {
			return nil, fmt.Errorf("%s holds no public key in the form of a signed note: %w", key, err)
		}
	}
	if log != "" {
		text, err := readUpTo(log, maxKey)
		if err != nil {
			return nil, fmt.Errorf("read key of the ledger: %w", err)
		}
		trust, err := ledger.ParseTrust(strings.TrimSpace(string(text)), nil)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", log, err)
		}
		k.Proof = func(proof, statement []byte) error {
			p, err := ledger.VerifyProof(proof, trust)
			if err != nil || statement == nil {
				return err
			}
			return p.Check(statement)
		}
	}
	return dossier.Verify(data, k)
}

func readUpTo(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s is larger than %d bytes", path, most)
	}
	return data, err
}

// Remote is a running office that is reached through its API, so that it says who may and writes down who did.
type Remote struct {
	Server    string // scheme and host
	TokenFile string // holds an API token
	CA        string // PEM file of authorities beside those of the system; may be empty
}

// Export fetches the dossier of a campaign and writes it to a file, which must not be there yet. An empty out stands for the
// name that the server gives. It returns the path.
func (r *Remote) Export(ctx context.Context, campaign, profile, out string) (path string, err error) {
	token, err := readUpTo(r.TokenFile, maxKey)
	if err != nil {
		return "", fmt.Errorf("read API token: %w", err)
	}
	client, err := r.client()
	if err != nil {
		return "", err
	}
	u := strings.TrimSuffix(r.Server, "/") + "/api/v1/campaigns/" + url.PathEscape(campaign) + "/export?profile=" + url.QueryEscape(profile)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return "", fmt.Errorf("address of the server: %w", err)
	}
	if req.URL.Scheme != "https" && !loopback(req.URL.Hostname()) {
		return "", fmt.Errorf("%s is not an https address: the token would be sent in the clear", r.Server)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("ask %s for the dossier: %w", r.Server, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", refusal(resp)
	}
	if out == "" {
		_, params, _ := mime.ParseMediaType(resp.Header.Get("Content-Disposition"))
		out = filepath.Base(params["filename"])
		if !strings.HasSuffix(out, ".zip") || strings.HasPrefix(out, ".") {
			out = "dossier.zip"
		}
	}
	if _, err := os.Lstat(out); err == nil {
		return "", fmt.Errorf("%s is there already: give another name with --out", out)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, dossier.MaxArchive+1))
	if err != nil {
		return "", fmt.Errorf("receive dossier: %w", err)
	}
	if len(data) > dossier.MaxArchive {
		return "", fmt.Errorf("dossier is larger than %d bytes", dossier.MaxArchive)
	}
	return out, tlog.WriteFile(out, data)
}

func loopback(host string) bool { return host == "127.0.0.1" || host == "::1" || host == "localhost" }

func (r *Remote) client() (*http.Client, error) {
	c := &http.Client{Timeout: 5 * time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("server sends elsewhere: the token stays here")
	}}
	if r.CA == "" {
		return c, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if err := tlsfile.AddAuthorities(pool, r.CA); err != nil {
		return nil, err
	}
	c.Transport = &http.Transport{TLSClientConfig: tlsfile.Trusting(pool)}
	return c, nil
}

// refusal says what the server said.
func refusal(resp *http.Response) error {
	var p struct {
		Detail string `json:"detail"`
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxKey))
	if json.Unmarshal(body, &p) != nil || p.Detail == "" {
		return fmt.Errorf("server answers %s", resp.Status)
	}
	return fmt.Errorf("server refuses: %s", p.Detail)
}
