//! Turns what the certificate manager tells into events, and what it knows into rows for those who look.

use acme::{Event, Report};

use crate::telemetry::{Metrics, events};

/// Listens to the manager.
pub(super) struct Reporter {
    pub(super) metrics: Metrics,
    pub(super) ca: String,
}

impl Report for Reporter {
    fn report(&self, event: Event<'_>) {
        let ca = self.ca.as_str();
        match event {
            Event::Obtained { name, entry } | Event::Renewed { name, entry } => {
                let not_after = entry.validity().not_after;
                events::CertificateObtained { name, ca, not_after }.emit(&self.metrics);
                events::CertificateInstalled { name, issuer: entry.issuer().as_str(), not_after, renew_at: None }
                    .emit(&self.metrics);
            }
            Event::Failed { name, kind, sentence, next_try, serving } => {
                let now = std::time::SystemTime::now();
                let retry_in = next_try.duration_since(now).unwrap_or_default();
                events::CertificateFailed { name, ca, kind, error: sentence, retry_in, at: now }.emit(&self.metrics);
                if !serving {
                    tracing::info!(name, "the name is served with a certificate of the local authority meanwhile");
                }
            }
            Event::Saved { name, generation } => tracing::debug!(name, generation, "certificate saved"),
            Event::SaveFailed { name, what, why } => {
                let what = what.as_str();
                tracing::error!(name, what, %why, "not saved; it is used from memory and saving is tried again");
            }
            Event::VaultFault { name, fault } => {
                let (path, aside) = (fault.path.display(), fault.aside);
                tracing::error!(name, %path, aside, why = %fault.why, "a saved certificate is damaged; the one before is used");
            }
            Event::VaultUnreadable { name, why } => {
                tracing::error!(name, %why, "saved certificates cannot be read; a new one is ordered");
            }
            _ => tracing::debug!("the certificate manager told something new"),
        }
    }
}
