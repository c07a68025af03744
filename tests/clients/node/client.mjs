// Microsoft's Node clients against the emulators: @azure/identity and azure-devops-node-api.
//
// One line for each operation, in the order of ../operations.rs; ends with an error at the first wrong answer. The package has
// no client for entitlements; they go through its own generic request, as its generated clients do it.

import { ClientAssertionCredential, DefaultAzureCredential, WorkloadIdentityCredential } from "@azure/identity";
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { readFileSync } from "node:fs";

const require = createRequire(import.meta.url);
const azdev = require("azure-devops-node-api");
const { VsoClient } = require("azure-devops-node-api/VsoClient.js");
const { TaskAgentStatus, TaskResult } = require("azure-devops-node-api/interfaces/TaskAgentInterfaces.js");

const environment = process.env;
const AZURE_DEVOPS = "499b84ac-1321-427f-aa17-267ca6975798";
const SCOPE = `${AZURE_DEVOPS}/.default`;
const POOL = environment.AZP_POOL;
const AGENT = "node-agent";
const NO_LOCK_TOKEN = "00000000-0000-0000-0000-000000000000";
const ROLES = "distributedtask.agentpoolrole";

const done = (name, operation) => console.log(`ok ${name}: ${operation}`);
const read = (variable) => readFileSync(environment[variable], "utf8");

// --- Entra -----------------------------------------------------------------------------------------------------------------

async function azureIdentity() {
  const name = "@azure/identity";
  const assertion = async () => read("AZURE_FEDERATED_TOKEN_FILE");
  const credentials = {
    WorkloadIdentityCredential: new WorkloadIdentityCredential(),
    ClientAssertionCredential: new ClientAssertionCredential(
      environment.AZURE_TENANT_ID,
      environment.AZURE_CLIENT_ID,
      assertion,
    ),
    DefaultAzureCredential: new DefaultAzureCredential(),
  };
  let last;
  for (const [operation, credential] of Object.entries(credentials)) {
    last = await credential.getToken(SCOPE);
    const claims = JSON.parse(Buffer.from(last.token.split(".")[1], "base64url").toString());
    assert.equal(claims.tid, environment.AZURE_TENANT_ID);
    assert.equal(claims.appid, environment.AZURE_CLIENT_ID);
    assert.equal(claims.aud, AZURE_DEVOPS);
    assert.ok(claims.exp * 1000 > Date.now() + 1800_000, `${claims.exp}`);
    assert.ok(Math.abs(claims.exp * 1000 - last.expiresOnTimestamp) <= 5000, `${last.expiresOnTimestamp}`);
    done(name, operation);
  }
  const stranger = new WorkloadIdentityCredential({ tokenFilePath: environment.STRANGERS_TOKEN_FILE });
  await assert.rejects(stranger.getToken(SCOPE), /AADSTS700213/);
  done(name, "another service account is refused: AADSTS700213");
  return last.token;
}

// --- Azure DevOps ----------------------------------------------------------------------------------------------------------

const client = "azure-devops-node-api";
const connect = (url, token) => new azdev.WebApi(url, azdev.getBearerHandler(token));
const refused = (call, statusCode, typeKey) =>
  assert.rejects(call, (error) => {
    assert.equal(error.statusCode, statusCode, error);
    assert.equal(error.result?.typeKey, typeKey, error);
    return true;
  });

async function azureDevOps(token) {
  const connection = connect(environment.AZP_URL, token);
  const agents = await connection.getTaskAgentApi();
  const pool = await pools(agents);
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const agent = await register(agents, pool, publicKey);
  await session(agents, pool, agent, privateKey);
  await entitlementAndRole(connection, pool);

  await agents.deleteAgent(pool, agent.id);
  assert.deepEqual(await agents.getAgents(pool), []);
  done(client, "agents: delete");
  // The package makes null of a 404.
  assert.equal(await agents.getAgent(pool, agent.id), null);
  done(client, "agents: a deleted one is refused");

  // As Basic with any user name, the way in which scripts pass the token on as if it were a personal access token.
  const basic = new azdev.WebApi(environment.LEGACY_URL, azdev.getPersonalAccessTokenHandler(token));
  const legacy = await basic.getTaskAgentApi();
  assert.deepEqual((await legacy.getAgentPools(POOL)).map((one) => one.id), [pool]);
  const added = await legacy.addAgent(description(AGENT, publicKey, { color: "green" }), pool);
  assert.deepEqual((await legacy.getAgents(pool)).map((one) => one.id), [added.id]);
  await legacy.deleteAgent(pool, added.id);
  done(client, "ORGANIZATION.visualstudio.com: add and delete an agent");

  await gateway(token, pool, publicKey);

  await assert.rejects(connect(environment.AZP_URL, "x.y.z").getTaskAgentApi(), { statusCode: 401 });
  done(client, "a wrong token is refused");
}

/** The same client in a pod whose agent reaches Azure DevOps through its sidecar. */
async function gateway(token, pool, publicKey) {
  const url = environment.GATEWAY_URL;
  const agents = await new azdev.WebApi(url, azdev.getPersonalAccessTokenHandler(environment.TICKET)).getTaskAgentApi();
  assert.deepEqual((await agents.getAgentPools(POOL)).map((one) => one.id), [pool]);
  assert.deepEqual(await agents.getAgents(pool, AGENT), []);
  const added = await agents.addAgent(description(AGENT, publicKey, { color: "green" }), pool);
  assert.deepEqual((await agents.getAgents(pool)).map((one) => one.id), [added.id]);
  assert.equal((await agents.updateAgent({ id: added.id, enabled: false }, pool, added.id)).enabled, false);
  for (const call of [
    () => agents.getAgentPools("second"),
    () => agents.getAgent(pool, added.id + 1),
    () => agents.updateAgent({ id: added.id, enabled: true }, pool, added.id),
    () => agents.deleteAgent(pool, added.id + 1),
  ]) {
    await refused(call(), 403, "AccessDeniedException");
  }
  await agents.deleteAgent(pool, added.id);
  assert.deepEqual(await agents.getAgents(pool), []);
  done(client, "gateway: the ticket is for this pod's agent and for nothing else");
  const own = await connect(url, token).getTaskAgentApi();
  assert.deepEqual((await own.getAgentPools()).map((one) => one.name).sort(), [POOL, "second"].sort());
  done(client, "gateway: another credential works as without it");
}

async function pools(agents) {
  const found = Object.fromEntries((await agents.getAgentPools()).map((one) => [one.name, one.id]));
  assert.deepEqual(Object.keys(found).sort(), [POOL, "second"].sort());
  done(client, "pools: list");
  assert.deepEqual((await agents.getAgentPools(POOL)).map((one) => one.name), [POOL]);
  assert.deepEqual(await agents.getAgentPools("none"), []);
  done(client, "pools: by name");
  const pool = await agents.getAgentPool(found[POOL]);
  assert.deepEqual([pool.id, pool.name, pool.isHosted], [found[POOL], POOL, false]);
  done(client, "pools: by id");
  assert.deepEqual((await agents.getAgentPoolsByIds([found.second])).map((one) => one.name), ["second"]);
  done(client, "pools: by ids");
  const permitted = (pool, bits) => agents.hasPoolPermissions(pool, bits);
  // Administrator of the one, with Manage (2) and without Listen (4); Reader of the other.
  assert.deepEqual([await permitted(pool.id, 2), await permitted(pool.id, 4)], [true, false]);
  assert.deepEqual([await permitted(found.second, 1), await permitted(found.second, 2)], [true, false]);
  done(client, "pools: permissions");
  assert.equal(await agents.getAgentPool(99999), null);
  done(client, "pools: an unknown one is refused");
  return pool.id;
}

/** A new agent as `config.sh` describes it. */
function description(name, publicKey, systemCapabilities) {
  const { n, e } = publicKey.export({ format: "jwk" });
  const base64 = (number) => Buffer.from(number, "base64url").toString("base64");
  return {
    name,
    version: "4.255.0",
    osDescription: "Linux",
    maxParallelism: 1,
    authorization: { publicKey: { modulus: base64(n), exponent: base64(e) } },
    systemCapabilities,
  };
}

async function register(agents, pool, publicKey) {
  const agent = await agents.addAgent(description(AGENT, publicKey, { color: "green" }), pool);
  assert.deepEqual([agent.name, agent.status, agent.enabled], [AGENT, TaskAgentStatus.Offline, true]);
  assert.ok(agent.authorization.clientId);
  done(client, "agents: add");
  await refused(agents.addAgent(description(AGENT, publicKey, {}), pool), 409, "TaskAgentExistsException");
  done(client, "agents: the same name again is refused");
  const found = await agents.getAgents(pool, AGENT, true);
  assert.deepEqual(found.map((one) => [one.id, one.systemCapabilities]), [[agent.id, { color: "green" }]]);
  assert.deepEqual(await agents.getAgents(pool, "nobody"), []);
  done(client, "agents: find by name with capabilities");
  for (const [operation, enabled] of [["disable", false], ["enable", true]]) {
    assert.equal((await agents.updateAgent({ id: agent.id, enabled }, pool, agent.id)).enabled, enabled);
    assert.equal((await agents.getAgent(pool, agent.id)).enabled, enabled);
    done(client, `agents: ${operation}`);
  }
  const replaced = await agents.replaceAgent(description(AGENT, publicKey, { color: "blue" }), pool, agent.id);
  assert.equal(replaced.id, agent.id);
  const now = await agents.getAgent(pool, agent.id, true);
  assert.deepEqual([now.name, now.systemCapabilities], [AGENT, { color: "blue" }]);
  done(client, "agents: replace");
  return replaced;
}

async function ownToken(agent, privateKey) {
  const { clientId, authorizationUrl } = agent.authorization;
  const now = Math.floor(Date.now() / 1000);
  const encoded = (part) => Buffer.from(JSON.stringify(part)).toString("base64url");
  const claims = { iss: clientId, sub: clientId, aud: authorizationUrl, jti: randomUUID(), nbf: now, exp: now + 300 };
  const signed = `${encoded({ alg: "RS256", typ: "JWT" })}.${encoded(claims)}`;
  const answer = await fetch(authorizationUrl, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "client_credentials",
      client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
      client_assertion: `${signed}.${sign("sha256", Buffer.from(signed), privateKey).toString("base64url")}`,
    }),
  });
  assert.equal(answer.status, 200);
  return (await answer.json()).access_token;
}

async function session(agents, pool, agent, privateKey) {
  const own = connect(environment.AZP_URL, await ownToken(agent, privateKey));
  const listener = await own.getTaskAgentApi();
  done(client, "session: a token of the agent's own");
  const wanted = { ownerName: "host-1", agent: { id: agent.id, name: AGENT } };
  const opened = await listener.createAgentSession(wanted, pool);
  assert.deepEqual([opened.ownerName, opened.agent.id], ["host-1", agent.id]);
  assert.equal((await agents.getAgent(pool, agent.id)).status, TaskAgentStatus.Online);
  done(client, "session: create");
  // Under the same name, as a listener that was killed and started again.
  await refused(listener.createAgentSession(wanted, pool), 409, "TaskAgentSessionConflictException");
  done(client, "session: a second one is refused");

  const first = await takeJob(listener, pool, opened.sessionId, "first");
  done(client, "session: get the message with a job");
  await listener.deleteMessage(pool, first.message, opened.sessionId);
  done(client, "session: delete the message");
  const { requestId } = first.job;
  const renew = () => listener.updateAgentRequest({ requestId }, pool, requestId, NO_LOCK_TOKEN);
  const renewed = await renew();
  assert.equal(renewed.requestId, requestId);
  assert.ok(renewed.lockedUntil > new Date(Date.now() + 60_000), `${renewed.lockedUntil}`);
  done(client, "session: renew the job");
  const busy = await agents.getAgent(pool, agent.id, false, true);
  assert.deepEqual([busy.assignedRequest.requestId, busy.assignedRequest.jobName], [requestId, "first"]);
  await refused(agents.deleteAgent(pool, agent.id), 400, "TaskAgentJobStillRunningException");
  done(client, "agents: a busy one cannot be deleted");
  await jobCompleted(first.job);
  assert.equal((await listener.getAgentRequest(pool, requestId)).result, TaskResult.Succeeded);
  const idle = await agents.getAgent(pool, agent.id, false, true, true);
  assert.deepEqual([idle.assignedRequest, idle.lastCompletedRequest.requestId], [undefined, requestId]);
  done(client, "session: the worker finishes the job");
  await refused(renew(), 400, "TaskAgentJobTokenExpiredException");
  done(client, "session: a finished job cannot be renewed");

  const { message, job } = await takeJob(listener, pool, opened.sessionId, "second");
  await listener.deleteMessage(pool, message, opened.sessionId);
  const finish = { requestId: job.requestId, finishTime: new Date(), result: TaskResult.Succeeded };
  await listener.updateAgentRequest(finish, pool, job.requestId, NO_LOCK_TOKEN);
  assert.equal((await listener.getAgentRequest(pool, job.requestId)).result, TaskResult.Succeeded);
  done(client, "session: the listener finishes a job");
  await listener.deleteAgentSession(pool, opened.sessionId);
  assert.equal((await agents.getAgent(pool, agent.id)).status, TaskAgentStatus.Offline);
  done(client, "session: delete");
}

/** Queues a job over the emulators' control port. Returns the id of the message that brings it, and what it says. */
async function takeJob(listener, pool, sessionId, name) {
  const queued = await fetch(`${environment.CONTROL}/jobs`, { method: "POST", body: JSON.stringify({ pool: POOL, name }) });
  assert.equal(queued.status, 200);
  const message = await listener.getMessage(pool, sessionId);
  assert.equal(message.messageType, "PipelineAgentJobRequest");
  const job = JSON.parse(message.body);
  assert.deepEqual([job.requestId, job.jobDisplayName], [(await queued.json()).id, name]);
  return { message: message.messageId, job };
}

/** The worker's last word, with the token of its job. */
async function jobCompleted({ plan, jobId, requestId, resources }) {
  const [endpoint] = resources.endpoints;
  const worker = connect(endpoint.url, endpoint.authorization.parameters.AccessToken);
  const { scopeIdentifier, planType, planId } = plan;
  const call = generic(worker, "distributedtask");
  const event = { name: "JobCompleted", jobId, requestId, result: "succeeded" };
  await call("create", "557624af-b29e-4c20-8ab0-0399d2204f3f", { scopeIdentifier, hubName: planType, planId }, event);
}

/** Calls a resource of an area by its location id, as the package's clients do it. */
function generic(connection, area, url = connection.serverUrl) {
  const locations = new VsoClient(url, connection.rest);
  return async (method, location, routeValues, body) => {
    const { requestUrl, apiVersion } = await locations.getVersioningData("7.1-preview.1", area, location, routeValues);
    const options = { acceptHeader: `application/json;api-version=${apiVersion}` };
    const parameters = body === undefined ? [requestUrl, options] : [requestUrl, body, options];
    return (await connection.rest[method](...parameters)).result;
  };
}

async function entitlementAndRole(connection, pool) {
  const administrator = connect(environment.AZP_URL, environment.ADMINISTRATORS_TOKEN);
  const locations = await administrator.getLocationsApi();
  const area = await locations.getResourceArea("68ddce18-2501-45f1-a17b-7931a9922690");
  const call = generic(administrator, area.name, area.locationUrl);
  const all = "f03dbf50-80f8-41b7-8ca2-65b6a178caba";
  const one = "1d491a66-190b-43ae-86b8-9c2688c55186";
  const originId = environment.NEWCOMERS_OBJECT_ID;
  const answer = await call("create", all, {}, {
    accessLevel: { accountLicenseType: "express" },
    projectEntitlements: [],
    servicePrincipal: { origin: "aad", originId, subjectKind: "servicePrincipal" },
  });
  assert.equal(answer.isSuccess, true);
  assert.equal(answer.servicePrincipalEntitlement.servicePrincipal.originId, originId);
  const { id } = answer.servicePrincipalEntitlement;
  done(client, "entitlement: add");
  const found = await call("get", one, { servicePrincipalId: id });
  assert.deepEqual([found.id, found.accessLevel.accountLicenseType], [id, "express"]);
  done(client, "entitlement: get");

  const roles = await connection.getSecurityRolesApi();
  const named = (assignments) => Object.fromEntries(assignments.map((one) => [one.identity.id, one.role.name]));
  const assigned = await roles.setRoleAssignments([{ userId: id, roleName: "Reader" }], ROLES, `${pool}`);
  assert.deepEqual(named(assigned), { [id]: "Reader" });
  assert.equal(named(await roles.getRoleAssignments(ROLES, `${pool}`))[id], "Reader");
  done(client, "role: assign and list");
  const unknown = [{ userId: randomUUID(), roleName: "Reader" }];
  assert.deepEqual(await roles.setRoleAssignments(unknown, ROLES, `${pool}`), []);
  done(client, "role: an unknown identity is left out");
  await roles.removeRoleAssignments([id], ROLES, `${pool}`);
  assert.equal(named(await roles.getRoleAssignments(ROLES, `${pool}`))[id], undefined);
  done(client, "role: remove");
  await call("del", one, { servicePrincipalId: id });
  assert.equal(await call("get", one, { servicePrincipalId: id }), null);
  done(client, "entitlement: delete");
}

for (const name of ["@azure/identity", client]) {
  const file = new URL(`node_modules/${name}/package.json`, import.meta.url);
  console.log(`client ${name} ${JSON.parse(readFileSync(file)).version}`);
}
await azureDevOps(await azureIdentity());
