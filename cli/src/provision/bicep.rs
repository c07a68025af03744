//! The two Azure phases as a Bicep template, for who has no `az` at hand, or keeps Azure in files.

use super::az::{FederatedCredential, TAG, TAG_VALUE};
use super::principal::Principal;
use std::fmt::Write as _;

const API: &str = "2023-01-31";

/// The template. Without an issuer it has a parameter for it.
pub(crate) fn render(principals: &[Principal], issuer: Option<&str>, audience: &str) -> String {
    let mut text = String::from(
        "// Managed identities and their federated credentials, as `ado-agent provision identity credential` makes them.\n\
         // az deployment group create --resource-group GROUP --template-file identities.bicep",
    );
    if issuer.is_none() {
        text.push_str(" --parameters issuer=ISSUER");
    }
    text.push_str("\n\ntargetScope = 'resourceGroup'\n\nparam location string = resourceGroup().location\n");
    text.push_str(
        "@description('Issuer of the cluster, byte for byte: kubectl get --raw /.well-known/openid-configuration')\n",
    );
    match issuer {
        // Writing to a string cannot fail.
        Some(issuer) => drop(writeln!(text, "param issuer string = {}", quoted(issuer))),
        None => text.push_str("param issuer string\n"),
    }
    for principal in principals {
        let symbol = principal.who.as_str();
        let subject = principal.account.subject();
        // Bicep cannot know the issuer of a parameter, so the name is made of what is known.
        let name = match issuer {
            Some(issuer) => quoted(&FederatedCredential::new(issuer, &subject, audience).name),
            None => format!("uniqueString(issuer, {})", quoted(&subject)),
        };
        let _ = write!(
            text,
            "\nresource {symbol} 'Microsoft.ManagedIdentity/userAssignedIdentities@{API}' = {{\n  \
             name: {}\n  location: location\n  tags: {{\n    '{TAG}': '{TAG_VALUE}'\n  }}\n}}\n\n\
             resource {symbol}Credential 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@{API}' \
             = {{\n  parent: {symbol}\n  name: {name}\n  properties: {{\n    issuer: issuer\n    subject: {}\n    \
             audiences: [\n      {}\n    ]\n  }}\n}}\n\n\
             output {symbol}ClientId string = {symbol}.properties.clientId\n\
             output {symbol}ObjectId string = {symbol}.properties.principalId\n",
            quoted(&principal.name),
            quoted(&subject),
            quoted(audience),
        );
    }
    text
}

/// A string of Bicep.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', r"\\").replace('\'', r"\'").replace("${", r"\${");
    format!("'{escaped}'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::principal::Who;

    fn principals() -> Vec<Principal> {
        let principal = |who, name: &str, account: &str| Principal {
            who,
            name: name.to_owned(),
            account: account.parse().expect("an account"),
            client_id: None,
            object_id: None,
        };
        vec![
            principal(Who::Agents, "azp-agent", "agents/azp-agent"),
            principal(Who::Keda, "azp-keda", "keda/keda-operator"),
        ]
    }

    #[test]
    fn the_template_in_the_documentation_is_what_is_rendered() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/azure/identities.bicep");
        let rendered = render(&principals(), None, contract::DEFAULT_AUDIENCE);
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            std::fs::write(&file, &rendered).expect("the file is writable");
        }
        let written = std::fs::read_to_string(&file).expect("the template is there");
        assert_eq!(rendered, written, "UPDATE_GOLDENS=1 cargo test -p cli bicep");
    }

    #[test]
    fn a_known_issuer_is_a_default_and_names_the_credential_as_az_would() {
        let text = render(&principals()[..1], Some("https://issuer/it's/${x}/"), "a");
        assert!(
            text.contains(r"param issuer string = 'https://issuer/it\'s/\${x}/'"),
            "{text}"
        );
        let wanted = FederatedCredential::new(
            "https://issuer/it's/${x}/",
            "system:serviceaccount:agents:azp-agent",
            "a",
        );
        assert!(text.contains(&format!("name: '{}'", wanted.name)), "{text}");
        assert!(!text.contains("keda"));
    }
}
