//! Signed addresses and Message-IDs, by which an answer proves which ticket it is for.
//!
//! An address `reply+DR-1001.3f…@cloud.example` holds a MAC over the ticket and its owner. Whoever knows it has got a mail of this
//! ticket, or has it from somebody who has; that is all it says, and all that is needed. Nothing else of a mail is proof of
//! anything: senders' addresses are written by senders.
//!
//! Each key of the list is tried, and the first one signs. A key is rotated by putting a new one before it, and dropped when no
//! open ticket is older than the rotation.

use std::fmt;

use drover_policies::ids::{OwnerId, TicketId};
use hmac::{Hmac, KeyInit, Mac};
use lettre::Address;
use sha2::Sha256;

use super::hex;

/// What a signature opens. No one of them is good for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// An answer by mail.
    Answer,
    /// The ticket's page.
    Page,
}

impl Purpose {
    /// What is signed first.
    fn label(self) -> &'static [u8] {
        match self {
            Self::Answer => b"drover answer 1\0",
            Self::Page => b"drover page 1\0",
        }
    }
}

/// 96 bits: beyond guessing, and as hexadecimal digits, which survive mail systems that change the case, short enough for the 64
/// characters before an `@`.
const MAC_BYTES: usize = 12;

/// Least length of a key.
const KEY_BYTES: usize = 32;

/// The keys that sign and recognise.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys(Vec<Vec<u8>>);

/// Never shown.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

/// Why a text holds no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKeys {
    /// There is none.
    #[error("there is no key in it; write one of {KEY_BYTES} random bytes as {} hexadecimal digits on a line", KEY_BYTES * 2)]
    None,
    /// A line is none.
    #[error("line {line} is no key; write {KEY_BYTES} random bytes or more as hexadecimal digits")]
    Line {
        /// Which, counted from 1.
        line: usize,
    },
}

impl Keys {
    /// Reads keys, one on each line, as hexadecimal digits; the first one signs. Empty lines and those that begin with `#` are left out.
    ///
    /// # Errors
    /// There is none, or a line is none.
    pub fn read(text: &str) -> Result<Self, BadKeys> {
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = bytes(line).filter(|key| key.len() >= KEY_BYTES);
            keys.push(key.ok_or(BadKeys::Line { line: index + 1 })?);
        }
        if keys.is_empty() { Err(BadKeys::None) } else { Ok(Self(keys)) }
    }

    /// One key, as it is written into the file.
    #[must_use]
    pub fn write(key: [u8; KEY_BYTES]) -> String {
        hex(&key)
    }

    /// Where answers to a ticket go: `address` with the signature in it.
    #[must_use]
    pub fn sign(&self, address: &Address, number: &str, ticket: TicketId, owner: &OwnerId) -> Return {
        let mac = self.first_mac(Purpose::Answer, ticket, owner);
        let (user, domain) = (address.user(), address.domain());
        Return {
            address: format!("{user}+{number}.{mac}@{domain}"),
            reference: format!("<{number}.{mac}@{domain}>"),
        }
    }

    /// Whether a claim to this ticket was made by one of these keys.
    #[must_use]
    pub fn prove(&self, claim: &Claim, ticket: TicketId, owner: &OwnerId) -> bool {
        self.proves(Purpose::Answer, claim, ticket, owner)
    }

    /// The last part of an address that opens a ticket's page for its owner without another proof: `DR-1001.3f…`.
    #[must_use]
    pub fn sign_page(&self, number: &str, ticket: TicketId, owner: &OwnerId) -> String {
        format!("{number}.{}", self.first_mac(Purpose::Page, ticket, owner))
    }

    /// Whether a claim to this ticket's page was made by one of these keys.
    #[must_use]
    pub fn prove_page(&self, claim: &Claim, ticket: TicketId, owner: &OwnerId) -> bool {
        self.proves(Purpose::Page, claim, ticket, owner)
    }

    fn first_mac(&self, purpose: Purpose, ticket: TicketId, owner: &OwnerId) -> String {
        let signs = self.0.first().map(|key| mac(key, purpose, ticket, owner).finalize().into_bytes());
        hex(signs.as_deref().and_then(|digest| digest.get(..MAC_BYTES)).unwrap_or_default())
    }

    fn proves(&self, purpose: Purpose, claim: &Claim, ticket: TicketId, owner: &OwnerId) -> bool {
        self.0.iter().any(|key| mac(key, purpose, ticket, owner).verify_truncated_left(&claim.mac).is_ok())
    }
}

/// Where answers to a ticket go, and by what else they are recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Return {
    /// For `Reply-To`, and as the sender to whom mails come back that can't be delivered.
    pub address: String,
    /// For `References`: mail programs repeat it in an answer.
    pub reference: String,
}

/// That a mail is for a ticket; not proved yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// The ticket's number: `DR-1001`.
    pub number: String,
    mac: Vec<u8>,
}

impl Claim {
    /// The claim in an address such as `reply+DR-1001.3f…@cloud.example`, if it is one.
    #[must_use]
    pub fn in_address(text: &str) -> Option<Self> {
        let (user, _) = text.rsplit_once('@')?;
        let (_, tag) = user.rsplit_once('+')?;
        Self::in_tag(tag)
    }

    /// The claim in a Message-ID such as `DR-1001.3f…@cloud.example`, if it is one.
    #[must_use]
    pub fn in_message_id(text: &str) -> Option<Self> {
        let (tag, _) = text.trim_matches(['<', '>']).rsplit_once('@')?;
        Self::in_tag(tag)
    }

    /// The claim in the last part of a page's address such as `DR-1001.3f…`, if it is one.
    #[must_use]
    pub fn in_page(text: &str) -> Option<Self> {
        Self::in_tag(text)
    }

    fn in_tag(tag: &str) -> Option<Self> {
        let (number, mac) = tag.split_once('.')?;
        let digits =
            number.get(..3).filter(|start| start.eq_ignore_ascii_case("DR-")).map(|_| &number[3..])?;
        let number: u32 = digits.parse().ok()?;
        let mac = bytes(mac).filter(|mac| mac.len() == MAC_BYTES)?;
        Some(Self { number: format!("DR-{number}"), mac })
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

fn mac(key: &[u8], purpose: Purpose, ticket: TicketId, owner: &OwnerId) -> Hmac<Sha256> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    // Says what is signed, so that no other use of the key gives the same.
    hmac.update(purpose.label());
    hmac.update(ticket.0.as_bytes());
    hmac.update(owner.as_str().as_bytes());
    hmac
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn owner(name: &str) -> OwnerId {
        OwnerId::new(name).expect("a name")
    }

    fn keys(bytes: &[u8]) -> Keys {
        let lines: Vec<String> = bytes.iter().map(|byte| Keys::write([*byte; 32])).collect();
        Keys::read(&lines.join("\n")).expect("keys")
    }

    fn signed(keys: &Keys, ticket: u128, name: &str) -> Return {
        let address: Address = "reply@cloud.example".parse().expect("an address");
        keys.sign(&address, "DR-1001", TicketId(Uuid::from_u128(ticket)), &owner(name))
    }

    #[test]
    fn an_address_proves_its_own_ticket_and_no_other() {
        let keys = keys(&[1]);
        let given = signed(&keys, 7, "acme");
        assert!(given.address.starts_with("reply+DR-1001.") && given.address.ends_with("@cloud.example"));
        let claim = Claim::in_address(&given.address).expect("a claim");
        assert_eq!(claim.number, "DR-1001");
        let proves = |ticket, name| keys.prove(&claim, TicketId(Uuid::from_u128(ticket)), &owner(name));
        assert!(proves(7, "acme"));
        assert!(!proves(8, "acme") && !proves(7, "globex"));
        assert_eq!(Claim::in_message_id(&given.reference), Some(claim));
    }

    #[test]
    fn what_opens_a_page_is_no_address_to_answer_to_and_the_other_way_round() {
        let keys = keys(&[1]);
        let (ticket, acme) = (TicketId(Uuid::from_u128(7)), owner("acme"));
        let page = Claim::in_page(&keys.sign_page("DR-1001", ticket, &acme)).expect("a claim");
        assert_eq!(page.number, "DR-1001");
        assert!(keys.prove_page(&page, ticket, &acme) && !keys.prove(&page, ticket, &acme));
        assert!(!keys.prove_page(&page, TicketId(Uuid::from_u128(8)), &acme));
        assert!(!keys.prove_page(&page, ticket, &owner("globex")));
        let answer = Claim::in_address(&signed(&keys, 7, "acme").address).expect("a claim");
        assert!(!keys.prove_page(&answer, ticket, &acme));
    }

    #[test]
    fn mail_systems_may_change_the_case_of_an_address() {
        let keys = keys(&[1]);
        let given = signed(&keys, 7, "acme").address;
        for address in [given.to_ascii_uppercase(), given.to_ascii_lowercase()] {
            let claim = Claim::in_address(&address).expect("a claim");
            assert!(keys.prove(&claim, TicketId(Uuid::from_u128(7)), &owner("acme")), "{address}");
            assert_eq!(claim.number, "DR-1001");
        }
    }

    #[test]
    fn an_older_key_still_proves_what_it_has_signed_and_a_dropped_one_does_not() {
        let claim = Claim::in_address(&signed(&keys(&[1]), 7, "acme").address).expect("a claim");
        let proves = |keys: &Keys| keys.prove(&claim, TicketId(Uuid::from_u128(7)), &owner("acme"));
        assert!(proves(&keys(&[2, 1])));
        assert!(!proves(&keys(&[2])));
        assert_eq!(signed(&keys(&[2, 1]), 7, "acme"), signed(&keys(&[2]), 7, "acme"));
    }

    #[test]
    fn one_changed_character_proves_nothing() {
        let keys = keys(&[1]);
        let address = signed(&keys, 7, "acme").address;
        let begins = "reply+DR-1001.".len();
        for at in begins..begins + MAC_BYTES * 2 {
            let mut forged = address.clone().into_bytes();
            forged[at] = if forged[at] == b'a' { b'b' } else { b'a' };
            let claim = Claim::in_address(std::str::from_utf8(&forged).expect("text")).expect("a claim");
            assert!(!keys.prove(&claim, TicketId(Uuid::from_u128(7)), &owner("acme")));
        }
    }

    #[test]
    fn what_is_no_signed_address_claims_nothing() {
        for text in [
            "",
            "@",
            "reply@cloud.example",
            "reply+DR-1001@cloud.example",
            "reply+DR-1001.short@cloud.example",
            "reply+DR-x.aaaaaaaaaaaaaaaaaaaaaaaa@cloud.example",
            "reply+ÄR-1.aaaaaaaaaaaaaaaaaaaaaaaa@cloud.example",
            "reply+DR-1001.aaaaaaaaaaaaaaaaaaaaaaag@cloud.example",
            "ticket.00000000-0000-0000-0000-000000000007@cloud.example",
        ] {
            assert_eq!(Claim::in_address(text), None, "{text}");
            assert_eq!(Claim::in_message_id(text), None, "{text}");
        }
    }

    #[test]
    fn a_file_without_keys_or_with_a_bad_one_is_refused_by_its_line() {
        assert_eq!(Keys::read("# old\n\n"), Err(BadKeys::None));
        let good = Keys::write([7; 32]);
        assert_eq!(Keys::read(&format!("{good}\nabcd\n")), Err(BadKeys::Line { line: 2 }));
        assert_eq!(Keys::read(&format!("{good}\n{}\n", "zz".repeat(32))), Err(BadKeys::Line { line: 2 }));
        assert_eq!(format!("{:?}", Keys::read(&good).expect("a key")), "Keys(1)");
    }
}
