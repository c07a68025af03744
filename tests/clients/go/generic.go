package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7/taskagent"
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

// ownToken is what an agent trades its key for.
func ownToken(agent *taskagent.TaskAgent, key *rsa.PrivateKey) string {
	client, address := agent.Authorization.ClientId.String(), *agent.Authorization.AuthorizationUrl
	now := time.Now().Unix()
	encoded := func(part map[string]any) string {
		return base64.RawURLEncoding.EncodeToString(must(json.Marshal(part)))
	}
	signed := encoded(map[string]any{"alg": "RS256", "typ": "JWT"}) + "." + encoded(map[string]any{
		"iss": client, "sub": client, "aud": address, "jti": uuid.NewString(), "nbf": now, "exp": now + 300,
	})
	digest := sha256.Sum256([]byte(signed))
	signature := must(rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:]))
	response := must(http.PostForm(address, url.Values{
		"grant_type":            {"client_credentials"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {signed + "." + base64.RawURLEncoding.EncodeToString(signature)},
	}))
	defer response.Body.Close()
	equal(response.StatusCode, 200)
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	check(json.NewDecoder(response.Body).Decode(&answer))
	return answer.AccessToken
}

// queueJob over the emulators' control port.
func queueJob(name string) int {
	body := fmt.Sprintf(`{"pool": %q, "name": %q}`, poolName, name)
	response := must(http.Post(os.Getenv("CONTROL")+"/jobs", "application/json", strings.NewReader(body)))
	defer response.Body.Close()
	equal(response.StatusCode, 200)
	var queued struct{ Id int }
	check(json.NewDecoder(response.Body).Decode(&queued))
	return queued.Id
}

func session(ctx context.Context, agents taskagent.Client, pool int, agent *taskagent.TaskAgent, key *rsa.PrivateKey) {
	const (
		sessions = "134e239e-2df3-4794-a6f6-24f1f19ec8dc"
		messages = "c3a054f6-7a8a-49c0-944e-3a8e5d7adfd7"
		requests = "fc825784-c92a-4299-9221-998a02d1b54f"
	)
	listener := generic{connect(organizationURL, "Bearer "+ownToken(agent, key)).GetClientByUrl(organizationURL)}
	done(devops, "session: a token of the agent's own")
	get := func() *taskagent.TaskAgent {
		one := taskagent.GetAgentArgs{
			PoolId: &pool, AgentId: agent.Id, IncludeAssignedRequest: to(true), IncludeLastCompletedRequest: to(true),
		}
		return must(agents.GetAgent(ctx, one))
	}
	route := func(more ...string) map[string]string {
		route := map[string]string{"poolId": strconv.Itoa(pool)}
		for at := 0; at < len(more); at += 2 {
			route[more[at]] = more[at+1]
		}
		return route
	}
	wanted := func(owner string) any {
		return map[string]any{"ownerName": owner, "agent": map[string]any{"id": *agent.Id, "name": agentName}}
	}
	var opened struct {
		SessionId, OwnerName string
		Agent                struct{ Id int }
	}
	check(listener.call(ctx, "POST", sessions, route(), nil, wanted("host-1"), &opened))
	equal([]any{opened.OwnerName, opened.Agent.Id}, []any{"host-1", *agent.Id})
	equal(*get().Status, taskagent.TaskAgentStatusValues.Online)
	done(devops, "session: create")
	err := listener.call(ctx, "POST", sessions, route(), nil, wanted("host-2"), nil)
	refused(err, 409, "TaskAgentSessionConflictException")
	done(devops, "session: a second one is refused")

	job := queueJob("build")
	ofSession := url.Values{"sessionId": {opened.SessionId}}
	var message struct {
		MessageId         int
		MessageType, Body string
	}
	check(listener.call(ctx, "GET", messages, route(), ofSession, nil, &message))
	equal(message.MessageType, "PipelineAgentJobRequest")
	var brought struct{ RequestId int }
	check(json.Unmarshal([]byte(message.Body), &brought))
	equal(brought.RequestId, job)
	done(devops, "session: get the message with a job")
	check(listener.call(ctx, "DELETE", messages, route("messageId", strconv.Itoa(message.MessageId)), ofSession, nil, nil))
	done(devops, "session: delete the message")
	ofJob := route("requestId", strconv.Itoa(job))
	lock := url.Values{"lockToken": {uuid.Nil.String()}}
	var held taskagent.TaskAgentJobRequest
	check(listener.call(ctx, "PATCH", requests, ofJob, lock, map[string]any{"requestId": job}, &held))
	equal(*held.RequestId, uint64(job))
	holds(held.LockedUntil.Time.After(time.Now().Add(time.Minute)), held.LockedUntil)
	done(devops, "session: renew the job")
	busy := get().AssignedRequest
	equal([]any{*busy.RequestId, *busy.JobName}, []any{uint64(job), "build"})
	err = agents.DeleteAgent(ctx, taskagent.DeleteAgentArgs{PoolId: &pool, AgentId: agent.Id})
	refused(err, 400, "TaskAgentJobStillRunningException")
	done(devops, "agents: a busy one cannot be deleted")
	finish := map[string]any{"requestId": job, "finishTime": time.Now().UTC(), "result": "succeeded"}
	check(listener.call(ctx, "PATCH", requests, ofJob, lock, finish, nil))
	var finished taskagent.TaskAgentJobRequest
	check(listener.call(ctx, "GET", requests, ofJob, nil, nil, &finished))
	equal(*finished.Result, taskagent.TaskResultValues.Succeeded)
	idle := get()
	holds(idle.AssignedRequest == nil, idle.AssignedRequest)
	equal(*idle.LastCompletedRequest.RequestId, uint64(job))
	done(devops, "session: finish the job")
	check(listener.call(ctx, "DELETE", sessions, route("sessionId", opened.SessionId), nil, nil, nil))
	equal(*get().Status, taskagent.TaskAgentStatusValues.Offline)
	done(devops, "session: delete")
}
