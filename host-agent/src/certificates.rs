//! What is in certificates, for those who have to replace them in time.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use chrono::DateTime;
use drover_policies::fleet::Certificate;
use x509_parser::prelude::{FromDer, X509Certificate};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Where libvirt has its certificates unless it is told otherwise.
pub const OF_LIBVIRT: [&str; 2] = ["/etc/pki/libvirt/servercert.pem", "/etc/pki/libvirt/clientcert.pem"];

/// Reads the certificates in these files, and says of which it could not. A file that is not there is left out: not every host has all.
#[must_use]
pub fn read(files: &[PathBuf]) -> (Vec<Certificate>, Vec<String>) {
    let (mut certificates, mut warnings) = (Vec::new(), Vec::new());
    for file in files {
        match std::fs::read(file) {
            Ok(text) => match in_pem(file, &text) {
                Ok(certificate) => certificates.push(certificate),
                Err(why) => {
                    warnings.push(format!("{} holds no certificate in PEM form: {why}", file.display()))
                }
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => warnings.push(format!("the certificate {} can't be read: {error}", file.display())),
        }
    }
    (certificates, warnings)
}

/// The first certificate of a file, which is the host's own; those of authorities come after it.
fn in_pem(file: &Path, text: &[u8]) -> Result<Certificate, String> {
    let der = CertificateDer::from_pem_slice(text).map_err(|error| error.to_string())?;
    told(file, &der)
}

/// What a certificate says of itself.
///
/// # Errors
/// It says nothing that can be read.
pub(crate) fn told(file: &Path, der: &CertificateDer<'_>) -> Result<Certificate, String> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    let seconds = certificate.validity().not_after.timestamp();
    let until = DateTime::from_timestamp(seconds, 0).ok_or_else(|| format!("its end is {seconds}"))?;
    Ok(Certificate { file: file.to_owned(), subject: certificate.subject().to_string(), until: Some(until) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_told_with_its_name_and_its_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("servercert.pem");
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut parameters = rcgen::CertificateParams::new(vec!["h1.example".to_owned()]).expect("a name");
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "h1.example");
        parameters.not_after = rcgen::date_time_ymd(2027, 1, 31);
        std::fs::write(&file, parameters.self_signed(&key).expect("signed").pem()).expect("written");

        let (certificates, warnings) = read(&[file.clone(), directory.path().join("clientcert.pem")]);
        assert_eq!(warnings, [""; 0]);
        let until = "2027-01-31T00:00:00Z".parse().expect("a moment");
        assert_eq!(
            certificates,
            [Certificate { file, subject: "CN=h1.example".to_owned(), until: Some(until) }]
        );
    }

    #[test]
    fn a_file_that_holds_none_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("servercert.pem");
        for text in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&file, text).expect("written");
            let (certificates, warnings) = read(std::slice::from_ref(&file));
            assert!(certificates.is_empty());
            assert!(matches!(&warnings[..], [one] if one.contains("servercert.pem")), "{warnings:?}");
        }
    }
}
