package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7/taskagent"
)

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

// job as its message describes it.
type job struct {
	RequestId      int
	JobId          string
	JobDisplayName string
	Plan           struct{ ScopeIdentifier, PlanType, PlanId string }
	Resources      struct {
		Endpoints []struct {
			Url           string
			Authorization struct{ Parameters struct{ AccessToken string } }
		}
	}
}

// completed is the worker's last word, with the token of its job.
func (j job) completed(ctx context.Context) error {
	endpoint := j.Resources.Endpoints[0]
	connection := connect(endpoint.Url, "Bearer "+endpoint.Authorization.Parameters.AccessToken)
	route := map[string]string{
		"scopeIdentifier": j.Plan.ScopeIdentifier, "hubName": j.Plan.PlanType, "planId": j.Plan.PlanId,
	}
	event := map[string]any{"name": "JobCompleted", "jobId": j.JobId, "requestId": j.RequestId, "result": "succeeded"}
	worker := generic{connection.GetClientByUrl(endpoint.Url)}
	return worker.call(ctx, "POST", "557624af-b29e-4c20-8ab0-0399d2204f3f", route, nil, event, nil)
}

// queue a job over the emulators' control port; returns its id.
func queue(name string) int {
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
	wanted := map[string]any{"ownerName": "host-1", "agent": map[string]any{"id": *agent.Id, "name": agentName}}
	var opened struct {
		SessionId, OwnerName string
		Agent                struct{ Id int }
	}
	check(listener.call(ctx, "POST", sessions, route(), nil, wanted, &opened))
	equal([]any{opened.OwnerName, opened.Agent.Id}, []any{"host-1", *agent.Id})
	equal(*get().Status, taskagent.TaskAgentStatusValues.Online)
	done(devops, "session: create")
	// Under the same name, as a listener that was killed and started again.
	err := listener.call(ctx, "POST", sessions, route(), nil, wanted, nil)
	refused(err, 409, "TaskAgentSessionConflictException")
	done(devops, "session: a second one is refused")

	ofSession := url.Values{"sessionId": {opened.SessionId}}
	take := func(name string) (message string, taken job) {
		id := queue(name)
		var next struct {
			MessageId         int
			MessageType, Body string
		}
		check(listener.call(ctx, "GET", messages, route(), ofSession, nil, &next))
		equal(next.MessageType, "PipelineAgentJobRequest")
		check(json.Unmarshal([]byte(next.Body), &taken))
		equal([]any{taken.RequestId, taken.JobDisplayName}, []any{id, name})
		return strconv.Itoa(next.MessageId), taken
	}
	deleteMessage := func(message string) {
		check(listener.call(ctx, "DELETE", messages, route("messageId", message), ofSession, nil, nil))
	}
	update := func(id int, change map[string]any, answer any) error {
		change["requestId"] = id
		lock := url.Values{"lockToken": {uuid.Nil.String()}}
		return listener.call(ctx, "PATCH", requests, route("requestId", strconv.Itoa(id)), lock, change, answer)
	}
	succeeded := func(id int) {
		var request taskagent.TaskAgentJobRequest
		check(listener.call(ctx, "GET", requests, route("requestId", strconv.Itoa(id)), nil, nil, &request))
		equal(*request.Result, taskagent.TaskResultValues.Succeeded)
	}

	message, first := take("first")
	done(devops, "session: get the message with a job")
	deleteMessage(message)
	done(devops, "session: delete the message")
	var held taskagent.TaskAgentJobRequest
	check(update(first.RequestId, map[string]any{}, &held))
	equal(*held.RequestId, uint64(first.RequestId))
	holds(held.LockedUntil.Time.After(time.Now().Add(time.Minute)), held.LockedUntil)
	done(devops, "session: renew the job")
	busy := get().AssignedRequest
	equal([]any{*busy.RequestId, *busy.JobName}, []any{uint64(first.RequestId), "first"})
	err = agents.DeleteAgent(ctx, taskagent.DeleteAgentArgs{PoolId: &pool, AgentId: agent.Id})
	refused(err, 400, "TaskAgentJobStillRunningException")
	done(devops, "agents: a busy one cannot be deleted")
	check(first.completed(ctx))
	succeeded(first.RequestId)
	idle := get()
	holds(idle.AssignedRequest == nil, idle.AssignedRequest)
	equal(*idle.LastCompletedRequest.RequestId, uint64(first.RequestId))
	done(devops, "session: the worker finishes the job")
	refused(update(first.RequestId, map[string]any{}, nil), 400, "TaskAgentJobTokenExpiredException")
	done(devops, "session: a finished job cannot be renewed")

	message, second := take("second")
	deleteMessage(message)
	check(update(second.RequestId, map[string]any{"finishTime": time.Now().UTC(), "result": "succeeded"}, nil))
	succeeded(second.RequestId)
	done(devops, "session: the listener finishes a job")
	check(listener.call(ctx, "DELETE", sessions, route("sessionId", opened.SessionId), nil, nil, nil))
	equal(*get().Status, taskagent.TaskAgentStatusValues.Offline)
	done(devops, "session: delete")
}
