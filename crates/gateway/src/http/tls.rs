//! TLS at the listener, and client certificates.
//!
//! A handshake is bounded in time and happens beside the others, so a client that is slow with it keeps nobody waiting.
//! The files are looked at for each connection: a certificate that was renewed is used from the next one on, and one that
//! is broken leaves the last that was whole in use and is told.
//!
//! With an authority for clients, nobody without a certificate of it gets as far as a request. What the certificate's
//! holder may do is not decided here: the door's [`Authenticate`](super::Authenticate) is given its URIs.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerConfig, VerifierBuilderError, WebPkiClientVerifier};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::peer::{Certified, Peer};

/// How long a client may take for the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Bytes of a file of certificates.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The files that TLS needs, each in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The gateway's own certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authorities whose certificates clients must have; without it, none are asked for.
    pub client_ca: Option<PathBuf>,
}

/// Why TLS cannot be spoken with these files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("`{path}` cannot be read")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("`{path}` has no {what} in PEM that can be used")]
    Content {
        /// The file.
        path: PathBuf,
        /// What belongs there.
        what: &'static str,
    },
    /// The key is not the certificate's, or the certificate cannot be used.
    #[error("the certificate and the key do not go together")]
    Pair(#[source] rustls::Error),
    /// The authorities cannot be used.
    #[error("the authorities of clients cannot be used")]
    Authorities(#[source] VerifierBuilderError),
}

/// Speaks TLS at a listener.
pub struct Tls {
    files: TlsFiles,
    current: RwLock<Current>,
    tell: Box<dyn Fn(&str) + Send + Sync>,
}

/// What is in use, and what the files looked like when they were last read.
#[derive(Clone)]
struct Current {
    stamps: Vec<Option<Stamp>>,
    acceptor: TlsAcceptor,
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

/// What changes when a file does.
type Stamp = (u64, u64, u64, i64, i64);

impl Tls {
    /// Reads the files. `tell` tells the operator of files that changed and cannot be used.
    ///
    /// # Errors
    /// [`TlsError`] if they cannot be used.
    pub fn open(files: TlsFiles, tell: impl Fn(&str) + Send + Sync + 'static) -> Result<Self, TlsError> {
        let stamps = stamps(&files);
        let (acceptor, clients) = read(&files)?;
        Ok(Self { files, current: RwLock::new(Current { stamps, acceptor, clients }), tell: Box::new(tell) })
    }

    /// The handshake. `None` if it fails or takes too long; what is wrong is the client's to find out.
    pub(super) async fn accept(&self, stream: TcpStream, loopback: bool) -> Option<(TlsStream<TcpStream>, Peer)> {
        let current = self.current();
        let stream = tokio::time::timeout(HANDSHAKE, current.acceptor.accept(stream)).await.ok()?.ok()?;
        let peer = match current.clients {
            None => Peer::plain(loopback),
            Some(verifier) => {
                // INVARIANT: a verifier that is there has verified a certificate, or the handshake would have failed.
                let chain = stream.get_ref().1.peer_certificates()?.to_vec();
                Peer::certified(loopback, Certified::new(chain, verifier, UnixTime::now())?)
            }
        };
        Some((stream, peer))
    }

    /// What is in use now: what the files say, or what they last said that could be used.
    fn current(&self) -> Current {
        let stamps = stamps(&self.files);
        let known = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        if known.stamps == stamps {
            return known;
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.stamps != stamps {
            match read(&self.files) {
                Ok((acceptor, clients)) => (current.acceptor, current.clients) = (acceptor, clients),
                Err(error) => (self.tell)(&format!(
                    "the files for TLS have changed and cannot be used: {error}; the last ones that could stay in use"
                )),
            }
            current.stamps = stamps;
        }
        current.clone()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

fn stamps(files: &TlsFiles) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let data = fs::metadata(path).ok()?;
        Some((data.dev(), data.ino(), data.size(), data.mtime(), data.mtime_nsec()))
    };
    [&files.certificate, &files.key].into_iter().chain(&files.client_ca).map(stamp).collect()
}

type Parts = (TlsAcceptor, Option<Arc<dyn ClientCertVerifier>>);

fn read(files: &TlsFiles) -> Result<Parts, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = certificates(&files.certificate)?;
    let content = |path: &Path, what| TlsError::Content { path: path.to_owned(), what };
    let key = PrivateKeyDer::from_pem_slice(&bytes(&files.key)?).map_err(|_| content(&files.key, "private key"))?;
    let clients = files.client_ca.as_deref().map(|path| {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|_| content(path, "certificate of an authority"))?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        builder.build().map_err(TlsError::Authorities)
    });
    let clients = clients.transpose()?;
    // TLS 1.2 and 1.3; what is older has no name in this library.
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(TlsError::Pair)?;
    let builder = match &clients {
        Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if clients.is_some() {
        // A session that is taken up again would bring a certificate that nobody has looked at since.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok((TlsAcceptor::from(Arc::new(config)), clients))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = || TlsError::Content { path: path.to_owned(), what: "certificate" };
    let bytes = bytes(path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().map_err(|_| wrong())?;
    if found.is_empty() { Err(wrong()) } else { Ok(found) }
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    io::Read::read_to_end(&mut io::Read::take(file, FILE_BYTES_MAX), &mut bytes).map_err(failed)?;
    Ok(bytes)
}
