//! The certificates by which the lab's QEMUs know one another when a migration is to be encrypted: an authority per lab, one certificate
//! per host for both of its ends.

use std::fs;
use std::net::IpAddr;

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use super::network;
use super::state::LabState;

/// Where they lie in each host, below libvirt's configuration.
pub(super) const CERTIFICATES: &str = "certificates";

/// Makes them for all hosts of a lab, under the names that QEMU looks for.
pub(super) fn issue(state: &LabState) -> Result<()> {
    let key = KeyPair::generate()?;
    let mut authority = named("drover lab")?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = authority.self_signed(&key)?.pem();
    let issuer = Issuer::new(authority, key);
    for number in 1..=state.hosts {
        let name = format!("h{number}");
        let key = KeyPair::generate()?;
        let mut parameters = named(&name)?;
        let address = IpAddr::V4(state.address(network::host_part(number)));
        parameters.subject_alt_names =
            vec![SanType::DnsName(name.as_str().try_into()?), SanType::IpAddress(address)];
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        parameters.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let own = parameters.signed_by(&key, &issuer)?.pem();
        let dir = state.host_dir(number).join("etc").join(CERTIFICATES);
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("ca-cert.pem"), &certificate)?;
        for end in ["server", "client"] {
            fs::write(dir.join(format!("{end}-cert.pem")), &own)?;
            fs::write(dir.join(format!("{end}-key.pem")), key.serialize_pem())?;
        }
    }
    Ok(())
}

fn named(name: &str) -> Result<CertificateParams> {
    let mut parameters = CertificateParams::new(Vec::new())?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    Ok(parameters)
}
