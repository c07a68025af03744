//! On which nodes a pod may run.

use crate::Denial;
use crate::json::{Node, Texts};

/// What decides about the node.
#[derive(Debug)]
pub(crate) struct Placement<'a> {
    /// Name of the operating system (`spec.os`).
    pub(crate) os: Option<&'a str>,
    pub(crate) node_selector: Texts<'a>,
    /// The terms of the required node affinity, of which one has to hold.
    pub(crate) affinity: Vec<Vec<Requirement<'a>>>,
    /// Keys of the tolerations.
    pub(crate) toleration_keys: Vec<&'a str>,
}

/// An entry of `matchExpressions`.
#[derive(Debug)]
pub(crate) struct Requirement<'a> {
    pub(crate) key: &'a str,
    pub(crate) operator: &'a str,
    pub(crate) values: Vec<&'a str>,
}

impl<'a> Placement<'a> {
    pub(super) fn read(spec: Node<'a, '_>) -> Result<Self, Denial> {
        let requirement = |_, expression: Node<'a, '_>| {
            Ok(Requirement {
                key: expression.text("key")?.unwrap_or_default(),
                operator: expression.text("operator")?.unwrap_or_default(),
                values: expression.texts("values")?,
            })
        };
        let affinity = spec.object("affinity", |affinity| {
            affinity.object("nodeAffinity", |affinity| {
                affinity.object("requiredDuringSchedulingIgnoredDuringExecution", |required| {
                    required.list("nodeSelectorTerms", |_, term| {
                        term.list("matchExpressions", requirement)
                    })
                })
            })
        })?;
        Ok(Self {
            os: spec.object("os", |os| os.text("name"))?.flatten(),
            node_selector: spec.map("nodeSelector")?,
            affinity: affinity.flatten().flatten().unwrap_or_default(),
            toleration_keys: spec.list("tolerations", |_, toleration| {
                Ok(toleration.text("key")?.unwrap_or_default())
            })?,
        })
    }
}
