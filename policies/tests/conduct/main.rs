//! The conductor, told as stories: what is decided is taken in, agents answer, time passes.

mod stories;
mod story;
