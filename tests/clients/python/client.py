"""Microsoft's Python clients against the emulators: azure-identity, msal and azure-devops.

One line for each operation, in the order of ../operations.rs; ends with an error at the first wrong answer. What the clients
themselves cannot do (sessions, roles) goes through azure-devops' own generic request, as its generated clients do it.
"""

import base64
import importlib.metadata
import json
import logging
import os
import time
import uuid
import warnings

import jwt
import msal
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.devops.client import Client
from azure.devops.connection import Connection
from azure.devops.exceptions import AzureDevOpsAuthenticationError, AzureDevOpsServiceError
from azure.devops.v7_1.member_entitlement_management.models import (
    AccessLevel,
    GraphServicePrincipal,
    ServicePrincipalEntitlement,
)
from azure.devops.v7_1.task_agent.models import TaskAgent, TaskAgentAuthorization, TaskAgentPublicKey
from azure.identity import ClientAssertionCredential, DefaultAzureCredential, WorkloadIdentityCredential
from cryptography.hazmat.primitives.asymmetric import rsa
from msrest.authentication import BasicAuthentication, BasicTokenAuthentication
from msrest.universal_http import ClientRequest

AZURE_DEVOPS = "499b84ac-1321-427f-aa17-267ca6975798"
SCOPE = f"{AZURE_DEVOPS}/.default"
TENANT = os.environ["AZURE_TENANT_ID"]
CLIENT = os.environ["AZURE_CLIENT_ID"]
AUTHORITY = os.environ["AZURE_AUTHORITY_HOST"]
ORGANIZATION_URL = os.environ["AZP_URL"]
LEGACY_URL = os.environ["LEGACY_URL"]
POOL = os.environ["AZP_POOL"]
AGENT = "python-agent"


def main():
    # Refusals that are wanted, and msal's advice against an assertion as text, which is in use all the same.
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore", DeprecationWarning)
    for package in ("azure-identity", "msal", "azure-devops"):
        print("client", package, importlib.metadata.version(package), flush=True)
    token = azure_identity()
    with_msal()
    azure_devops(token)


def done(package, operation):
    print(f"ok {package}: {operation}", flush=True)


def equal(actual, expected):
    if actual != expected:
        raise AssertionError(f"{actual!r} instead of {expected!r}")


def holds(claim, seen):
    if not claim:
        raise AssertionError(f"does not hold of {seen!r}")


def refusal(error, call):
    """The error that a call has to end with."""
    try:
        answer = call()
    except error as refused:
        return refused
    raise AssertionError(f"{answer!r} instead of {error.__name__}")


def read(variable):
    with open(os.environ[variable], encoding="utf-8") as file:
        return file.read()


# --- Entra ------------------------------------------------------------------------------------------------------------------


def valid(token, expires):
    """The token is the identity's, for Azure DevOps, and expires when the client says so."""
    claims = jwt.decode(token, options={"verify_signature": False})
    equal(claims["tid"], TENANT)
    equal(claims["appid"], CLIENT)
    equal(claims["aud"], AZURE_DEVOPS)
    holds(time.time() + 1800 < claims["exp"], claims["exp"])
    holds(abs(claims["exp"] - expires) <= 5, (claims["exp"], expires))


def azure_identity():
    package = "azure-identity"
    token = None
    for name, credential in (
        ("WorkloadIdentityCredential", WorkloadIdentityCredential()),
        (
            "ClientAssertionCredential",
            ClientAssertionCredential(TENANT, CLIENT, lambda: read("AZURE_FEDERATED_TOKEN_FILE")),
        ),
        ("DefaultAzureCredential", DefaultAzureCredential()),
    ):
        token = credential.get_token(SCOPE)
        valid(token.token, token.expires_on)
        done(package, name)
    stranger = WorkloadIdentityCredential(token_file_path=os.environ["STRANGERS_TOKEN_FILE"])
    refused = refusal(ClientAuthenticationError, lambda: stranger.get_token(SCOPE))
    holds("AADSTS700213" in refused.message, refused.message)
    done(package, "another service account is refused: AADSTS700213")
    return token.token


def with_msal():
    package = "msal"
    for operation, assertion in (
        ("client assertion as text", read("AZURE_FEDERATED_TOKEN_FILE")),
        ("client assertion from a function", lambda: read("AZURE_FEDERATED_TOKEN_FILE")),
    ):
        application = msal.ConfidentialClientApplication(
            CLIENT, authority=AUTHORITY + TENANT, client_credential={"client_assertion": assertion}
        )
        first = application.acquire_token_for_client([SCOPE])
        holds("access_token" in first, first)
        equal(first["token_source"], "identity_provider")
        valid(first["access_token"], time.time() + first["expires_in"])
        done(package, operation)
    second = application.acquire_token_for_client([SCOPE])
    equal(second["token_source"], "cache")
    equal(second["access_token"], first["access_token"])
    done(package, "token from the cache")
    stranger = msal.ConfidentialClientApplication(
        CLIENT, authority=AUTHORITY + TENANT, client_credential={"client_assertion": read("STRANGERS_TOKEN_FILE")}
    )
    refused = stranger.acquire_token_for_client([SCOPE])
    equal(refused["error_codes"], [700213])
    done(package, "another service account is refused: AADSTS700213")


# --- Azure DevOps -----------------------------------------------------------------------------------------------------------


class Generic(Client):
    """What an agent calls, by location id: the package has no client for it."""

    def _call(self, method, location, route, query=None, content=None):
        return self._send(method, location, "7.1-preview.1", route, query, content)

    def create(self, pool, session):
        location = "134e239e-2df3-4794-a6f6-24f1f19ec8dc"
        return self._call("POST", location, {"poolId": pool}, content=session).json()

    def delete(self, pool, session):
        location = "134e239e-2df3-4794-a6f6-24f1f19ec8dc"
        return self._call("DELETE", location, {"poolId": pool, "sessionId": session})

    def message(self, pool, session):
        location = "c3a054f6-7a8a-49c0-944e-3a8e5d7adfd7"
        return self._call("GET", location, {"poolId": pool}, {"sessionId": session}).json()

    def delete_message(self, pool, message, session):
        location = "c3a054f6-7a8a-49c0-944e-3a8e5d7adfd7"
        return self._call("DELETE", location, {"poolId": pool, "messageId": message}, {"sessionId": session})

    def request(self, pool, request):
        location = "fc825784-c92a-4299-9221-998a02d1b54f"
        return self._call("GET", location, {"poolId": pool, "requestId": request}).json()

    def job_completed(self, plan, job, request):
        """The worker's last word, with the token of its job."""
        location = "557624af-b29e-4c20-8ab0-0399d2204f3f"
        route = {"scopeIdentifier": plan["scopeIdentifier"], "hubName": plan["planType"], "planId": plan["planId"]}
        event = {"name": "JobCompleted", "jobId": job, "requestId": request, "result": "succeeded"}
        return self._call("POST", location, route, content=event)

    def update_request(self, pool, request, change):
        location = "fc825784-c92a-4299-9221-998a02d1b54f"
        route, query = {"poolId": pool, "requestId": request}, {"lockToken": str(uuid.UUID(int=0))}
        return self._call("PATCH", location, route, query, {"requestId": request, **change}).json()


class Roles(Client):
    """`securityroles` is in no resource area, so its address is written out, as the documentation has it."""

    def call(self, method, pool, content=None):
        path = f"_apis/securityroles/scopes/distributedtask.agentpoolrole/roleassignments/resources/{pool}"
        request = ClientRequest(method=method, url=f"{self.normalized_url}/{path}?api-version=7.1-preview.1")
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        return self._send_request(request, headers, content)


def connect(url, token):
    return Connection(base_url=url, creds=BasicTokenAuthentication({"access_token": token}))


def azure_devops(token):
    package = "azure-devops"
    agents = connect(ORGANIZATION_URL, token).clients_v7_1.get_task_agent_client()
    pool = pools(package, agents)
    key = rsa.generate_private_key(65537, 2048)
    agent = register(package, agents, pool, key)
    session(package, agents, pool, agent, key)
    entitlement_and_role(package, token, pool)

    agents.delete_agent(pool, agent.id)
    equal([one.name for one in agents.get_agents(pool)], [])
    done(package, "agents: delete")
    refused = refusal(AzureDevOpsServiceError, lambda: agents.get_agent(pool, agent.id))
    equal(refused.type_key, "TaskAgentNotFoundException")
    done(package, "agents: a deleted one is refused")

    # As Basic with any user name, the way in which scripts pass the token on as if it were a personal access token.
    legacy = Connection(base_url=LEGACY_URL, creds=BasicAuthentication("", token)).clients.get_task_agent_client()
    equal([one.id for one in legacy.get_agent_pools(pool_name=POOL)], [pool])
    added = legacy.add_agent(description(AGENT, key, {"color": "green"}), pool)
    equal([one.id for one in legacy.get_agents(pool)], [added.id])
    legacy.delete_agent(pool, added.id)
    done(package, "ORGANIZATION.visualstudio.com: add and delete an agent")

    gateway(package, token, pool, key)

    refusal(AzureDevOpsAuthenticationError, connect(ORGANIZATION_URL, "x.y.z").authenticate)
    done(package, "a wrong token is refused")


def gateway(package, token, pool, key):
    """The same client in a pod whose agent reaches Azure DevOps through its sidecar."""
    url = os.environ["GATEWAY_URL"]
    ticket = Connection(base_url=url, creds=BasicAuthentication("", os.environ["TICKET"]))
    agents = ticket.clients_v7_1.get_task_agent_client()
    equal([one.id for one in agents.get_agent_pools(pool_name=POOL)], [pool])
    equal(agents.get_agents(pool, agent_name=AGENT), [])
    added = agents.add_agent(description(AGENT, key, {"color": "green"}), pool)
    equal([one.id for one in agents.get_agents(pool)], [added.id])
    equal(agents.update_agent(TaskAgent(id=added.id, enabled=False), pool, added.id).enabled, False)
    for call in (
        lambda: agents.get_agent_pools(pool_name="second"),
        lambda: agents.get_agent(pool, added.id + 1),
        lambda: agents.update_agent(TaskAgent(id=added.id, enabled=True), pool, added.id),
        lambda: agents.delete_agent(pool, added.id + 1),
    ):
        equal(refusal(AzureDevOpsServiceError, call).type_key, "AccessDeniedException")
    agents.delete_agent(pool, added.id)
    equal(agents.get_agents(pool), [])
    done(package, "gateway: the ticket is for this pod's agent and for nothing else")
    own = connect(url, token).clients_v7_1.get_task_agent_client()
    equal(sorted(one.name for one in own.get_agent_pools()), sorted([POOL, "second"]))
    done(package, "gateway: another credential works as without it")


def pools(package, agents):
    found = {one.name: one.id for one in agents.get_agent_pools()}
    equal(sorted(found), sorted([POOL, "second"]))
    done(package, "pools: list")
    equal([one.name for one in agents.get_agent_pools(pool_name=POOL)], [POOL])
    equal(agents.get_agent_pools(pool_name="none"), [])
    done(package, "pools: by name")
    pool = agents.get_agent_pool(found[POOL])
    equal((pool.id, pool.name, pool.is_hosted), (found[POOL], POOL, False))
    done(package, "pools: by id")
    equal([one.name for one in agents.get_agent_pools_by_ids([found["second"]])], ["second"])
    done(package, "pools: by ids")
    permitted = lambda pool, bits: agents._send(
        "GET",
        "162778f3-4b48-48f3-9d58-436fb9c407bc",
        "7.1-preview.1",
        {"poolId": pool, "permissions": bits},
    ).json()
    # Administrator of the one, with Manage (2) and without Listen (4); Reader of the other.
    seen = (permitted(pool.id, 2), permitted(pool.id, 4), permitted(found["second"], 1), permitted(found["second"], 2))
    equal(seen, (True, False, True, False))
    done(package, "pools: permissions")
    refused = refusal(AzureDevOpsServiceError, lambda: agents.get_agent_pool(99999))
    equal(refused.type_key, "TaskAgentPoolNotFoundException")
    done(package, "pools: an unknown one is refused")
    return pool.id


def description(name, key, capabilities):
    """A new agent as `config.sh` describes it."""
    numbers = key.public_key().public_numbers()

    def encoded(number):
        return base64.b64encode(number.to_bytes((number.bit_length() + 7) // 8, "big")).decode()

    public_key = TaskAgentPublicKey(exponent=encoded(numbers.e), modulus=encoded(numbers.n))
    return TaskAgent(
        name=name,
        version="4.255.0",
        os_description="Linux",
        max_parallelism=1,
        authorization=TaskAgentAuthorization(public_key=public_key),
        system_capabilities=capabilities,
    )


def register(package, agents, pool, key):
    agent = agents.add_agent(description(AGENT, key, {"color": "green"}), pool)
    equal((agent.name, agent.status, agent.enabled), (AGENT, "offline", True))
    holds(agent.authorization.client_id, agent.authorization)
    done(package, "agents: add")
    again = lambda: agents.add_agent(description(AGENT, key, {}), pool)
    equal(refusal(AzureDevOpsServiceError, again).type_key, "TaskAgentExistsException")
    done(package, "agents: the same name again is refused")
    found = agents.get_agents(pool, agent_name=AGENT, include_capabilities=True)
    equal([(one.id, one.system_capabilities) for one in found], [(agent.id, {"color": "green"})])
    equal(agents.get_agents(pool, agent_name="nobody"), [])
    done(package, "agents: find by name with capabilities")
    for operation, enabled in (("disable", False), ("enable", True)):
        equal(agents.update_agent(TaskAgent(id=agent.id, enabled=enabled), pool, agent.id).enabled, enabled)
        equal(agents.get_agent(pool, agent.id).enabled, enabled)
        done(package, f"agents: {operation}")
    replaced = agents.replace_agent(description(AGENT, key, {"color": "blue"}), pool, agent.id)
    equal(replaced.id, agent.id)
    found = agents.get_agent(pool, agent.id, include_capabilities=True)
    equal((found.name, found.system_capabilities), (AGENT, {"color": "blue"}))
    done(package, "agents: replace")
    return replaced


def own_token(agent, key):
    now = int(time.time())
    client, url = agent.authorization.client_id, agent.authorization.authorization_url
    claims = {"iss": client, "sub": client, "aud": url, "jti": str(uuid.uuid4()), "nbf": now, "exp": now + 300}
    answer = requests.post(
        url,
        data={
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode(claims, key, algorithm="RS256"),
        },
        timeout=30,
    )
    equal(answer.status_code, 200)
    return answer.json()["access_token"]


def session(package, agents, pool, agent, key):
    listener = Generic(ORGANIZATION_URL, BasicTokenAuthentication({"access_token": own_token(agent, key)}))
    done(package, "session: a token of the agent's own")
    wanted = {"ownerName": "host-1", "agent": {"id": agent.id, "name": AGENT}}
    opened = listener.create(pool, wanted)
    equal((opened["ownerName"], opened["agent"]["id"]), ("host-1", agent.id))
    equal(agents.get_agent(pool, agent.id).status, "online")
    done(package, "session: create")
    # Under the same name, as a listener that was killed and started again.
    refused = refusal(AzureDevOpsServiceError, lambda: listener.create(pool, wanted))
    equal(refused.type_key, "TaskAgentSessionConflictException")
    done(package, "session: a second one is refused")

    message, job = take_job(listener, pool, opened["sessionId"], "first")
    done(package, "session: get the message with a job")
    listener.delete_message(pool, message, opened["sessionId"])
    done(package, "session: delete the message")
    request = job["requestId"]
    renewed = listener.update_request(pool, request, {})
    equal(renewed["requestId"], request)
    holds(renewed["lockedUntil"] > time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 60)), renewed)
    done(package, "session: renew the job")
    busy = agents.get_agent(pool, agent.id, include_assigned_request=True)
    equal((busy.assigned_request.request_id, busy.assigned_request.job_name), (request, "first"))
    refused = refusal(AzureDevOpsServiceError, lambda: agents.delete_agent(pool, agent.id))
    equal(refused.type_key, "TaskAgentJobStillRunningException")
    done(package, "agents: a busy one cannot be deleted")
    connection = job["resources"]["endpoints"][0]
    jobs_token = connection["authorization"]["parameters"]["AccessToken"]
    worker = Generic(connection["url"], BasicTokenAuthentication({"access_token": jobs_token}))
    worker.job_completed(job["plan"], job["jobId"], request)
    equal(listener.request(pool, request)["result"], "succeeded")
    idle = agents.get_agent(pool, agent.id, include_assigned_request=True, include_last_completed_request=True)
    equal((idle.assigned_request, idle.last_completed_request.request_id), (None, request))
    done(package, "session: the worker finishes the job")
    refused = refusal(AzureDevOpsServiceError, lambda: listener.update_request(pool, request, {}))
    equal(refused.type_key, "TaskAgentJobTokenExpiredException")
    done(package, "session: a finished job cannot be renewed")

    message, job = take_job(listener, pool, opened["sessionId"], "second")
    listener.delete_message(pool, message, opened["sessionId"])
    finish = {"finishTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "result": "succeeded"}
    listener.update_request(pool, job["requestId"], finish)
    equal(listener.request(pool, job["requestId"])["result"], "succeeded")
    done(package, "session: the listener finishes a job")
    listener.delete(pool, opened["sessionId"])
    equal(agents.get_agent(pool, agent.id).status, "offline")
    done(package, "session: delete")


def take_job(listener, pool, opened, name):
    """Queues a job over the emulators' control port. Returns the id of the message that brings it, and what it says."""
    queued = requests.post(os.environ["CONTROL"] + "/jobs", json={"pool": POOL, "name": name}, timeout=30)
    equal(queued.status_code, 200)
    message = listener.message(pool, opened)
    equal(message["messageType"], "PipelineAgentJobRequest")
    job = json.loads(message["body"])
    equal((job["requestId"], job["jobDisplayName"]), (queued.json()["id"], name))
    return message["messageId"], job


def entitlement_and_role(package, token, pool):
    members = connect(ORGANIZATION_URL, os.environ["ADMINISTRATORS_TOKEN"]).clients_v7_1
    members = members.get_member_entitlement_management_client()
    origin = os.environ["NEWCOMERS_OBJECT_ID"]
    wanted = ServicePrincipalEntitlement(
        access_level=AccessLevel(account_license_type="express"),
        project_entitlements=[],
        service_principal=GraphServicePrincipal(origin="aad", origin_id=origin, subject_kind="servicePrincipal"),
    )
    answer = members.add_service_principal_entitlement(wanted)
    entitlement = answer.service_principal_entitlement
    equal((answer.is_success, entitlement.service_principal.origin_id), (True, origin))
    done(package, "entitlement: add")
    found = members.get_service_principal_entitlement(entitlement.id)
    equal((found.id, found.access_level.account_license_type), (entitlement.id, "express"))
    done(package, "entitlement: get")

    roles = Roles(ORGANIZATION_URL, BasicTokenAuthentication({"access_token": token}))
    assigned = roles.call("PUT", pool, [{"userId": entitlement.id, "roleName": "Reader"}])
    named = lambda answer: {one["identity"]["id"]: one["role"]["name"] for one in answer.json()["value"]}
    equal(named(assigned), {entitlement.id: "Reader"})
    equal(named(roles.call("GET", pool))[entitlement.id], "Reader")
    done(package, "role: assign and list")
    unknown = roles.call("PUT", pool, [{"userId": str(uuid.uuid4()), "roleName": "Reader"}])
    equal(unknown.json(), {"count": 0, "value": []})
    done(package, "role: an unknown identity is left out")
    roles.call("PATCH", pool, [entitlement.id])
    holds(entitlement.id not in named(roles.call("GET", pool)), entitlement.id)
    done(package, "role: remove")
    members.delete_service_principal_entitlement(entitlement.id)
    refusal(AzureDevOpsServiceError, lambda: members.get_service_principal_entitlement(entitlement.id))
    done(package, "entitlement: delete")


if __name__ == "__main__":
    main()
