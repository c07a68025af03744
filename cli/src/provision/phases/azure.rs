//! The two phases that the person's own `az` performs, and what is printed where there is none.

use super::Run;
use crate::problem::{Finding, Problem};
use crate::provision::az::{FederatedCredential, Place};
use crate::provision::bicep;
use crate::provision::phase::Phase;
use crate::provision::plan::{self, bad};
use crate::provision::principal::{Ids, Principal};
use crate::provision::reason::ProvisionReason;
use crate::provision::report::{Document, Report};
use crate::provision::settle::settle;
use crate::provision::world;

impl Run<'_> {
    pub(super) async fn identity(&mut self, principal: &Principal) -> Result<(), Finding> {
        if let (Some(client), Some(object)) = (&principal.client_id, &principal.object_id) {
            let sentence = format!("client ID {client}, object ID {object}, as the command line says");
            self.there(
                Phase::Identity,
                Finding::good(format!("identity {}", principal.name), sentence),
            );
            return Ok(());
        }
        let place = self.place()?;
        let settled = settle(
            self.mode,
            self.target.wait,
            |text| Report::progress(Phase::Identity, text),
            async || world::identity(&place, &principal.name).await,
            |seen| plan::identity(principal, &place, seen.as_ref()),
            world::make_with_az,
        )
        .await
        .map_err(|finding| self.without_az(finding, &place))?;
        if let Some(identity) = self.note(Phase::Identity, settled) {
            self.known.insert(principal.who, identity.ids);
        } else {
            // A dry run: it would be there by now, and nobody knows its IDs.
            self.known.insert(principal.who, Ids::default());
        }
        Ok(())
    }

    pub(super) async fn credential(&mut self, principal: &Principal) -> Result<(), Finding> {
        let place = self.place()?;
        let issuer = world::issuer(self.target).await?;
        let wanted = FederatedCredential::new(&issuer, &principal.account.subject(), &self.target.audience);
        let settled = settle(
            self.mode,
            self.target.wait,
            |text| Report::progress(Phase::Credential, text),
            async || world::credentials(&place, &principal.name).await,
            |seen| plan::credential(principal, &place, &wanted, seen),
            world::make_with_az,
        )
        .await
        .map_err(|finding| self.without_az(finding, &place))?;
        self.note(Phase::Credential, settled);
        Ok(())
    }

    /// Where there is no `az`, what it would be asked is printed: as lines, and as a template.
    fn without_az(&mut self, finding: Finding, place: &Place) -> Finding {
        let is_missing = |problem: &Problem| problem.reason == ProvisionReason::AzMissing.as_str();
        if !finding.problem.as_ref().is_some_and(is_missing) {
            return finding;
        }
        let issuer = self.target.issuer.as_deref();
        let mut lines = Vec::new();
        for principal in &self.principals {
            let shown_issuer = issuer.unwrap_or("ISSUER");
            let subject = principal.account.subject();
            let wanted = FederatedCredential::new(shown_issuer, &subject, &self.target.audience);
            lines.push(place.create_identity(&principal.name).to_string());
            lines.push(place.create_credential(&principal.name, &wanted).to_string());
        }
        self.report.document(Document {
            name: "identities.bicep",
            text: bicep::render(&self.principals, issuer, &self.target.audience),
        });
        let fix = format!(
            "Where az is, deploy the Bicep template of this output, or type:\n      {}\n    then run the other phases here with \
             --agents-client-id, --agents-object-id, --keda-client-id and --keda-object-id, and a token (--token-file).",
            lines.join("\n      ")
        );
        bad(finding.subject, ProvisionReason::AzMissing, finding.sentence, fix)
    }
}
