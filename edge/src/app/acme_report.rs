//! Turns what the certificate manager tells into events, and what it knows into rows for those who look.

use std::time::SystemTime;

use acme::{Event, Report};
use certs::Entry;

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
            Event::Found { name, entry, renew_at } => self.installed(name, entry, renew_at),
            Event::Ordering { name, serving: true } => tracing::info!(name, ca, "ordering the next certificate"),
            Event::Ordering { name, serving: false } => tracing::info!(
                name,
                ca,
                "ordering a certificate; until it is there the name is served with one of the local authority"
            ),
            Event::Obtained { name, entry, renew_at } | Event::Renewed { name, entry, renew_at } => {
                let not_after = entry.validity().not_after;
                events::CertificateObtained { name, ca, not_after }.emit(&self.metrics);
                self.installed(name, entry, renew_at);
            }
            Event::Left { name } => self.metrics.forget_certificate(name, certs::Issuer::Acme.as_str()),
            Event::Failed { name, kind, sentence, next_try, serving } => {
                let now = SystemTime::now();
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

impl Reporter {
    fn installed(&self, name: &str, entry: &Entry, renew_at: SystemTime) {
        let (issuer, not_after) = (entry.issuer().as_str(), entry.validity().not_after);
        events::CertificateInstalled { name, issuer, not_after, renew_at: Some(renew_at) }.emit(&self.metrics);
    }
}
