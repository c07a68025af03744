//! The identity's variables.

use super::env_reader::EnvReader;
use azure::{AssertionSource, Authority, AuthorityError, Binding, BindingError, Identity};
use contract::RefusalReason;
use lifecycle::Refusal;
use std::path::PathBuf;

/// Reads the pod's identity; `None` where something is missing or wrong and has been reported.
pub(super) fn identity(env: &mut EnvReader<'_>) -> Option<Identity> {
    let authority = authority(env);
    let azwi = env.optional(contract::AZWI_IDENTITY_VARIABLE).as_deref() == Some("true");
    let file = contract::AZURE_FEDERATED_TOKEN_FILE_VARIABLE;
    if azwi && env.optional(file).is_none() {
        env.refuse(format!(
            "the identity is left to Azure Workload Identity, but {file} is not set: its webhook did not mutate this pod; check \
             that it runs and that the pod carries the label {}: \"true\"",
            contract::AZWI_USE_LABEL
        ));
        return None;
    }
    Some(Identity {
        client_id: env.required(contract::AZURE_CLIENT_ID_VARIABLE),
        scope: env
            .optional(contract::SCOPE_VARIABLE)
            .unwrap_or_else(|| contract::DEFAULT_SCOPE.to_owned()),
        assertion: AssertionSource::File(PathBuf::from(env.required(file))),
        authority: authority?,
        binding: if azwi { binding(env) } else { None },
    })
}

fn authority(env: &mut EnvReader<'_>) -> Option<Authority> {
    let name = contract::AZURE_AUTHORITY_HOST_VARIABLE;
    let allowed = env.hosts(
        contract::ALLOWED_AUTHORITIES_VARIABLE,
        contract::DEFAULT_ALLOWED_AUTHORITIES,
    )?;
    let value = env
        .optional(name)
        .unwrap_or_else(|| contract::DEFAULT_AUTHORITY.to_owned());
    env.accept(Authority::parse(&value, &allowed).map_err(|error| Refusal {
        reason: match error {
            AuthorityError::Malformed { .. } => RefusalReason::BadConfiguration,
            AuthorityError::NotAllowed { .. } => RefusalReason::HostNotAllowed,
        },
        sentence: format!("{name} is {error}"),
    }))
}

/// Reads azwi's variables; `None` where there is no proxy, or a wrong one that has been reported.
fn binding(env: &mut EnvReader<'_>) -> Option<Binding> {
    let name = contract::AZURE_TOKEN_PROXY_VARIABLE;
    let url = env.optional(name)?;
    let server_name = contract::AZURE_SNI_NAME_VARIABLE;
    let binding = Binding::new(
        &url,
        env.optional(server_name),
        env.optional(contract::AZURE_CA_FILE_VARIABLE).map(PathBuf::from),
        env.optional(contract::AZURE_CA_DATA_VARIABLE),
    );
    match binding {
        Ok(binding) => Some(binding),
        Err(error) => {
            let name = match error {
                BindingError::Url { .. } => name,
                BindingError::ServerName(_) => server_name,
            };
            env.refuse(format!("{name} is {error}"));
            None
        }
    }
}
