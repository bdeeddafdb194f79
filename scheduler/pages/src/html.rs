//! Text that is HTML already.

use std::fmt;

use askama::Template;
use askama::filters::{self, HtmlSafe};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// A piece of HTML in which everything foreign has been escaped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Html(String);

impl Html {
    /// Only for what this crate has put together itself.
    pub(crate) fn made(html: String) -> Self {
        Self(html)
    }

    /// Without its tags, for where there can be none: in a notice, in a picture.
    #[must_use]
    pub fn text(&self) -> String {
        let mut inside = false;
        let outside = |c: &char| {
            let was = inside;
            inside = (inside || *c == '<') && *c != '>';
            !was && !inside
        };
        self.0.chars().filter(outside).collect()
    }

    /// As it is.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it is.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for Html {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HtmlSafe for Html {}

/// Text as it may stand in HTML, in an attribute too.
pub(crate) fn escaped(text: &str) -> String {
    filters::escape(text, filters::Html).map(|safe| safe.to_string()).unwrap_or_default()
}

/// All but what may stand in a path as it is.
const IN_PATHS: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A name as one segment of a path.
#[must_use]
pub fn segment(name: &str) -> String {
    utf8_percent_encode(name, &IN_PATHS).to_string()
}

/// Draws a template. Writing into a `String` can't fail, and no template has an error of its own.
pub(crate) fn finish(template: &impl Template) -> String {
    template.render().unwrap_or_default()
}
