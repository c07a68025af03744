package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// signIn tries all ways and returns a token.
func signIn(ctx context.Context) string {
	const client = "azidentity"
	scope := policy.TokenRequestOptions{Scopes: []string{azureDevOps + "/.default"}}
	assertion := func(context.Context) (string, error) {
		token, err := os.ReadFile(os.Getenv("AZURE_FEDERATED_TOKEN_FILE"))
		return string(token), err
	}
	var last azcore.AccessToken
	for _, one := range []struct {
		name       string
		credential azcore.TokenCredential
	}{
		{"WorkloadIdentityCredential", must(azidentity.NewWorkloadIdentityCredential(nil))},
		{"ClientAssertionCredential", must(azidentity.NewClientAssertionCredential(tenant, clientID, assertion, nil))},
		{"DefaultAzureCredential", must(azidentity.NewDefaultAzureCredential(nil))},
	} {
		last = must(one.credential.GetToken(ctx, scope))
		var claims struct {
			Tid, Appid, Aud string
			Exp             int64
		}
		payload := must(base64.RawURLEncoding.DecodeString(strings.Split(last.Token, ".")[1]))
		check(json.Unmarshal(payload, &claims))
		equal([]string{claims.Tid, claims.Appid, claims.Aud}, []string{tenant, clientID, azureDevOps})
		holds(time.Now().Unix()+1800 < claims.Exp, claims)
		difference := claims.Exp - last.ExpiresOn.Unix()
		holds(-5 <= difference && difference <= 5, difference)
		done(client, one.name)
	}
	stranger := must(azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		TokenFilePath: os.Getenv("STRANGERS_TOKEN_FILE"),
	}))
	_, err := stranger.GetToken(ctx, scope)
	holds(err != nil && strings.Contains(err.Error(), "AADSTS700213"), err)
	done(client, "another service account is refused: AADSTS700213")
	return last.Token
}
