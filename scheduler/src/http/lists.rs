//! Pages of lists.

use axum::Json;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::commands::store_problem;
use crate::http::problem::Problem;
use crate::http::views::Page;
use crate::store::{self, Cursor, StoreError};

/// How many items a page has, unless somebody asks for another number, and at the most.
const USUAL: u32 = 50;
const MOST: u32 = 500;

/// Which of the things that owners set.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OfOwner {
    /// Of this owner.
    pub(super) owner: Option<String>,
    /// How many, 1 to 500; 50 unless said.
    pub(super) limit: Option<u32>,
    /// From the page before.
    pub(super) cursor: Option<String>,
}

impl OfOwner {
    /// A page of them as an answer, in the order of their keys.
    ///
    /// # Errors
    /// The number asked for is out of range, or the store failed.
    pub(super) fn page<T, V>(
        &self,
        found: Result<Vec<T>, StoreError>,
        key: impl Fn(&T) -> String,
        view: impl FnMut(&T) -> V,
    ) -> Result<Json<Page<V>>, Problem> {
        let mut found = found.map_err(|error| store_problem(&error))?;
        found.sort_by_key(&key);
        let page = of_all(found, key, self.cursor.as_deref(), limit(self.limit)?);
        Ok(Json(Page { items: page.items.iter().map(view).collect(), next_cursor: page.next_cursor }))
    }
}

/// The number of items asked for.
///
/// # Errors
/// It is out of range.
pub(super) fn limit(asked: Option<u32>) -> Result<u32, Problem> {
    match asked {
        None => Ok(USUAL),
        Some(limit @ 1..=MOST) => Ok(limit),
        Some(other) => {
            Err(Problem::parameter("limit", format!("limit={other} is out of range; choose 1 to {MOST}"))
                .with("allowed", [1, MOST]))
        }
    }
}

/// Where the page begins.
///
/// # Errors
/// It is none of ours.
pub(super) fn cursor(asked: Option<&str>) -> Result<Option<Cursor>, Problem> {
    asked
        .map(|text| text.parse::<Cursor>().map_err(|bad| Problem::parameter("cursor", bad.to_string())))
        .transpose()
}

/// A page of the store as an answer.
///
/// # Errors
/// The store failed.
pub(super) fn page<T, V>(
    page: Result<store::Page<T>, StoreError>,
    view: impl FnMut(&T) -> V,
) -> Result<Page<V>, Problem> {
    let page = page.map_err(|error| store_problem(&error))?;
    Ok(Page {
        items: page.items.iter().map(view).collect(),
        next_cursor: page.next.map(|cursor| cursor.to_string()),
    })
}

/// A page of what is in memory, in the order of its keys: what was filtered already, after the key that the cursor names.
pub(super) fn of_all<T>(
    items: Vec<T>,
    key: impl Fn(&T) -> String,
    after: Option<&str>,
    limit: u32,
) -> Page<T> {
    let limit = limit as usize;
    let mut left: Vec<T> =
        items.into_iter().filter(|item| after.is_none_or(|after| key(item).as_str() > after)).collect();
    let more = left.len() > limit;
    left.truncate(limit);
    let next_cursor = if more { left.last().map(key) } else { None };
    Page { items: left, next_cursor }
}

/// A filter `open`, `closed` or `all`.
///
/// # Errors
/// It is another word.
pub(super) fn only(asked: Option<&str>, usual: store::Only) -> Result<store::Only, Problem> {
    match asked {
        None => Ok(usual),
        Some("open") => Ok(store::Only::Open),
        Some("closed") => Ok(store::Only::NotOpen),
        Some("all") => Ok(store::Only::All),
        Some(other) => {
            Err(Problem::parameter("only", format!("only={other} is not known; choose open, closed or all"))
                .with("allowed", ["open", "closed", "all"]))
        }
    }
}
