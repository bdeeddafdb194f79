//! What keeps other sites out: headers that browsers obey, and a look at where a form comes from.

use axum::http::header::{self, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::app::App;
use crate::http::problem::{Kind, Problem};

/// Everything is from here, nothing stands in the page itself, and nobody frames it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
    form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What every page tells the browser. What it shows is for one reader and one moment, so nothing of it is kept, also not for the back button of the
/// next one who sits there.
pub(super) fn protect(headers: &mut HeaderMap) {
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// Whether a form was sent from a page of ours. Browsers say where it comes from; where one says nothing, the form's own secret decides.
///
/// # Errors
/// It comes from elsewhere.
pub(super) fn same_site(app: &App, headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let foreign = || {
        Problem::new(
            Kind::WrongToken,
            "this form was sent from another site, so it was not taken; open the page here and send it again",
        )
    };
    if let Some(site) = text(&HeaderName::from_static("sec-fetch-site")) {
        return if site == "same-origin" { Ok(()) } else { Err(foreign()) };
    }
    let Some(origin) = text(&ORIGIN) else { return Ok(()) };
    let here = app.config.web.address().is_some_and(|address| address == origin)
        || origin.split_once("://").is_some_and(|(_, host)| Some(host) == text(&HOST));
    if here { Ok(()) } else { Err(foreign()) }
}

/// Whether a form carries the secret of its session.
///
/// # Errors
/// It carries none or another one.
pub(super) fn from_session(csrf: &str, given: Option<&str>) -> Result<(), Problem> {
    // Hashes are compared, so that the time it takes says nothing about the secret.
    if given.is_some_and(|given| crate::auth::hash(given) == crate::auth::hash(csrf)) {
        return Ok(());
    }
    Err(Problem::new(
        Kind::Conflict,
        "this form is of another session: you have signed in anew since the page was opened; open it again and send it again",
    ))
}

/// A place in these pages to which somebody may be sent on; any other one becomes the beginning.
pub(super) fn local(next: Option<&str>) -> &str {
    next.filter(|next| {
        next.starts_with('/')
            && !next.starts_with("//")
            && next.chars().all(|c| c.is_ascii_graphic() && c != '\\')
            && !next.starts_with("/log")
    })
    .unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site_or_out_again() {
        for next in [
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "javascript:x",
            "/a\nb",
            "/logout",
            "",
            "x",
        ] {
            assert_eq!(local(Some(next)), "/", "{next:?}");
        }
        assert_eq!(local(Some("/hosts/h1?sort=name&q=%20")), "/hosts/h1?sort=name&q=%20");
    }
}
