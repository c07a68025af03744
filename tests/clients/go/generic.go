package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/google/uuid"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7"
)

// generic sends requests for which azure-devops-go-api has no client of its own.
type generic struct {
	client *azuredevops.Client
}

// call a resource by its location id. No answer is read where none is wanted.
func (g generic) call(ctx context.Context, method, location string, route map[string]string, query url.Values, body, answer any) error {
	var content io.Reader
	mediaType := ""
	if body != nil {
		content, mediaType = bytes.NewReader(must(json.Marshal(body))), "application/json"
	}
	id := uuid.MustParse(location)
	response, err := g.client.Send(ctx, method, id, "7.1-preview.1", route, query, content, mediaType, "application/json", nil)
	if err != nil || answer == nil {
		return err
	}
	return g.client.UnmarshalBody(response, answer)
}

// roles of a pool. `securityroles` is in no resource area, so the address is written out, as the documentation has it.
type roles struct {
	generic
	pool int
}

// call returns the names of the roles by identity.
func (r roles) call(ctx context.Context, method string, body any) map[string]string {
	const path = "%s/_apis/securityroles/scopes/distributedtask.agentpoolrole/roleassignments/resources/%d"
	address := fmt.Sprintf(path, organizationURL, r.pool)
	content := bytes.NewReader(must(json.Marshal(body)))
	request := must(r.client.CreateRequestMessage(ctx, method, address, "7.1-preview.1", content, "application/json", "application/json", nil))
	response := must(r.client.SendRequest(request))
	named := map[string]string{}
	if method == http.MethodPatch {
		return named
	}
	var assignments []struct {
		Identity struct{ Id string }
		Role     struct{ Name string }
	}
	check(r.client.UnmarshalCollectionBody(response, &assignments))
	for _, one := range assignments {
		named[one.Identity.Id] = one.Role.Name
	}
	return named
}
