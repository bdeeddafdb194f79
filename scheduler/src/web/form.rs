//! Forms that were sent: from whom, what was typed, and which version of a thing its sender had before his eyes.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};

use sha2::{Digest, Sha256};

use super::guard;
use super::session::Known;
use crate::app::App;
use crate::auth::hex;
use crate::http::extract::{Envelope, IfMatch};
use crate::http::problem::{Kind, Problem};

/// The largest form.
const LARGEST_FORM: usize = 256 * 1024;

/// Fields of every form that are not for its handler.
const OURS: [&str; 3] = ["csrf", "generation", "once"];

/// What was typed, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Typed(pub Vec<(String, String)>);

impl Typed {
    /// A field, without what surrounds its text; empty when it is missing.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.trim()).unwrap_or_default()
    }

    /// A field that may be left empty.
    #[must_use]
    pub fn some(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// Whether a box is ticked.
    #[must_use]
    pub fn ticked(&self, name: &str) -> bool {
        !self.text(name).is_empty()
    }

    /// What names the wish, and the hash of all of it. The page's word alone would not do: a page has several forms, and whoever goes back to
    /// it may type something else, which is another wish.
    fn wish(&self, path: &str) -> Option<(String, String)> {
        let page = self.some("once")?;
        let mut digest = Sha256::new();
        for (name, value) in self.0.iter().filter(|(name, _)| name != "csrf") {
            digest.update(name.len().to_be_bytes());
            digest.update(name);
            digest.update(value.len().to_be_bytes());
            digest.update(value);
        }
        digest.update(path);
        let hash = hex(&digest.finalize());
        let mut named = Sha256::new();
        named.update(page);
        named.update(&hash);
        Some((format!("form-{}", hex(&named.finalize())), hash))
    }

    fn read(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// What a person has typed or chosen himself.
    pub(super) fn own(self) -> Vec<(String, String)> {
        self.0.into_iter().filter(|(name, _)| !OURS.contains(&name.as_str())).collect()
    }
}

/// A form that was sent by one of `W`.
#[derive(Debug, Clone)]
pub struct Posted<W> {
    /// By whom.
    pub who: W,
    /// What was typed.
    pub typed: Typed,
    /// What goes with the wish.
    pub envelope: Envelope,
}

/// A form that was not taken, with what was typed into it.
pub struct NotTaken {
    problem: Problem,
    typed: Typed,
}

/// Goes with the answer to a form that was not taken: whoever signs in now gets it back.
#[derive(Debug, Clone)]
pub(super) struct Kept(pub(super) Typed);

impl From<Problem> for NotTaken {
    fn from(problem: Problem) -> Self {
        Self { problem, typed: Typed::default() }
    }
}

impl IntoResponse for NotTaken {
    fn into_response(self) -> Response {
        let mut response = self.problem.into_response();
        response.extensions_mut().insert(Kept(self.typed));
        response
    }
}

/// Reads a form without asking who sends it.
pub(super) async fn typed(request: Request) -> Result<Typed, Problem> {
    let bytes = to_bytes(request.into_body(), LARGEST_FORM).await.map_err(|_| {
        Problem::new(Kind::TooLarge, format!("the form is larger than {LARGEST_FORM} bytes; write less"))
    })?;
    Ok(Typed::read(&bytes))
}

impl<W> FromRequest<Arc<App>> for Posted<W>
where
    W: FromRequestParts<Arc<App>, Rejection = Problem> + Send,
{
    type Rejection = NotTaken;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, NotTaken> {
        let (mut parts, body) = request.into_parts();
        let typed = typed(Request::from_parts(parts.clone(), body)).await?;
        let kept = |problem| NotTaken { problem, typed: typed.clone() };
        let known = parts.extensions.get::<Known>().and_then(|known| known.0.clone());
        let who = W::from_request_parts(&mut parts, app).await.map_err(kept)?;
        if let Some(visitor) = known {
            guard::from_session(&visitor.session.csrf, typed.some("csrf")).map_err(kept)?;
        }
        let if_match = match typed.some("generation") {
            Some(generation) => IfMatch::One(vec![generation.to_owned()]),
            None => IfMatch::Any,
        };
        let (key, hash) = typed.wish(parts.uri.path()).unzip();
        let envelope = Envelope { key, hash: hash.unwrap_or_default(), if_match };
        Ok(Self { who, envelope, typed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_form_of_the_same_page_is_the_same_wish_and_any_other_is_not() {
        let wish = |text: &str, path: &str| Typed::read(text.as_bytes()).wish(path).map(|(key, _)| key);
        let first = wish("csrf=1&once=a&text=x", "/tickets/1/messages").expect("it has a word");
        assert_eq!(wish("csrf=2&once=a&text=x", "/tickets/1/messages").as_ref(), Some(&first));
        for (text, path) in [
            ("csrf=1&once=b&text=x", "/tickets/1/messages"),
            ("csrf=1&once=a&text=y", "/tickets/1/messages"),
            ("csrf=1&once=a&text=x", "/tickets/2/messages"),
            ("csrf=1&once=a&textx=", "/tickets/1/messages"),
        ] {
            assert_ne!(wish(text, path).as_ref(), Some(&first), "{text} {path}");
        }
        assert_eq!(wish("csrf=1&text=x", "/tickets/1/messages"), None);
        assert!(first.len() <= 200, "a key of the API is no longer");
    }

    #[test]
    fn a_form_is_read_as_browsers_write_it() {
        let typed = Typed::read(b"csrf=1&text=+a%26b+%E2%82%AC%0D%0A&empty=&text=second&%zz=%ff");
        assert_eq!(typed.text("text"), "a&b \u{20ac}");
        assert_eq!((typed.some("empty"), typed.some("missing")), (None, None));
        assert!(!typed.ticked("empty"));
        assert!(typed.own().iter().all(|(name, _)| name != "csrf"));
    }
}
