//! Certificates, and peers that speak TLS and are played byte by byte.
#![allow(dead_code, unreachable_pub)]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use ws_std::rustls::client::{ClientConnection, WebPkiServerVerifier};
use ws_std::rustls::crypto::ring;
use ws_std::rustls::pki_types::pem::PemObject;
use ws_std::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use ws_std::rustls::server::WebPkiClientVerifier;
use ws_std::rustls::{
    ClientConfig, Connection, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};
use ws_std::{Connector, Listener, ListenerBuilder};

use super::common::Raw;

/// The chain and the key of a certificate in `certificates`.
pub fn pem(name: &str) -> (Vec<u8>, Vec<u8>) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certificates");
    let read = |ending| std::fs::read(format!("{folder}/{name}.{ending}")).unwrap();
    (read("pem"), read("key"))
}

/// The certificate alone, as DER.
pub fn certificate(name: &str) -> Vec<u8> {
    identity(name).0.remove(0).to_vec()
}

fn identity(name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let (chain, key) = pem(name);
    let chain = CertificateDer::pem_slice_iter(&chain).collect::<Result<_, _>>().unwrap();
    (chain, PrivateKeyDer::from_pem_slice(&key).unwrap())
}

pub fn roots() -> Arc<RootCertStore> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certificates/ca.pem");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file).unwrap()).unwrap();
    Arc::new(roots)
}

/// A client that trusts the tests' root, of one version of TLS or of all.
pub fn client_config(versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots())
        .with_no_client_auth()
}

/// A client that shows a certificate.
pub fn client_config_with_certificate() -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(roots(), provider.clone()).build().unwrap();
    let (chain, key) = identity("client");
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_webpki_verifier(verifier)
        .with_client_auth_cert(chain, key)
        .unwrap()
}

pub fn server_config(name: &str) -> ServerConfig {
    let (chain, key) = identity(name);
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}

/// A server that wants a certificate of the client's.
pub fn server_config_with_client_certificates() -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots(), provider.clone()).build().unwrap();
    let (chain, key) = identity("server");
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap()
}

pub const ALL: &[&SupportedProtocolVersion] = ws_std::rustls::ALL_VERSIONS;

/// Trusts the tests' root.
pub fn connector() -> Connector {
    Connector::builder().tls(Arc::new(client_config(ALL)))
}

/// Has the certificate for localhost.
pub fn listener() -> ListenerBuilder {
    let (chain, key) = pem("server");
    Listener::builder().certificate(&chain, &key).unwrap()
}

fn client() -> ClientConnection {
    let name = ServerName::try_from("localhost").unwrap();
    let mut config = client_config(ALL);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    ClientConnection::new(Arc::new(config), name).unwrap()
}

/// What a client says first.
pub fn hello() -> Vec<u8> {
    let mut bytes = Vec::new();
    client().write_tls(&mut bytes).unwrap();
    bytes
}

/// One end of a TLS connection in the hands of a test, with all the bytes that came.
#[derive(Debug)]
pub struct RawTls {
    pub tcp: TcpStream,
    pub tls: Connection,
    pub came: Vec<u8>,
    plain: Vec<u8>,
}

impl RawTls {
    fn new(raw: Raw, tls: Connection) -> Self {
        Self { tcp: raw.stream, tls, came: Vec::new(), plain: Vec::new() }
    }

    pub fn server(raw: Raw, config: ServerConfig) -> Self {
        Self::new(raw, ServerConnection::new(Arc::new(config)).unwrap().into())
    }

    pub fn client(address: SocketAddr) -> Self {
        Self::new(Raw::connect(address), client().into())
    }

    /// The handshake of TLS; what the peer did wrong, if anything.
    pub fn handshake(&mut self) -> io::Result<()> {
        self.handshake_but_last()?;
        self.flush();
        Ok(())
    }

    /// The handshake of TLS but for this side's last words.
    pub fn handshake_but_last(&mut self) -> io::Result<()> {
        while self.tls.is_handshaking() {
            self.flush();
            self.receive()?;
        }
        Ok(())
    }

    /// Reads once, and decrypts.
    fn receive(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 16 * 1024];
        let count = self.tcp.read(&mut buffer)?;
        let mut bytes = &buffer[..count];
        self.came.extend(bytes);
        loop {
            self.tls.read_tls(&mut bytes)?;
            self.tls.process_new_packets().map_err(io::Error::other)?;
            match self.tls.reader().read_to_end(&mut self.plain) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => drop(result?),
            }
            if bytes.is_empty() {
                return Ok(count);
            }
        }
    }

    /// All plaintext so far.
    pub fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// Waits for plaintext; nothing is the peer's close_notify, an end without it an error.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.plain.is_empty() {
            if self.tls.process_new_packets().map_err(io::Error::other)?.peer_has_closed() {
                return Ok(0);
            }
            self.receive()?;
        }
        let count = buffer.len().min(self.plain.len());
        buffer[..count].copy_from_slice(&self.plain[..count]);
        self.plain.drain(..count);
        Ok(count)
    }

    pub fn exactly(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while filled < len {
            match self.read(&mut bytes[filled..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
        }
        Ok(bytes)
    }

    /// Up to and including the empty line.
    pub fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.exactly(1).expect("a whole head"));
        }
        String::from_utf8(head).unwrap()
    }

    /// The next message of fewer than 126 bytes that a server has sent.
    #[track_caller]
    pub fn expect(&mut self, first: u8, payload: &[u8]) {
        let bytes = self.exactly(2 + payload.len()).unwrap();
        assert_eq!(bytes, super::common::frame(first, payload, None));
    }

    /// What is encrypted and not sent yet.
    pub fn encrypted(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    pub fn flush(&mut self) {
        let bytes = self.encrypted();
        // The peer may have gone.
        let _ = self.tcp.write_all(&bytes);
    }

    pub fn write(&mut self, bytes: &[u8]) {
        assert_eq!(self.tls.writer().write(bytes).unwrap(), bytes.len());
        self.flush();
    }
}

/// The records that bytes consist of, as type and length; fails when they are anything else.
pub fn records(mut bytes: &[u8]) -> Vec<(u8, usize)> {
    let mut records = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(5) {
        assert!((20..=23).contains(&head[0]) && head[1] == 3, "not a record: {head:?}");
        let len = usize::from(u16::from_be_bytes([head[3], head[4]]));
        bytes = rest.get(len..).expect("a whole record");
        records.push((head[0], len));
    }
    assert!(bytes.is_empty(), "part of a record: {bytes:?}");
    records
}

pub const ALERT: u8 = 21;
pub const HANDSHAKE: u8 = 22;
pub const DATA: u8 = 23;
