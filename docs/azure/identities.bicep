// Managed identities and their federated credentials, as `ado-agent provision identity credential` makes them.
// az deployment group create --resource-group GROUP --template-file identities.bicep --parameters issuer=ISSUER

targetScope = 'resourceGroup'

param location string = resourceGroup().location
@description('Issuer of the cluster, byte for byte: kubectl get --raw /.well-known/openid-configuration')
param issuer string

resource agents 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'azp-agent'
  location: location
  tags: {
    'created-by': 'ado-agent'
  }
}

resource agentsCredential 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2023-01-31' = {
  parent: agents
  name: uniqueString(issuer, 'system:serviceaccount:agents:azp-agent')
  properties: {
    issuer: issuer
    subject: 'system:serviceaccount:agents:azp-agent'
    audiences: [
      'api://AzureADTokenExchange'
    ]
  }
}

output agentsClientId string = agents.properties.clientId
output agentsObjectId string = agents.properties.principalId

resource keda 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'azp-keda'
  location: location
  tags: {
    'created-by': 'ado-agent'
  }
}

resource kedaCredential 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2023-01-31' = {
  parent: keda
  name: uniqueString(issuer, 'system:serviceaccount:keda:keda-operator')
  properties: {
    issuer: issuer
    subject: 'system:serviceaccount:keda:keda-operator'
    audiences: [
      'api://AzureADTokenExchange'
    ]
  }
}

output kedaClientId string = keda.properties.clientId
output kedaObjectId string = keda.properties.principalId
