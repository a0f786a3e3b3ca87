//! What can go wrong with TLS, and how it passes through [`io::Error`] unharmed.

use std::{fmt, io};

use rustls::CertificateError;
use rustls::pki_types::pem;

use crate::Error;

/// What can go wrong with TLS.
///
/// What is printed says all; the [`source`](std::error::Error::source) is that of the wrapped error.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// The peer does not speak TLS, but perhaps plain HTTP.
    NotTls,
    /// The handshake or a later record: a certificate that is not trusted, has expired or is for
    /// another name, nothing in common with the peer, an alert of the peer.
    Failed(rustls::Error),
    /// The platform has no certificates to trust, or no verifier; [`Connector::tls`] brings others.
    ///
    /// [`Connector::tls`]: crate::Connector::tls
    Platform(rustls::Error),
    /// A certificate chain or private key is not valid PEM.
    Pem(pem::Error),
    /// The PEM that should have a certificate chain has no certificate.
    NoCertificate,
    /// The PEM that should have a private key has none.
    NoKey,
    /// The private key is not that of the chain's first certificate.
    KeyMismatch,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTls => f.write_str("the peer does not speak TLS"),
            // The commonest, which rustls only names.
            Self::Failed(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => f
                .write_str(
                    "TLS failed: the certificate is not signed by an authority that is trusted",
                ),
            Self::Failed(error) => write!(f, "TLS failed: {error}"),
            Self::Platform(error) => {
                write!(f, "the platform tells nobody to trust: {error} (see Connector::tls)")
            }
            Self::Pem(error) => write!(f, "not valid PEM: {error}"),
            Self::NoCertificate => f.write_str("no certificate in the PEM of the chain"),
            Self::NoKey => f.write_str("no private key in the PEM of the key"),
            Self::KeyMismatch => {
                f.write_str("the private key does not belong to the first certificate of the chain")
            }
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(error) | Self::Platform(error) => error.source(),
            Self::Pem(error) => error.source(),
            Self::NotTls | Self::NoCertificate | Self::NoKey | Self::KeyMismatch => None,
        }
    }
}

impl From<TlsError> for Error {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

impl From<rustls::Error> for Error {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(TlsError::Failed(error))
    }
}

/// As an error of a stream; [`from_io`] takes it out again.
pub(super) fn into_io(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// An error of a stream, which may be one of TLS.
pub(crate) fn from_io(error: io::Error) -> Error {
    match error.downcast::<rustls::Error>() {
        Ok(error) => error.into(),
        Err(error) => Error::Io(error),
    }
}
