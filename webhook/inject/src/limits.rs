//! What the operator lets pods choose for their sidecar.

use crate::overrides::Overrides;
use crate::text::{list, quote};
use crate::values::{image_matches, quantity};
use crate::{Denial, Settings};
use contract::DenyReason;

/// Denies a pod that asks for more. What the sidecar would be or get anyway may be asked for.
pub(crate) fn check(overrides: &Overrides<'_>, settings: &Settings) -> Result<(), Denial> {
    let patterns = &settings.allowed_sidecar_images;
    if let Some(image) = overrides.sidecar_image
        && image != settings.sidecar_image
        && !patterns.iter().any(|pattern| image_matches(pattern, image))
    {
        let own = settings.sidecar_image.as_str();
        let allowed = list(patterns.iter().map(String::as_str).chain([own]));
        return Err(denied(
            contract::SIDECAR_IMAGE_ANNOTATION,
            image,
            &format!("which the operator does not allow; allowed: {allowed}"),
            "allowed-sidecar-images",
        ));
    }
    for (key, wanted, most, setting) in [
        (
            contract::SIDECAR_CPU_ANNOTATION,
            overrides.sidecar_cpu,
            &settings.max_sidecar_cpu,
            "max-sidecar-cpu",
        ),
        (
            contract::SIDECAR_MEMORY_ANNOTATION,
            overrides.sidecar_memory,
            &settings.max_sidecar_memory,
            "max-sidecar-memory",
        ),
        (
            contract::SIDECAR_EPHEMERAL_STORAGE_ANNOTATION,
            overrides.sidecar_ephemeral_storage,
            &settings.max_sidecar_ephemeral_storage,
            "max-sidecar-ephemeral-storage",
        ),
    ] {
        if let (Some(wanted), Some(most)) = (wanted, most)
            && quantity(wanted) > quantity(most)
        {
            return Err(denied(
                key,
                wanted,
                &format!("but the operator allows at most {most}"),
                setting,
            ));
        }
    }
    let user = overrides.sidecar_run_as_user;
    if let Some(user) = user.filter(|user| !settings.allow_sidecar_run_as_user && *user != settings.sidecar_run_as_user)
    {
        return Err(denied(
            contract::SIDECAR_RUN_AS_USER_ANNOTATION,
            &user.to_string(),
            "but the operator does not let pods choose the user",
            "allow-sidecar-run-as-user",
        ));
    }
    Ok(())
}

fn denied(key: &str, value: &str, why: &str, setting: &str) -> Denial {
    Denial::new(
        DenyReason::NotAllowed,
        format!(
            "annotation {key} is {}, {why}; change or remove the annotation, or ask the operator of the webhook, whose setting \
             {setting} decides",
            quote(value)
        ),
    )
}
