//! The errors of TLS, and how they pass through [`io::Error`].

use std::{fmt, io};

use rustls::CertificateError;
use rustls::pki_types::pem;

use crate::Error;

/// What can go wrong with TLS.
///
/// [`Display`](fmt::Display) shows everything. [`source`](std::error::Error::source) is the source of the wrapped error.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// The peer does not speak TLS. Perhaps it speaks plain HTTP.
    NotTls,
    /// The handshake or a later record failed: the certificate is not trusted, has expired or is for another name, the two sides
    /// support nothing in common, or the peer sent an alert.
    Failed(rustls::Error),
    /// The platform has no trusted certificates, or no verifier. Pass other roots to [`Connector::tls`].
    ///
    /// [`Connector::tls`]: crate::Connector::tls
    Platform(rustls::Error),
    /// The certificate chain or the private key is not valid PEM.
    Pem(pem::Error),
    /// The PEM for the certificate chain contains no certificate.
    NoCertificate,
    /// The PEM for the private key contains no private key.
    NoKey,
    /// The private key does not belong to the first certificate of the chain.
    KeyMismatch,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTls => f.write_str("the peer does not speak TLS"),
            // This is the most common error, and rustls shows only its name.
            Self::Failed(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => f
                .write_str(
                    "TLS failed: the certificate is not signed by an authority that this side trusts",
                ),
            Self::Failed(error) => write!(f, "TLS failed: {error}"),
            Self::Platform(error) => {
                write!(f, "the platform's certificates cannot be used: {error} (see Connector::tls)")
            }
            Self::Pem(error) => write!(f, "not valid PEM: {error}"),
            Self::NoCertificate => f.write_str("the PEM of the chain contains no certificate"),
            Self::NoKey => f.write_str("the PEM of the key contains no private key"),
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

/// Wraps the error in one of a stream. [`from_io`] takes it out again.
pub(super) fn into_io(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Converts an error of a stream, which may wrap one of TLS.
pub(crate) fn from_io(error: io::Error) -> Error {
    match error.downcast::<rustls::Error>() {
        Ok(error) => error.into(),
        Err(error) => Error::Io(error),
    }
}
