//! What the console and the portal look like: models of pages into HTML.
//!
//! A page is a plain struct that its handler fills; [`Page::render`] makes HTML of it, surrounded by a [`Frame`]. Nothing here knows a
//! database, a request or a clock, so that every page can be drawn from samples, looked at and tested by itself. Whatever a model holds is
//! text to be escaped; only [`Html`] is not, and only this crate makes it.
//!
//! The rules of the design are on the page [`design`], which shows every component.

pub mod assets;
pub mod chart;
pub mod confirm;
pub mod console;
pub mod design;
pub mod form;
pub mod frame;
pub mod html;
pub mod list;
pub mod login;
pub mod parts;
pub mod portal;
pub mod problem;
pub mod refusal;
pub mod samples;
mod say;
pub mod saying;
pub mod states;
pub mod words;

pub use frame::{Flash, Frame, Who};
pub use html::Html;
pub use saying::{Figure, Saying};
pub use states::{Label, Tone};

/// Something that fills a whole page.
pub trait Page {
    /// What stands in the browser's tab and in the page's first heading.
    fn title(&self, frame: &Frame) -> String;

    /// The whole document.
    fn render(&self, frame: &Frame) -> String;
}

/// Says which template draws a model: in it `f` is the [`Frame`], `p` the model, `title` its title.
macro_rules! page {
    ($model:ty, $path:tt, |$p:ident, $f:ident| $title:expr) => {
        const _: () = {
            #[derive(askama::Template)]
            #[template(path = $path)]
            struct View<'a> {
                f: &'a $crate::Frame,
                p: &'a $model,
                title: String,
            }

            impl $crate::Page for $model {
                fn title(&self, $f: &$crate::Frame) -> String {
                    let $p = self;
                    $title
                }

                fn render(&self, frame: &$crate::Frame) -> String {
                    $crate::html::finish(&View { f: frame, p: self, title: self.title(frame) })
                }
            }
        };
    };
}

/// Says which template draws a part of a page, by a function of its own name: in it `f` is the [`Frame`], `p` the model.
macro_rules! part {
    ($model:ty, $path:tt) => {
        const _: () = {
            #[derive(askama::Template)]
            #[template(path = $path)]
            struct View<'a> {
                f: &'a $crate::Frame,
                p: &'a $model,
            }

            impl $model {
                /// As HTML.
                #[must_use]
                pub fn html(&self, frame: &$crate::Frame) -> $crate::Html {
                    $crate::Html::made($crate::html::finish(&View { f: frame, p: self }))
                }
            }
        };
    };
}

pub(crate) use {page, part};
