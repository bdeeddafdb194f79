//! A check as people write it, and what they may not write.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Address, Check, Tls, Weight, What};
use crate::time::Span;

/// The longest name of a check, in characters.
const LONGEST_NAME: usize = 60;
/// The longest path, in bytes.
const LONGEST_PATH: usize = 1024;
/// The longest time that one check may be given: a migration is not over before.
pub const LONGEST_WITHIN: Span = Span::minutes(30);

/// Something about a check is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {wrong}; {right}")]
pub struct BadCheck {
    /// Which field.
    pub field: &'static str,
    /// What is wrong with it.
    pub wrong: String,
    /// What would be right.
    pub right: String,
}

fn bad(field: &'static str, wrong: impl Into<String>, right: impl Into<String>) -> BadCheck {
    BadCheck { field, wrong: wrong.into(), right: right.into() }
}

/// What a check is called. It stands in mails, on pages and in terminals, so it has nothing in it that any of these would take for more than a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CheckName(String);

impl CheckName {
    /// Checks a name.
    ///
    /// # Errors
    /// Refuses anything but letters, digits, spaces, `.`, `-` and `_`, and what is too long or begins or ends with a space.
    pub fn new(name: impl Into<String>) -> Result<Self, BadCheck> {
        let name = name.into();
        let usable = !name.is_empty()
            && name.chars().count() <= LONGEST_NAME
            && name.trim() == name
            && name.chars().all(|c| c.is_alphanumeric() || " .-_".contains(c));
        if usable {
            return Ok(Self(name));
        }
        let right =
            format!("write 1 to {LONGEST_NAME} letters, digits, spaces, '.', '-' or '_', such as \"shop\"");
        Err(bad("name", format!("{name:?} is no name of a check"), right))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CheckName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for CheckName {
    type Error = BadCheck;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(text)
    }
}

impl From<CheckName> for String {
    fn from(name: CheckName) -> Self {
        name.0
    }
}

/// A check as it is written down: in a policy file, in a request, and in the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenCheck {
    /// What it is called.
    pub name: String,
    /// `tcp` or `http`.
    pub check: String,
    /// The port; for `http` 80, or 443 with TLS, when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u32>,
    /// For `http`: the path; `/` when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// For `http`: whether TLS is spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<bool>,
    /// For `http`: the status that is expected; any below 400 when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<u32>,
    /// At which of the guest's own addresses; at any when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Whether its failure counts against a move; it does when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub must_pass: Option<bool>,
    /// How long it may take after the guest was seen alive; what policy says when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
}

impl TryFrom<WrittenCheck> for Check {
    type Error = BadCheck;

    fn try_from(written: WrittenCheck) -> Result<Self, BadCheck> {
        let name = CheckName::new(written.name.clone())?;
        let what = match written.check.as_str() {
            "tcp" => tcp(&written)?,
            "http" => http(&written)?,
            other => return Err(bad("check", format!("there is no check {other:?}"), "write tcp or http")),
        };
        let address = written.address.as_deref().map_or(Ok(Address::OfGuest), address)?;
        let within_fits = |within: &Span| *within > Span::ZERO && *within <= LONGEST_WITHIN;
        if let Some(within) = written.within.filter(|within| !within_fits(within)) {
            let right = format!("write more than nothing and at most {LONGEST_WITHIN}, such as \"2m\"");
            return Err(bad("within", format!("{within} is no time for a check"), right));
        }
        let weight = if written.must_pass.unwrap_or(true) { Weight::MustPass } else { Weight::Advisory };
        Ok(Self { name, what, address, weight, within: written.within })
    }
}

fn port(given: u32) -> Result<u16, BadCheck> {
    u16::try_from(given)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| bad("port", format!("{given} is no port"), "write 1 to 65535"))
}

fn tcp(written: &WrittenCheck) -> Result<What, BadCheck> {
    let of_http = [
        ("path", written.path.is_some()),
        ("tls", written.tls.is_some()),
        ("expect", written.expect.is_some()),
    ];
    if let Some((field, _)) = of_http.into_iter().find(|(_, given)| *given) {
        return Err(bad(field, "a tcp check has none", "leave it out, or write check = \"http\""));
    }
    let Some(given) = written.port else {
        return Err(bad("port", "it is missing", "write the port that must be open, such as 22"));
    };
    Ok(What::Tcp { port: port(given)? })
}

fn http(written: &WrittenCheck) -> Result<What, BadCheck> {
    let tls = if written.tls.unwrap_or(false) { Tls::Spoken } else { Tls::None };
    let usual = match tls {
        Tls::Spoken => 443,
        Tls::None => 80,
    };
    let path = written.path.clone().unwrap_or_else(|| "/".to_owned());
    // It becomes a line of the request: nothing in it may end that line.
    if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        let right = "write one that begins with / and has neither spaces nor #, such as /health";
        return Err(bad("path", format!("{path:?} is no path"), right));
    }
    if path.len() > LONGEST_PATH {
        let wrong = format!("it has {} characters", path.len());
        return Err(bad("path", wrong, format!("write at most {LONGEST_PATH}")));
    }
    let status = |given: u32| {
        u16::try_from(given)
            .ok()
            .filter(|status| (200..600).contains(status))
            .ok_or_else(|| bad("expect", format!("{given} is no status of an answer"), "write 200 to 599"))
    };
    let expect = written.expect.map(status).transpose()?;
    Ok(What::Http { port: port(written.port.unwrap_or(usual))?, path, tls, expect })
}

/// The agent connects to nothing but what is the guest's own; what can't be is refused here already, so that its owner hears of it.
fn address(given: &str) -> Result<Address, BadCheck> {
    let right = "write one of the server's own addresses, such as 192.0.2.7, or leave it out";
    let address: IpAddr =
        given.parse().map_err(|_| bad("address", format!("{given:?} is no IP address"), right))?;
    if is_routable(address) {
        Ok(Address::Given(address))
    } else {
        Err(bad(
            "address",
            format!("{address} is no address that a server is reached at from outside"),
            right,
        ))
    }
}

/// Whether an address can be a guest's as seen from another machine: not this machine itself, not one link's alone, not many at once.
#[must_use]
pub fn is_routable(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            !(v4.is_loopback()
                || v4.is_unspecified()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.octets()[0] == 0)
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback() || v6.is_unspecified() || v6.is_unicast_link_local() || v6.is_multicast())
        }
    }
}

impl From<Check> for WrittenCheck {
    fn from(check: Check) -> Self {
        let (kind, path, tls, expect) = match &check.what {
            What::Tcp { .. } => ("tcp", None, None, None),
            What::Http { path, tls, expect, .. } => {
                ("http", Some(path.clone()), Some(*tls == Tls::Spoken), expect.map(u32::from))
            }
        };
        Self {
            name: check.name.0,
            check: kind.to_owned(),
            port: Some(u32::from(check.what.port())),
            path,
            tls,
            expect,
            address: match check.address {
                Address::OfGuest => None,
                Address::Given(address) => Some(address.to_string()),
            },
            must_pass: Some(check.weight == Weight::MustPass),
            within: check.within,
        }
    }
}
