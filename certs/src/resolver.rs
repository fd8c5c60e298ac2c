//! From a ClientHello to a certificate, for rustls. A name that nobody has gives no certificate: rustls then answers
//! with an alert, and the front door, which looks at the name first, tells why.

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::entry::Entry;
use crate::store::Store;

/// Looks the server name up in the live [`Store`].
#[derive(Debug)]
pub struct Resolver {
    store: Arc<Store>,
}

impl Resolver {
    /// A resolver over this store.
    #[must_use]
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// The certificate for a server name, or for a client that sent none.
    #[must_use]
    pub fn choose(&self, server_name: Option<&str>) -> Option<Arc<Entry>> {
        let index = self.store.snapshot();
        match server_name {
            Some(name) => index.lookup(name).cloned(),
            None => index.default_entry().cloned(),
        }
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let entry = self.choose(hello.server_name())?;
        Some(entry.key().clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Issuer;
    use crate::store::Batch;
    use crate::testing::{at, entry, validity};

    #[test]
    fn a_client_without_a_name_gets_the_default_and_an_unknown_name_gets_nothing() {
        let store = Arc::new(Store::new());
        let resolver = Resolver::new(store.clone());
        assert!(resolver.choose(None).is_none());
        let batch = Batch::default()
            .put(Arc::new(entry(&["a.test"], Issuer::Acme, validity(10, 90))))
            .default_name(Some("a.test"));
        store.publish(batch, at(50));
        assert!(resolver.choose(None).is_some());
        assert!(resolver.choose(Some("A.Test.")).is_some());
        assert!(resolver.choose(Some("b.test")).is_none());
    }
}
