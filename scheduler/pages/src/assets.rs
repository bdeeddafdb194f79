//! The style sheet and the script, each under an address that changes with it.

use std::sync::LazyLock;

/// One file.
#[derive(Debug)]
pub struct Asset {
    /// Where it is served, with a hash of what is in it: it may be kept for ever.
    pub path: String,
    /// `text/css`, …
    pub kind: &'static str,
    /// What is in it.
    pub text: &'static str,
}

/// The style sheet.
pub static CSS: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("css", "text/css; charset=utf-8", include_str!("../assets/drover.css")));

/// The script. Nothing needs it to be read or done.
pub static JS: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("js", "text/javascript; charset=utf-8", include_str!("../assets/drover.js")));

/// The picture in the browser's tab.
pub static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("svg", "image/svg+xml", include_str!("../assets/drover.svg")));

impl Asset {
    fn new(ending: &str, kind: &'static str, text: &'static str) -> Self {
        let hash = blake3::hash(text.as_bytes()).to_hex();
        Self { path: format!("/assets/drover.{}.{ending}", &hash[..12]), kind, text }
    }

    /// The one at this address.
    #[must_use]
    pub fn at(path: &str) -> Option<&'static Self> {
        let all: [&'static Self; 3] = [&CSS, &JS, &ICON];
        all.into_iter().find(|asset| asset.path == path)
    }
}
