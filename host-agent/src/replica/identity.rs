//! By what an agent is known to other agents: a key, a certificate that it has signed itself, and that certificate's digest.
//!
//! There is no authority. Each side is told the other's digest by the scheduler and takes exactly that certificate; what is written
//! in it means nothing, also not a date.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drover_policies::fleet::{Certificate, CertificateDigest};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error as TlsError, ServerConfig, SignatureScheme,
};
use sha2::{Digest, Sha256};

use crate::certificates;
use crate::durable::{DiskError, io_error, make_private_directory, write_durably};

/// The name in every agent's certificate. Nobody looks at it.
pub(super) const NAME: &str = "drover-agent";

/// Why an agent has no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file could not be read or written.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The file is there and is not one.
    #[error(
        "{path} holds no key and certificate: {why}; put the right one back, or remove it: a new one is made, and replicas in both directions are begun anew"
    )]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No key or certificate could be made.
    #[error("a key and a certificate can't be made")]
    Make(#[source] rcgen::Error),
    /// TLS does not take them.
    #[error("TLS can't be set up with this agent's key and certificate")]
    Tls(#[source] TlsError),
}

/// An agent's key and certificate.
#[derive(Debug)]
pub struct Identity {
    key: PrivateKeyDer<'static>,
    certificate: CertificateDer<'static>,
    digest: CertificateDigest,
    told: Certificate,
    provider: Arc<CryptoProvider>,
}

impl Identity {
    /// Reads this agent's identity; makes it when there is none yet.
    ///
    /// # Errors
    /// When it can't be read, or can't be made and kept.
    pub fn open(data_dir: &Path) -> Result<Self, IdentityError> {
        make_private_directory(data_dir)?;
        // One file, so that key and certificate are there together or not at all.
        let path = data_dir.join("identity.pem");
        if !fs::exists(&path).map_err(io_error("look for", &path))? {
            write_durably(&path, make()?.as_bytes())?;
        }
        let text = fs::read(&path).map_err(io_error("read", &path))?;
        let unreadable = |why: String| IdentityError::Unreadable { path: path.clone(), why };
        let certificate = CertificateDer::from_pem_slice(&text)
            .map_err(|error| unreadable(format!("certificate: {error}")))?;
        let key =
            PrivateKeyDer::from_pem_slice(&text).map_err(|error| unreadable(format!("key: {error}")))?;
        let told = certificates::told(&path, &certificate).map_err(&unreadable)?;
        let identity = Self {
            key,
            // Others know it by its digest, whatever date is in it.
            told: Certificate { until: None, ..told },
            digest: digest(&certificate),
            certificate,
            provider: Arc::new(ring::default_provider()),
        };
        // Now, and not when the first peer calls.
        identity.client(&identity.digest).map_err(|error| unreadable(error.to_string()))?;
        Ok(identity)
    }

    /// By which other agents know this one.
    #[must_use]
    pub fn digest(&self) -> &CertificateDigest {
        &self.digest
    }

    /// What is told of its certificate.
    #[must_use]
    pub fn told(&self) -> &Certificate {
        &self.told
    }

    /// TLS towards the one agent with this certificate.
    pub(super) fn client(&self, peer: &CertificateDigest) -> Result<ClientConfig, IdentityError> {
        let verifier = Pinned { algorithms: self.algorithms(), allowed: Allowed::One(peer.clone()) };
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(IdentityError::Tls)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(vec![self.certificate.clone()], self.key.clone_key())
            .map_err(IdentityError::Tls)?;
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Ok(config)
    }

    /// TLS for those that `is_known` knows.
    pub(super) fn server(&self, is_known: Arc<IsKnown>) -> Result<ServerConfig, IdentityError> {
        let verifier = Pinned { algorithms: self.algorithms(), allowed: Allowed::Known(is_known) };
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(IdentityError::Tls)?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())
            .map_err(IdentityError::Tls)?;
        // Whoever comes back shows its certificate again: it may not be known any more.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    fn algorithms(&self) -> WebPkiSupportedAlgorithms {
        self.provider.signature_verification_algorithms
    }
}

/// Whether some replica is to come from the agent with this certificate.
pub(super) type IsKnown = dyn Fn(&CertificateDigest) -> bool + Send + Sync;

/// A certificate's digest.
pub(super) fn digest(certificate: &CertificateDer<'_>) -> CertificateDigest {
    let digits = Sha256::digest(certificate).iter().map(|byte| format!("{byte:02x}")).collect();
    CertificateDigest(digits)
}

fn make() -> Result<String, IdentityError> {
    let key = rcgen::KeyPair::generate().map_err(IdentityError::Make)?;
    let mut parameters = rcgen::CertificateParams::new(vec![NAME.to_owned()]).map_err(IdentityError::Make)?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, NAME);
    let certificate = parameters.self_signed(&key).map_err(IdentityError::Make)?;
    Ok(key.serialize_pem() + &certificate.pem())
}

/// Takes exactly the certificates that it was told. That the other side has the key to one is verified as ever.
struct Pinned {
    algorithms: WebPkiSupportedAlgorithms,
    allowed: Allowed,
}

enum Allowed {
    One(CertificateDigest),
    Known(Arc<IsKnown>),
}

impl std::fmt::Debug for Pinned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pinned").finish_non_exhaustive()
    }
}

impl Pinned {
    fn look(&self, certificate: &CertificateDer<'_>) -> Result<(), TlsError> {
        let shown = digest(certificate);
        let allowed = match &self.allowed {
            Allowed::One(one) => shown == *one,
            Allowed::Known(is_known) => is_known(&shown),
        };
        if allowed {
            Ok(())
        } else {
            Err(TlsError::InvalidCertificate(rustls::CertificateError::ApplicationVerificationFailure))
        }
    }

    fn signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }
}

fn no_tls12() -> TlsError {
    TlsError::PeerIncompatible(rustls::PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig)
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        self.look(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        self.look(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_made_once_and_nobody_else_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().expect("a directory");
        let first = Identity::open(directory.path()).expect("made");
        let again = Identity::open(directory.path()).expect("read");
        assert_eq!(first.digest(), again.digest());
        assert_eq!(first.digest().0.len(), 64);
        let kept = directory.path().join("identity.pem");
        assert_eq!(fs::metadata(&kept).expect("there").permissions().mode() & 0o777, 0o600);
        let other = tempfile::tempdir().expect("a directory");
        assert_ne!(Identity::open(other.path()).expect("made").digest(), first.digest());
    }

    #[test]
    fn a_spoiled_identity_is_named_and_not_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let kept = directory.path().join("identity.pem");
        for spoiled in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            fs::write(&kept, spoiled).expect("spoiled");
            let error = Identity::open(directory.path()).expect_err("refused");
            assert!(matches!(&error, IdentityError::Unreadable { .. }), "{error}");
            assert_eq!(fs::read_to_string(&kept).expect("there"), spoiled);
        }
    }
}
