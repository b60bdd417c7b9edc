package office_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/api/auth"
	"github.com/palladium-guard/palladium/app/office"
	"github.com/palladium-guard/palladium/console"
	"github.com/palladium-guard/palladium/store/catalog"
)

// Sign-in through a real OpenID Connect provider, by keyboard, in a real browser: see console/ui/e2e/oidc.e2e.ts.
func TestOIDCInBrowser(t *testing.T) {
	if os.Getenv("PALLADIUM_BROWSER") == "" {
		t.Skip("drives Chromium: set PALLADIUM_BROWSER=1, or run make browser")
	}
	provider := httptest.NewUnstartedServer(nil)
	provider.Start()
	defer provider.Close()
	users := storage.NewUserStore(provider.URL)
	r := start(t, func(o *office.Options) {
		o.Origin = ""
		o.SignIn.OIDC = &auth.OIDCConfig{Name: "Example IdP", Issuer: provider.URL, ClientID: "palladium", ClientSecret: "s3cret"}
	})
	clients := map[string]*storage.Client{"palladium": storage.WebClient("palladium", "s3cret", r.url+"/api/v1/session/oidc/callback")}
	provider.Config.Handler = exampleop.SetupServer(provider.URL, storage.NewStorageWithClients(users, clients), nil, false, op.WithAllowInsecure())
	r.people()
	page, err := console.Handler()
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	r.office.Register(mux)
	mux.Handle("/", page)
	r.server.Config.Handler = mux
	_, err = r.store.PutUser(t.Context(), catalog.User{ID: "u_oidc", Name: "from the provider", Role: string(api.Analyst), Subject: provider.URL + "|id1", Created: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	host := strings.Split(strings.TrimPrefix(provider.URL, "http://"), ":")[0]
	cmd := exec.CommandContext(t.Context(), "npx", "vitest", "run", "--config", "vitest.browser.config.ts", "e2e/oidc.e2e.ts")
	cmd.Dir = "../../console/ui"
	cmd.Env = append(os.Environ(), "PALLADIUM_URL="+r.url, "PALLADIUM_OIDC=test-user@"+host)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}
