//! A volume of a pod.

use crate::Denial;
use crate::json::{Node, Object};

/// A volume.
#[derive(Debug)]
pub(crate) struct Volume<'a> {
    pub(crate) name: &'a str,
    object: &'a Object,
    /// The sources of a projected volume.
    pub(crate) projections: Vec<Projection<'a>>,
}

/// A source of a projected volume.
#[derive(Debug)]
pub(crate) struct Projection<'a> {
    object: &'a Object,
    pub(crate) account_token: Option<AccountToken<'a>>,
}

/// A projected service-account token.
#[derive(Debug)]
pub(crate) struct AccountToken<'a> {
    /// `None` is the Kubernetes API.
    pub(crate) audience: Option<&'a str>,
}

impl<'a> Volume<'a> {
    pub(super) fn read(volume: Node<'a, '_>) -> Result<Self, Denial> {
        let projections = volume.object("projected", |projected| {
            projected.list("sources", |_, source| {
                let token = source.object("serviceAccountToken", |token| {
                    let audience = token.text("audience")?.filter(|audience| !audience.is_empty());
                    Ok(AccountToken { audience })
                })?;
                Ok(Projection {
                    object: source.object,
                    account_token: token,
                })
            })
        })?;
        Ok(Self {
            name: volume.name("name")?,
            object: volume.object,
            projections: projections.unwrap_or_default(),
        })
    }

    pub(crate) fn is_projected(&self) -> bool {
        self.kinds().any(|kind| kind == "projected")
    }

    /// What it is, such as `emptyDir`. The API allows one kind.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &'a str> {
        kinds(self.object).filter(|key| *key != "name")
    }
}

impl<'a> Projection<'a> {
    /// What it is, such as `configMap`. The API allows one kind.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &'a str> {
        kinds(self.object)
    }
}

/// The keys of what is not null.
fn kinds(object: &Object) -> impl Iterator<Item = &str> {
    object
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, _)| key.as_str())
}
