//! The default TLS configurations: a client that trusts the platform's certificate store, and a server with
//! one certificate.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, InconsistentKeys, ServerConfig};
use rustls_platform_verifier::BuilderVerifierExt;

use super::TlsError;
use crate::Result;

/// HTTP/1.1 is the only protocol offered, because WebSockets over HTTP/2 (RFC 8441) work differently.
const ALPN: &[u8] = b"http/1.1";

/// Returns the configuration of clients that bring none, which trusts the platform's certificate store. All of them share it,
/// because loading the platform's certificates takes long, and because sessions are resumed within it.
pub(crate) fn default_client() -> Result<Arc<ClientConfig>> {
    static SHARED: Mutex<Option<Arc<ClientConfig>>> = Mutex::new(None);
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(config) = &*shared {
        return Ok(config.clone());
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()
        .map_err(TlsError::Platform)?
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(shared.insert(Arc::new(config)).clone())
}

/// Returns the configuration of a server with one certificate.
pub(crate) fn server_from_pem(chain: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
        .collect::<std::result::Result<_, _>>()
        .map_err(TlsError::Pem)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate.into());
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::NoKey,
        error => TlsError::Pem(error),
    })?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::KeyMismatch,
            error => TlsError::Failed(error),
        })?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}
