//! Sentences of the scheduler, recognised by their English, so that they can be said in a reader's language.
//!
//! A notice keeps why something is so as an English sentence: it is read by operators and by programs too, and must go on meaning the
//! same after an upgrade. The shipped English words have each such sentence once more, as a message whose id begins with `said-`, with
//! variables where the sentence has figures and names. A sentence that matches one is said by that message of the other language.
//! `tests/rendered.rs` goes through what the policies can say and fails on a sentence that has no message.

use fluent_syntax::ast::{Entry, Expression, InlineExpression, PatternElement};
use fluent_syntax::parser;

use crate::tongues::ENGLISH_WORDS;

const PREFIX: &str = "said-";
/// Ours are shorter; taking apart takes longer the more there is.
const LONGEST: usize = 600;

/// The sentences that are known.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    known: Vec<Sentence>,
}

#[derive(Debug, Clone)]
struct Sentence {
    id: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Variable(String),
}

/// A variable's name, and what stood in its place.
pub(crate) type Part = (String, String);

impl Said {
    /// Those of the shipped English words.
    pub(crate) fn english() -> Self {
        let resource = parser::parse(ENGLISH_WORDS).unwrap_or_else(|(rest, _)| rest);
        let mut known: Vec<Sentence> = resource
            .body
            .iter()
            .filter_map(|entry| match entry {
                Entry::Message(message) if message.id.name.starts_with(PREFIX) => {
                    let pieces = message.value.as_ref()?.elements.iter().map(piece).collect();
                    Some(Sentence { id: message.id.name.to_owned(), pieces })
                }
                _ => None,
            })
            .collect();
        // What has fewer variables is more particular.
        known.sort_by_key(|sentence| sentence.variables().count());
        Self { known }
    }

    /// Ids and variables.
    pub(crate) fn messages(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        self.known.iter().map(|sentence| (&*sentence.id, sentence.variables().collect()))
    }

    /// Which sentence this is, and what stands in it for the variables.
    pub(crate) fn recognise(&self, text: &str) -> Option<(&str, Vec<Part>)> {
        if text.len() > LONGEST {
            return None;
        }
        self.known.iter().find_map(|sentence| Some((&*sentence.id, taken_apart(text, &sentence.pieces)?)))
    }
}

impl Sentence {
    fn variables(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Variable(name) => Some(&**name),
            Piece::Text(_) => None,
        })
    }
}

fn piece(element: &PatternElement<&str>) -> Piece {
    match element {
        PatternElement::TextElement { value } => Piece::Text((*value).to_owned()),
        PatternElement::Placeable {
            expression: Expression::Inline(InlineExpression::VariableReference { id }),
        } => Piece::Variable(id.name.to_owned()),
        // None of ours has anything else; a text that never matches leaves its sentence in English.
        PatternElement::Placeable { .. } => Piece::Text("\0".to_owned()),
    }
}

/// Each variable takes as little as it can; the last one takes the rest.
fn taken_apart(text: &str, pieces: &[Piece]) -> Option<Vec<Part>> {
    match pieces {
        [] => text.is_empty().then(Vec::new),
        [Piece::Text(literal), rest @ ..] => taken_apart(text.strip_prefix(&**literal)?, rest),
        [Piece::Variable(name)] => (!text.is_empty()).then(|| vec![(name.clone(), text.to_owned())]),
        [Piece::Variable(name), rest @ ..] => {
            let ends = text.char_indices().map(|(end, _)| end).filter(|end| *end > 0);
            ends.into_iter().find_map(|end| {
                let mut parts = taken_apart(&text[end..], rest)?;
                parts.insert(0, (name.clone(), text[..end].to_owned()));
                Some(parts)
            })
        }
    }
}

/// The ids of all messages of a file, in its order.
pub(crate) fn sentences(text: &str) -> Vec<String> {
    let resource = parser::parse(text).unwrap_or_else(|(rest, _)| rest);
    let id = |entry: &Entry<&str>| match entry {
        Entry::Message(message) => Some(message.id.name.to_owned()),
        _ => None,
    };
    resource.body.iter().filter_map(id).collect()
}
