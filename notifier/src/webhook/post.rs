//! Posting an event.

use drover_policies::time::{Instant, Span};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};

use super::event::MEDIA_TYPE;
use super::sign::Signing;

/// No receiver makes us wait longer than this by `Retry-After`.
const LONGEST_WAIT: Span = Span::hours(24);

/// What is posted, and where to.
pub struct Event<'a> {
    /// Where to.
    pub url: &'a Url,
    /// What it is signed with.
    pub signing: &'a Signing,
    /// Its id, the same for every try.
    pub id: &'a str,
    /// What it says.
    pub body: Vec<u8>,
    /// How long the receiver may take.
    pub timeout: Span,
}

/// How a receiver answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// It has it.
    Taken {
        /// Its status.
        status: u16,
    },
    /// It is gone for good, and says so.
    Gone,
    /// It has not; it may later.
    NotNow {
        /// What stood in the way.
        why: String,
        /// It asks not to be tried before this.
        not_before: Option<Instant>,
    },
}

/// Posts an event, signed at this moment. Which addresses are reached and whether redirects are followed is the client's affair; this
/// takes a redirect for what it is, no receipt.
///
/// # Errors
/// There was no answer.
pub async fn post(client: &Client, event: Event<'_>, now: Instant) -> Result<Answered, reqwest::Error> {
    let request = client
        .post(event.url.clone())
        .timeout(event.timeout.0)
        .header(CONTENT_TYPE, MEDIA_TYPE)
        .header("webhook-id", event.id)
        .header("webhook-timestamp", now.timestamp())
        .header("webhook-signature", event.signing.sign(event.id, now, &event.body))
        .body(event.body);
    // The answer's body is dropped unread, and its connection with it.
    let response = request.send().await.map_err(reqwest::Error::without_url)?;
    Ok(answered(response.status(), response.headers(), now))
}

fn answered(status: StatusCode, headers: &HeaderMap, now: Instant) -> Answered {
    if status.is_success() {
        return Answered::Taken { status: status.as_u16() };
    }
    if status == StatusCode::GONE {
        return Answered::Gone;
    }
    let why = if status.is_redirection() {
        format!("it answered {status}; redirects are not followed, so register the address that it leads to")
    } else {
        format!("it answered {status}")
    };
    let not_before = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| retry_after(text, now))
        .map(|at| at.min(now + LONGEST_WAIT.delta()));
    Answered::NotNow { why, not_before }
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(text: &str, now: Instant) -> Option<Instant> {
    match text.trim().parse::<u32>() {
        Ok(seconds) => Some(now + Span::seconds(seconds.into()).delta()),
        Err(_) => httpdate::parse_http_date(text).ok().map(Instant::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drover_policies::samples::NOON;

    #[test]
    fn a_receiver_says_when_to_come_again_in_seconds_or_by_a_date_but_not_for_ever() {
        let asked = |value: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().expect("a value"))]);
            match answered(StatusCode::SERVICE_UNAVAILABLE, &headers, NOON) {
                Answered::NotNow { not_before, .. } => not_before,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(asked("120"), Some(NOON + Span::seconds(120).delta()));
        assert_eq!(asked("999999999"), Some(NOON + LONGEST_WAIT.delta()));
        let date = asked("Sun, 06 Nov 1994 08:49:37 GMT").expect("a date");
        assert_eq!(date.to_rfc3339(), "1994-11-06T08:49:37+00:00");
        assert_eq!(asked("soon"), None);
        assert_eq!(asked("-1"), None);
    }

    #[test]
    fn each_status_means_taken_gone_or_later() {
        let says = |status| answered(status, &HeaderMap::new(), NOON);
        assert_eq!(says(StatusCode::NO_CONTENT), Answered::Taken { status: 204 });
        assert_eq!(says(StatusCode::GONE), Answered::Gone);
        for status in [StatusCode::FOUND, StatusCode::NOT_FOUND, StatusCode::INTERNAL_SERVER_ERROR] {
            assert!(matches!(says(status), Answered::NotNow { .. }), "{status}");
        }
    }
}
