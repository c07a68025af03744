package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"os"
	"sort"
	"strconv"

	"github.com/google/uuid"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7/graph"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7/licensing"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7/memberentitlementmanagement"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7/taskagent"
)

const devops = "azure-devops-go-api"

func connect(url, authorization string) *azuredevops.Connection {
	connection := azuredevops.NewAnonymousConnection(url)
	connection.AuthorizationString = authorization
	return connection
}

// refused checks with which status and under which name the service said no.
func refused(err error, status int, typeKey string) {
	wrapped, is := err.(azuredevops.WrappedError)
	holds(is, err)
	equal(*wrapped.StatusCode, status)
	equal(*wrapped.TypeKey, typeKey)
}

func useAzureDevOps(ctx context.Context, token string) {
	agents := must(taskagent.NewClient(ctx, connect(organizationURL, "Bearer "+token)))
	pool := pools(ctx, agents)
	key := must(rsa.GenerateKey(rand.Reader, 2048))
	agent := register(ctx, agents, pool, key)
	session(ctx, agents, pool, agent, key)
	entitlementAndRole(ctx, token, pool)

	check(agents.DeleteAgent(ctx, taskagent.DeleteAgentArgs{PoolId: &pool, AgentId: agent.Id}))
	equal(len(*must(agents.GetAgents(ctx, taskagent.GetAgentsArgs{PoolId: &pool}))), 0)
	done(devops, "agents: delete")
	_, err := agents.GetAgent(ctx, taskagent.GetAgentArgs{PoolId: &pool, AgentId: agent.Id})
	refused(err, 404, "TaskAgentNotFoundException")
	done(devops, "agents: a deleted one is refused")

	// As Basic with any user name, the way in which scripts pass the token on as if it were a personal access token.
	legacy := must(taskagent.NewClient(ctx, azuredevops.NewPatConnection(legacyURL, token)))
	found := *must(legacy.GetAgentPools(ctx, taskagent.GetAgentPoolsArgs{PoolName: &poolName}))
	equal([]int{len(found), *found[0].Id}, []int{1, pool})
	added := must(legacy.AddAgent(ctx, taskagent.AddAgentArgs{Agent: description(key, "green"), PoolId: &pool}))
	listed := *must(legacy.GetAgents(ctx, taskagent.GetAgentsArgs{PoolId: &pool}))
	equal([]int{len(listed), *listed[0].Id}, []int{1, *added.Id})
	check(legacy.DeleteAgent(ctx, taskagent.DeleteAgentArgs{PoolId: &pool, AgentId: added.Id}))
	done(devops, "ORGANIZATION.visualstudio.com: add and delete an agent")

	gateway(ctx, token, pool, key)

	_, err = taskagent.NewClient(ctx, connect(organizationURL, "Bearer x.y.z"))
	holds(err != nil, err)
	done(devops, "a wrong token is refused")
}

// gateway uses the same client in a pod whose agent reaches Azure DevOps through its sidecar.
func gateway(ctx context.Context, token string, pool int, key *rsa.PrivateKey) {
	url := os.Getenv("GATEWAY_URL")
	agents := must(taskagent.NewClient(ctx, azuredevops.NewPatConnection(url, os.Getenv("TICKET"))))
	found := *must(agents.GetAgentPools(ctx, taskagent.GetAgentPoolsArgs{PoolName: &poolName}))
	equal([]int{len(found), *found[0].Id}, []int{1, pool})
	equal(len(*must(agents.GetAgents(ctx, taskagent.GetAgentsArgs{PoolId: &pool, AgentName: to(agentName)}))), 0)
	added := must(agents.AddAgent(ctx, taskagent.AddAgentArgs{Agent: description(key, "green"), PoolId: &pool}))
	listed := *must(agents.GetAgents(ctx, taskagent.GetAgentsArgs{PoolId: &pool}))
	equal([]int{len(listed), *listed[0].Id}, []int{1, *added.Id})
	update := func(enabled bool) (*taskagent.TaskAgent, error) {
		wanted := &taskagent.TaskAgent{Id: added.Id, Enabled: &enabled}
		return agents.UpdateAgent(ctx, taskagent.UpdateAgentArgs{Agent: wanted, PoolId: &pool, AgentId: added.Id})
	}
	equal(*must(update(false)).Enabled, false)
	_, err := update(true)
	refused(err, 403, "AccessDeniedException")
	_, err = agents.GetAgentPools(ctx, taskagent.GetAgentPoolsArgs{PoolName: to("second")})
	refused(err, 403, "AccessDeniedException")
	_, err = agents.GetAgent(ctx, taskagent.GetAgentArgs{PoolId: &pool, AgentId: to(*added.Id + 1)})
	refused(err, 403, "AccessDeniedException")
	err = agents.DeleteAgent(ctx, taskagent.DeleteAgentArgs{PoolId: &pool, AgentId: to(*added.Id + 1)})
	refused(err, 403, "AccessDeniedException")
	check(agents.DeleteAgent(ctx, taskagent.DeleteAgentArgs{PoolId: &pool, AgentId: added.Id}))
	equal(len(*must(agents.GetAgents(ctx, taskagent.GetAgentsArgs{PoolId: &pool}))), 0)
	done(devops, "gateway: the ticket is for this pod's agent and for nothing else")
	own := must(taskagent.NewClient(ctx, connect(url, "Bearer "+token)))
	equal(len(*must(own.GetAgentPools(ctx, taskagent.GetAgentPoolsArgs{}))), 2)
	done(devops, "gateway: another credential works as without it")
}

func pools(ctx context.Context, agents taskagent.Client) int {
	ids := map[string]int{}
	names := func(found *[]taskagent.TaskAgentPool) []string {
		names := []string{}
		for _, one := range *found {
			ids[*one.Name] = *one.Id
			names = append(names, *one.Name)
		}
		sort.Strings(names)
		return names
	}
	both := []string{poolName, "second"}
	sort.Strings(both)
	equal(names(must(agents.GetAgentPools(ctx, taskagent.GetAgentPoolsArgs{}))), both)
	done(devops, "pools: list")
	named := func(name string) []string {
		return names(must(agents.GetAgentPools(ctx, taskagent.GetAgentPoolsArgs{PoolName: &name})))
	}
	equal(named(poolName), []string{poolName})
	equal(named("none"), []string{})
	done(devops, "pools: by name")
	id := ids[poolName]
	pool := must(agents.GetAgentPool(ctx, taskagent.GetAgentPoolArgs{PoolId: &id}))
	equal([]any{*pool.Id, *pool.Name, *pool.IsHosted}, []any{id, poolName, false})
	done(devops, "pools: by id")
	byIds := taskagent.GetAgentPoolsByIdsArgs{PoolIds: &[]int{ids["second"]}}
	equal(names(must(agents.GetAgentPoolsByIds(ctx, byIds))), []string{"second"})
	done(devops, "pools: by ids")
	permitted := func(pool, bits int) (is bool) {
		route := map[string]string{"poolId": strconv.Itoa(pool), "permissions": strconv.Itoa(bits)}
		raw := generic{&agents.(*taskagent.ClientImpl).Client}
		check(raw.call(ctx, "GET", "162778f3-4b48-48f3-9d58-436fb9c407bc", route, nil, nil, &is))
		return is
	}
	// Administrator of the one, with Manage (2) and without Listen (4); Reader of the other.
	equal([]bool{permitted(id, 2), permitted(id, 4)}, []bool{true, false})
	equal([]bool{permitted(ids["second"], 1), permitted(ids["second"], 2)}, []bool{true, false})
	done(devops, "pools: permissions")
	_, err := agents.GetAgentPool(ctx, taskagent.GetAgentPoolArgs{PoolId: to(99999)})
	refused(err, 404, "TaskAgentPoolNotFoundException")
	done(devops, "pools: an unknown one is refused")
	return id
}

// description of a new agent, as config.sh sends it.
func description(key *rsa.PrivateKey, color string) *taskagent.TaskAgent {
	return &taskagent.TaskAgent{
		Name:           to(agentName),
		Version:        to("4.255.0"),
		OsDescription:  to("Linux"),
		MaxParallelism: to(1),
		Authorization: &taskagent.TaskAgentAuthorization{PublicKey: &taskagent.TaskAgentPublicKey{
			Exponent: to(big.NewInt(int64(key.E)).Bytes()),
			Modulus:  to(key.N.Bytes()),
		}},
		SystemCapabilities: &map[string]string{"color": color},
	}
}

func register(ctx context.Context, agents taskagent.Client, pool int, key *rsa.PrivateKey) *taskagent.TaskAgent {
	add := taskagent.AddAgentArgs{Agent: description(key, "green"), PoolId: &pool}
	agent := must(agents.AddAgent(ctx, add))
	equal([]any{*agent.Name, *agent.Status, *agent.Enabled}, []any{agentName, taskagent.TaskAgentStatusValues.Offline, true})
	holds(*agent.Authorization.ClientId != uuid.Nil, agent.Authorization)
	done(devops, "agents: add")
	_, err := agents.AddAgent(ctx, add)
	refused(err, 409, "TaskAgentExistsException")
	done(devops, "agents: the same name again is refused")
	named := func(name string) []taskagent.TaskAgent {
		all := taskagent.GetAgentsArgs{PoolId: &pool, AgentName: &name, IncludeCapabilities: to(true)}
		return *must(agents.GetAgents(ctx, all))
	}
	found := named(agentName)
	equal([]int{len(found), *found[0].Id}, []int{1, *agent.Id})
	equal(*found[0].SystemCapabilities, map[string]string{"color": "green"})
	equal(len(named("nobody")), 0)
	done(devops, "agents: find by name with capabilities")
	get := func() *taskagent.TaskAgent {
		one := taskagent.GetAgentArgs{PoolId: &pool, AgentId: agent.Id, IncludeCapabilities: to(true)}
		return must(agents.GetAgent(ctx, one))
	}
	for _, change := range []struct {
		operation string
		enabled   bool
	}{{"disable", false}, {"enable", true}} {
		wanted := &taskagent.TaskAgent{Id: agent.Id, Enabled: &change.enabled}
		update := taskagent.UpdateAgentArgs{Agent: wanted, PoolId: &pool, AgentId: agent.Id}
		equal(*must(agents.UpdateAgent(ctx, update)).Enabled, change.enabled)
		equal(*get().Enabled, change.enabled)
		done(devops, "agents: "+change.operation)
	}
	replace := taskagent.ReplaceAgentArgs{Agent: description(key, "blue"), PoolId: &pool, AgentId: agent.Id}
	replaced := must(agents.ReplaceAgent(ctx, replace))
	equal(*replaced.Id, *agent.Id)
	now := get()
	equal([]any{*now.Name, *now.SystemCapabilities}, []any{agentName, map[string]string{"color": "blue"}})
	done(devops, "agents: replace")
	return replaced
}

func entitlementAndRole(ctx context.Context, token string, pool int) {
	administrator := connect(organizationURL, "Bearer "+os.Getenv("ADMINISTRATORS_TOKEN"))
	members := must(memberentitlementmanagement.NewClient(ctx, administrator))
	origin := os.Getenv("NEWCOMERS_OBJECT_ID")
	wanted := memberentitlementmanagement.ServicePrincipalEntitlement{
		AccessLevel: &licensing.AccessLevel{
			AccountLicenseType: to(licensing.AccountLicenseTypeValues.Express),
		},
		ProjectEntitlements: &[]memberentitlementmanagement.ProjectEntitlement{},
		ServicePrincipal: &graph.GraphServicePrincipal{
			Origin: to("aad"), OriginId: &origin, SubjectKind: to("servicePrincipal"),
		},
	}
	add := memberentitlementmanagement.AddServicePrincipalEntitlementArgs{ServicePrincipalEntitlement: &wanted}
	answer := must(members.AddServicePrincipalEntitlement(ctx, add))
	entitlement := answer.ServicePrincipalEntitlement
	equal([]any{*answer.IsSuccess, *entitlement.ServicePrincipal.OriginId}, []any{true, origin})
	done(devops, "entitlement: add")
	get := memberentitlementmanagement.GetServicePrincipalEntitlementArgs{ServicePrincipalId: entitlement.Id}
	found := must(members.GetServicePrincipalEntitlement(ctx, get))
	license := *found.AccessLevel.AccountLicenseType
	equal([]any{*found.Id, license}, []any{*entitlement.Id, licensing.AccountLicenseTypeValues.Express})
	done(devops, "entitlement: get")

	roles := roles{generic{connect(organizationURL, "Bearer "+token).GetClientByUrl(organizationURL)}, pool}
	id := entitlement.Id.String()
	reader := func(id string) []map[string]string {
		return []map[string]string{{"userId": id, "roleName": "Reader"}}
	}
	equal(roles.call(ctx, "PUT", reader(id)), map[string]string{id: "Reader"})
	equal(roles.call(ctx, "GET", nil)[id], "Reader")
	done(devops, "role: assign and list")
	equal(roles.call(ctx, "PUT", reader(uuid.NewString())), map[string]string{})
	done(devops, "role: an unknown identity is left out")
	roles.call(ctx, "PATCH", []string{id})
	equal(roles.call(ctx, "GET", nil)[id], "")
	done(devops, "role: remove")
	remove := memberentitlementmanagement.DeleteServicePrincipalEntitlementArgs{ServicePrincipalId: entitlement.Id}
	check(members.DeleteServicePrincipalEntitlement(ctx, remove))
	_, err := members.GetServicePrincipalEntitlement(ctx, get)
	holds(err != nil, err)
	done(devops, "entitlement: delete")
}
