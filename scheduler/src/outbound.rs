//! Calls to addresses that somebody else has named: an owner's calendar, a webhook's target.
//!
//! Whoever names an address must not reach by way of the scheduler what he can't reach himself. So a call goes to public addresses only,
//! unless the configuration allows more; what a name resolves to is checked in the very look-up that the connection is made by, so that it
//! can't be another thing a moment later. No redirect is followed, no proxy asked, and an answer is read to a limit only. Without TLS a call
//! goes to networks that the configuration names, and nowhere else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use serde::{Deserialize, Serialize};

/// How long a call may take, from the look-up of the name to the last byte.
const PATIENCE: Duration = Duration::from_secs(20);
const PATIENCE_TO_CONNECT: Duration = Duration::from_secs(5);

/// Where calls may go.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutboundConfig {
    /// Networks that may be called although they are not public, and without TLS: `10.20.0.0/16`.
    pub allow: Vec<IpNet>,
}

/// Why an address can't be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// It is no address.
    #[error("{given:?} is no address ({why}); write it as https://calendar.example/freezes.ics")]
    NoUrl {
        /// The text.
        given: String,
        /// What is wrong with it.
        why: String,
    },
    /// Neither https nor http.
    #[error("{scheme}:// is not called; write an https:// address")]
    Scheme {
        /// What it is.
        scheme: String,
    },
    /// It has a password in it.
    #[error("a name or password in an address would be shown to everybody who may see it; leave them out")]
    Credentials,
    /// Its name stands for nothing.
    #[error("the name {host} stands for no address; correct it, or wait until the DNS knows it")]
    NoAddress {
        /// The host as it is written.
        host: String,
    },
    /// It is not public.
    #[error(
        "{host} is no public address, and this scheduler does not call such; an operator can allow its network (outbound.allow)"
    )]
    NotPublic {
        /// The host as it is written.
        host: String,
    },
}

/// Why a call came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The address.
    #[error(transparent)]
    BadTarget(#[from] BadTarget),
    /// No connection, no answer in time, or one that breaks off.
    #[error("{host} can't be reached: {why}")]
    Unreachable {
        /// Which.
        host: String,
        /// Why, as far as it may be told.
        why: &'static str,
    },
    /// It sends elsewhere.
    #[error(
        "the address answers {status} and sends elsewhere, which is not followed; write the address at which it is"
    )]
    Redirected {
        /// The status.
        status: u16,
    },
    /// It has nothing for us.
    #[error("the address answers {status}; it must answer 200")]
    Status {
        /// The status.
        status: u16,
    },
    /// Too long an answer.
    #[error("the answer is longer than {most} bytes, and is not read on")]
    TooLarge {
        /// What is read at most.
        most: usize,
    },
    /// No text.
    #[error("the answer is no text in UTF-8")]
    NoText,
    /// This scheduler can't call anybody.
    #[error("this scheduler can't make calls at present; an operator has to look at its log")]
    NoClient,
}

/// What a fetch came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The same as before.
    Unchanged,
    /// A copy.
    New {
        /// What it says.
        text: String,
        /// What the other side calls this copy.
        etag: Option<String>,
    },
}

/// Makes the calls.
pub struct Outbound {
    allow: Arc<Vec<IpNet>>,
    client: Option<Client>,
}

impl Outbound {
    /// Ready to call.
    #[must_use]
    pub fn new(config: &OutboundConfig) -> Self {
        let allow = Arc::new(config.allow.clone());
        let built = Client::builder()
            .dns_resolver(Arc::new(Filtering { allow: allow.clone() }))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(PATIENCE_TO_CONNECT)
            .timeout(PATIENCE)
            .user_agent(concat!("drover/", env!("CARGO_PKG_VERSION")))
            .build();
        let client = built
            .inspect_err(|error| tracing::error!(error = %crate::chain(error), "no calls can be made to addresses that others name"))
            .ok();
        Self { allow, client }
    }

    /// The client for a target that was checked; other settings of a request are the caller's.
    ///
    /// # Errors
    /// The address is not one to call, whatever it resolves to.
    pub fn client(&self, target: &Url) -> Result<&Client, CallError> {
        self.check(target)?;
        self.client.as_ref().ok_or(CallError::NoClient)
    }

    /// Reads an address, and looks whether it may be called as far as that can be seen from it.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn target(&self, given: &str) -> Result<Url, BadTarget> {
        let url: Url = given
            .parse()
            .map_err(|error| BadTarget::NoUrl { given: given.to_owned(), why: format!("{error}") })?;
        self.check(&url)?;
        Ok(url)
    }

    fn check(&self, url: &Url) -> Result<(), BadTarget> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadTarget::Credentials);
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        let allowed = address.is_some_and(|address| self.allow.iter().any(|net| net.contains(&address)));
        match url.scheme() {
            "https" if address.is_some_and(|address| !allowed && !is_public(address)) => {
                Err(BadTarget::NotPublic { host })
            }
            "https" => Ok(()),
            // A name could resolve to anything; a literal address of an allowed network is what it says.
            "http" if allowed => Ok(()),
            scheme => Err(BadTarget::Scheme { scheme: scheme.to_owned() }),
        }
    }

    /// Looks at what the name of a checked target stands for now. The connection asks again: by then it may be something else.
    ///
    /// # Errors
    /// It stands for nothing, or for an address that is not called.
    pub async fn look_up(&self, url: &Url) -> Result<(), BadTarget> {
        let host = url.host_str().unwrap_or_default().to_owned();
        if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            return self.check(url);
        }
        let lookup = tokio::net::lookup_host((host.clone(), 0));
        match tokio::time::timeout(PATIENCE_TO_CONNECT, lookup).await {
            Ok(Ok(mut found)) => {
                let all = found.all(|address| callable(&self.allow, address.ip()));
                if all { Ok(()) } else { Err(BadTarget::NotPublic { host }) }
            }
            Ok(Err(_)) | Err(_) => Err(BadTarget::NoAddress { host }),
        }
    }

    /// Fetches a text of at most `most` bytes, unless it is still the copy that is called `etag`.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn fetch(&self, url: &Url, etag: Option<&str>, most: usize) -> Result<Fetched, CallError> {
        let mut request = self.client(url)?.get(url.clone());
        if let Some(known) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
            request = request.header(IF_NONE_MATCH, known);
        }
        let response = request.send().await.map_err(|error| unreachable(url, &error))?;
        match response.status() {
            StatusCode::NOT_MODIFIED if etag.is_some() => return Ok(Fetched::Unchanged),
            StatusCode::OK => {}
            status if status.is_redirection() => {
                return Err(CallError::Redirected { status: status.as_u16() });
            }
            status => return Err(CallError::Status { status: status.as_u16() }),
        }
        let etag = response.headers().get(ETAG).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
        let bytes = read(url, response, most).await?;
        let text = String::from_utf8(bytes).map_err(|_| CallError::NoText)?;
        Ok(Fetched::New { text, etag: etag.filter(|etag| etag.len() <= 200) })
    }
}

/// What an answer says, read to a limit: what it claims of its own length is not trusted, but believed when it is too much.
///
/// # Errors
/// It is too long, or breaks off.
pub async fn read(url: &Url, mut response: Response, most: usize) -> Result<Vec<u8>, CallError> {
    if response.content_length().is_some_and(|length| length > most as u64) {
        return Err(CallError::TooLarge { most });
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(url, &error))? {
        if bytes.len() + chunk.len() > most {
            return Err(CallError::TooLarge { most });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Says no more than whoever named the address could have found out himself.
#[must_use]
pub fn unreachable(url: &Url, error: &reqwest::Error) -> CallError {
    let host = url.host_str().unwrap_or_default().to_owned();
    if forbidden(error) {
        return BadTarget::NotPublic { host }.into();
    }
    let why = if error.is_timeout() {
        "it does not answer in time"
    } else if error.is_connect() {
        "no connection can be made; its name, its port or its certificate may be wrong"
    } else {
        "its answer breaks off, or is no HTTP"
    };
    CallError::Unreachable { host, why }
}

fn forbidden(error: &reqwest::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.is::<Forbidden>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A name resolves to addresses of which none may be called.
#[derive(Debug, thiserror::Error)]
#[error("it has no public address")]
struct Forbidden;

/// Looks names up, and forgets the addresses that may not be called.
struct Filtering {
    allow: Arc<Vec<IpNet>>,
}

impl Resolve for Filtering {
    fn resolve(&self, name: Name) -> Resolving {
        let allow = self.allow.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let callable: Vec<SocketAddr> = found.filter(|address| callable(&allow, address.ip())).collect();
            if callable.is_empty() {
                return Err(Forbidden.into());
            }
            Ok(Box::new(callable.into_iter()) as Addrs)
        })
    }
}

fn callable(allow: &[IpNet], address: IpAddr) -> bool {
    is_public(address) || allow.iter().any(|net| net.contains(&address))
}

/// Whether an address is everybody's: no loopback, private, link-local, shared, reserved or multicast one (the registries of RFC 6890), and none
/// that such a one is wrapped in.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let special = (a == 192 && b == 0 && c == 0) || (a == 192 && b == 88 && c == 99);
    let benchmarks = a == 198 && (18..20).contains(&b);
    !(a == 0
        || a >= 224
        || shared
        || special
        || benchmarks
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, third, ..] = address.segments();
    let low = |at: usize| {
        let octets = address.octets();
        Ipv4Addr::new(octets[at], octets[at + 1], octets[at + 2], octets[at + 3])
    };
    match (first, second) {
        // Translated (RFC 6052) and 6to4: as public as what is in them.
        (0x64, 0xff9b) => third == 0 && is_public_v4(low(12)),
        (0x2002, _) => is_public_v4(low(2)),
        // Teredo, benchmarks, ORCHID and others of the IETF's own.
        (0x2001, second) if second < 0x200 => false,
        (0x2001, 0xdb8) => false,
        (0x3fff, second) if second < 0x1000 => false,
        // Only 2000::/3 is given out; mapped, loopback, local and multicast ones lie outside of it.
        (first, _) => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_everybodys_is_public() {
        for address in ["1.1.1.1", "193.0.6.139", "2606:4700::1111", "2002:101:101::1", "64:ff9b::101:101"] {
            assert!(is_public(address.parse().expect("an address")), "{address}");
        }
        for address in [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "198.18.0.1",
            "192.0.2.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::ffff:1.1.1.1",
            "2002:a00:1::1",
            "64:ff9b::a00:1",
            "2001::1",
            "2001:db8::1",
        ] {
            assert!(!is_public(address.parse().expect("an address")), "{address}");
        }
    }

    #[test]
    fn an_address_is_refused_with_what_would_be_right() {
        let outbound =
            Outbound::new(&OutboundConfig { allow: vec!["10.1.0.0/16".parse().expect("a network")] });
        for (given, expected) in [
            ("https://calendar.example/a.ics", Ok(())),
            ("https://10.1.2.3/a.ics", Ok(())),
            ("http://10.1.2.3/a.ics", Ok(())),
            ("http://calendar.example/a.ics", Err("http:// is not called; write an https:// address")),
            ("ftp://calendar.example/a.ics", Err("ftp:// is not called")),
            ("file:///etc/passwd", Err("file:// is not called")),
            ("https://10.2.0.1/", Err("10.2.0.1 is no public address")),
            ("https://[::1]/", Err("[::1] is no public address")),
            ("https://0x7f.1/", Err("127.0.0.1 is no public address")),
            ("https://2130706433/", Err("127.0.0.1 is no public address")),
            ("https://me:secret@calendar.example/", Err("leave them out")),
            ("calendar", Err("is no address")),
        ] {
            let answer = outbound.target(given).map(drop);
            match (answer, expected) {
                (Ok(()), Ok(())) => {}
                (Err(refused), Err(text)) => {
                    assert!(refused.to_string().contains(text), "{given}: {refused}")
                }
                (answer, expected) => panic!("{given}: {answer:?} instead of {expected:?}"),
            }
        }
    }
}
