//! A client of Entra and Azure DevOps: trades a service-account token for an access token, and asks about the agents of a pool.
//!
//! Everything comes in as values: which identity, which hosts a token may go to, which certificates to trust. Nothing is read
//! from the environment. What requests and responses look like and what they mean is in [`azure_protocol`].
//!
//! ```
//! use azure::{AssertionSource, Authority, AzureDevOps, Entra, Http, Identity, Proxies, Trust};
//! use contract::{HostList, OrganizationUrl};
//! use std::sync::Arc;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let http = Arc::new(Http::new(Trust::default(), Proxies::default(), "example/1.0"));
//! let authority = Authority::parse(
//!     "https://login.microsoftonline.com/",
//!     &HostList::parse("login.microsoftonline.com")?,
//! )?;
//! let identity = Identity {
//!     client_id: "11111111-1111-1111-1111-111111111111".to_owned(),
//!     scope: contract::DEFAULT_SCOPE.to_owned(),
//!     assertion: AssertionSource::File("/var/run/secrets/token".into()),
//!     authority,
//!     binding: None,
//! };
//! let entra = Entra::new(identity, Arc::clone(&http));
//! let url = OrganizationUrl::parse("https://dev.azure.com/contoso", &HostList::parse("dev.azure.com")?)?;
//! let azure_devops = AzureDevOps::new(&url, http)?;
//! // entra.exchange("TENANT").await, then azure_devops.call(&request, Some(&token), timeout).await
//! # Ok(())
//! # }
//! ```
//!
//! **Invariant:** https only, no redirects; a token goes only to the host that [`AzureDevOps::new`] was given and to
//! `vsaex.` of it (Azure DevOps' service for users), an assertion only to the authority or the cluster's token proxy.

mod ado;
mod clock;
mod document;
mod endpoint;
mod entra;
mod forward;
mod http;
mod secret;

pub use self::http::{Http, HttpError, Proxies, ProxyError, Trust, TrustError};
pub use ado::{AdoReply, AzureDevOps, OperationReply, receive_ado};
pub use document::Document;
pub use endpoint::{Authority, AuthorityError, UnusableHost};
pub use entra::{AssertionError, AssertionSource, Binding, BindingError, Entra, Identity, Issued, receive_token};
pub use forward::{Forwarded, Forwarder, OutgoingBody};
pub use secret::Secret;
