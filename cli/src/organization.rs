//! Who asks Azure DevOps, and with which credential: a person's access token from a file or stdin, or a federated token that is
//! traded for one. Tokens never stand on the command line, where every process of the machine could read them.

use crate::network::Network;
use anyhow::{Context as _, bail};
use azure::{AssertionSource, Authority, AzureDevOps, Entra, Http, Identity, Secret};
use azure_protocol::EntraContext;
use clap::Args;
use contract::{HostList, HttpsUrl, OrganizationUrl};
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

/// Longest token that is read, in bytes.
const LONGEST_TOKEN: u64 = 64 * 1024;

/// The credential for Azure DevOps.
#[derive(Debug, Clone, Default, Args)]
pub struct Credential {
    /// File with an access token for Azure DevOps, or - for stdin. `az account get-access-token --resource
    /// 499b84ac-1321-427f-aa17-267ca6975798` makes one; its JSON is read, and so is the bare token.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// File with a federated token (assertion) that is traded for an access token; needs --client-id and --tenant-id.
    #[arg(long, value_name = "FILE", env = contract::AZURE_FEDERATED_TOKEN_FILE_VARIABLE, conflicts_with = "token_file")]
    federated_token_file: Option<PathBuf>,
    /// Client ID of the identity.
    #[arg(long, value_name = "GUID", env = contract::AZURE_CLIENT_ID_VARIABLE)]
    client_id: Option<String>,
    /// Tenant of the identity.
    #[arg(long, value_name = "GUID", env = "AZURE_TENANT_ID")]
    tenant_id: Option<String>,
    /// Entra's authority.
    #[arg(long, value_name = "URL", env = contract::AZURE_AUTHORITY_HOST_VARIABLE, default_value = contract::DEFAULT_AUTHORITY)]
    authority: String,
    #[command(flatten)]
    network: Network,
    /// The token, once it was read.
    #[arg(skip)]
    held: Option<Secret>,
}

/// Where the credential is read from.
#[derive(Debug)]
enum Source {
    /// A person's token.
    Token(Secret),
    /// A federated token, traded when it is needed.
    Federated { entra: Box<Entra>, tenant: String },
}

/// A client of one organization with the credential for it.
#[derive(Debug)]
pub struct Organization {
    /// Its URL.
    pub url: OrganizationUrl,
    /// The client.
    pub client: AzureDevOps,
    source: Source,
}

impl Credential {
    /// The HTTP client that trusts what the person trusts, through the person's proxy.
    ///
    /// # Errors
    /// The certificates or the proxy cannot be used.
    pub fn http(&self) -> anyhow::Result<Arc<Http>> {
        self.network.http()
    }

    /// A client of the organization at `url`. Whoever passes the URL thereby allows its host.
    ///
    /// # Errors
    /// URL, authority or token cannot be read, or no credential was given.
    pub fn connect(&self, url: &str) -> anyhow::Result<Organization> {
        let url = OrganizationUrl::parse(url, &own_host(url)?)?;
        let http = self.http()?;
        let client = AzureDevOps::new(&url, Arc::clone(&http))?;
        Ok(Organization {
            url,
            client,
            source: self.source(http)?,
        })
    }

    /// Whether a credential was given, so that nobody else is asked for one.
    pub fn is_given(&self) -> bool {
        self.token_file.is_some() || self.federated_token_file.is_some()
    }

    /// A client of the organization at `url` with a token that somebody else got, such as `az`.
    ///
    /// # Errors
    /// The URL cannot be read.
    pub fn connect_with(&self, url: &str, token: Secret) -> anyhow::Result<Organization> {
        let url = OrganizationUrl::parse(url, &own_host(url)?)?;
        let client = AzureDevOps::new(&url, self.http()?)?;
        Ok(Organization {
            url,
            client,
            source: Source::Token(token),
        })
    }

    /// The same with the person's token read, for those who connect more than once: stdin can be read once.
    ///
    /// # Errors
    /// There is no token in the file.
    pub fn read(&self) -> anyhow::Result<Self> {
        let held = self.token_file.as_deref().map(read_token).transpose()?;
        Ok(Self { held, ..self.clone() })
    }

    fn source(&self, http: Arc<Http>) -> anyhow::Result<Source> {
        if let Some(held) = &self.held {
            return Ok(Source::Token(held.clone()));
        }
        if let Some(file) = &self.token_file {
            return Ok(Source::Token(read_token(file)?));
        }
        let Some(file) = &self.federated_token_file else {
            bail!(
                "no credential for Azure DevOps: pass --token-file (a file, or - for stdin, with the output of `az account \
                 get-access-token --resource 499b84ac-1321-427f-aa17-267ca6975798`), or --federated-token-file"
            );
        };
        let (Some(client_id), Some(tenant)) = (self.client_id.clone(), self.tenant_id.clone()) else {
            bail!("--federated-token-file needs --client-id and --tenant-id");
        };
        let identity = Identity {
            client_id,
            scope: contract::DEFAULT_SCOPE.to_owned(),
            assertion: AssertionSource::File(file.clone()),
            authority: Authority::parse(&self.authority, &own_host(&self.authority)?)?,
            binding: None,
        };
        Ok(Source::Federated {
            entra: Box::new(Entra::new(identity, http)),
            tenant,
        })
    }
}

impl Organization {
    /// An access token.
    ///
    /// # Errors
    /// Entra issued none.
    pub async fn token(&self) -> anyhow::Result<Secret> {
        Ok(self.issue().await?.0)
    }

    /// Client ID of the identity, where the credential names one.
    pub fn client_id(&self) -> Option<&str> {
        match &self.source {
            Source::Token(_) => None,
            Source::Federated { entra, .. } => Some(entra.client_id()),
        }
    }

    /// An access token, and how long it is good, where that is known.
    ///
    /// # Errors
    /// Entra issued none.
    pub async fn issue(&self) -> anyhow::Result<(Secret, Option<std::time::Duration>)> {
        match &self.source {
            Source::Token(token) => Ok((token.clone(), None)),
            Source::Federated { entra, tenant } => match entra.exchange(tenant).await {
                Ok(issued) => Ok((issued.token, Some(issued.lifetime))),
                Err(error) => {
                    let context = EntraContext {
                        client_id: entra.client_id(),
                        tenant,
                    };
                    bail!("{}", context.explain(&error).sentence)
                }
            },
        }
    }
}

pub(crate) fn own_host(url: &str) -> anyhow::Result<HostList> {
    Ok(HostList::parse(&HttpsUrl::parse(url)?.host)?)
}

/// Reads a token as `az` prints it (JSON with `accessToken`) or bare.
pub(crate) fn read_token(file: &std::path::Path) -> anyhow::Result<Secret> {
    let mut text = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin()
            .take(LONGEST_TOKEN)
            .read_to_string(&mut text)
            .context("stdin cannot be read as a token")?;
    } else {
        std::fs::File::open(file)
            .and_then(|opened| opened.take(LONGEST_TOKEN).read_to_string(&mut text))
            .with_context(|| format!("the token file {} cannot be read", file.display()))?;
    }
    let token = parse_token(&text).context("the token file holds no access token")?;
    Ok(Secret::new(token))
}

fn parse_token(text: &str) -> Option<String> {
    let text = text.trim();
    let token = if text.starts_with('{') {
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        value["accessToken"].as_str()?.to_owned()
    } else {
        text.to_owned()
    };
    (!token.is_empty() && token.chars().all(|character| character.is_ascii_graphic())).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::parse_token;

    #[test]
    fn a_token_is_read_as_az_prints_it_or_bare() {
        assert_eq!(parse_token("eyJ.a.b\n").as_deref(), Some("eyJ.a.b"));
        assert_eq!(
            parse_token("{\"accessToken\": \"eyJ.a.b\", \"expiresOn\": \"\"}").as_deref(),
            Some("eyJ.a.b")
        );
        assert_eq!(parse_token("{}"), None);
        assert_eq!(parse_token("two words"), None);
        assert_eq!(parse_token(""), None);
    }
}
