//! Lists: what the address says of their order, filter and page.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use drover_pages::form::Choice;
use drover_pages::list::{Filter, List};

use super::form::Typed;

/// How many rows a page has.
const PER_PAGE: u32 = 50;

/// What the address says.
#[derive(Debug, Clone, Default)]
pub struct Sought {
    path: String,
    said: BTreeMap<String, String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Sought {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        let said = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Ok(Self { path: parts.uri.path().to_owned(), said })
    }
}

impl Sought {
    /// A parameter; empty when it is missing.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.said.get(name).map(|text| text.trim()).unwrap_or_default()
    }

    /// What the address says, as if it had been typed into a form.
    pub(super) fn typed(&self) -> Typed {
        Typed(self.said.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

/// A column by which a list can be sorted.
pub(super) type Column<T> = (&'static str, fn(&T, &T) -> Ordering);

/// Something by which a list can be filtered: its name, the key of its words, and which of its values a row has.
pub(super) type By<T> = (&'static str, &'static str, fn(&T) -> String);

/// A page of rows as the address wishes, and the list's own figures. What the address says that no list has is passed over: an old link
/// shows the list all the same.
pub(super) fn arranged<T>(
    sought: &Sought,
    mut rows: Vec<T>,
    columns: &[Column<T>],
    by: &[By<T>],
    words: impl Fn(&T) -> String,
) -> (List, Vec<T>) {
    let filters: Vec<Filter> = by
        .iter()
        .map(|(name, label, value)| {
            let known: std::collections::BTreeSet<String> =
                rows.iter().map(value).filter(|value| !value.is_empty()).collect();
            let choices =
                known.into_iter().map(|text| Choice { value: plain(&text).to_owned(), text }).collect();
            Filter { name, label, choices, chosen: sought.text(name).to_owned() }
        })
        .collect();
    let q = sought.text("q").to_lowercase();
    rows.retain(|row| {
        let chosen = by
            .iter()
            .zip(&filters)
            .all(|((_, _, value), filter)| filter.chosen.is_empty() || plain(&value(row)) == filter.chosen);
        chosen && (q.is_empty() || words(row).to_lowercase().contains(&q))
    });
    let sort = sought.text("sort");
    let (column, turned) = sort.strip_prefix('-').map_or((sort, false), |column| (column, true));
    if let Some((_, compare)) = columns.iter().find(|(name, _)| *name == column) {
        rows.sort_by(|a, b| if turned { compare(b, a) } else { compare(a, b) });
    }
    let known = columns.iter().any(|(name, _)| *name == column);
    let list = listed(sought, filters, rows.len() as u64);
    // What it is not sorted by, it does not say it is.
    let list = List { sort: if known { list.sort } else { String::new() }, ..list };
    let first = usize::try_from(passed_over(&list)).unwrap_or(usize::MAX);
    (list, rows.into_iter().skip(first).take(PER_PAGE as usize).collect())
}

/// The figures of a list of so many rows, as filtered.
pub(super) fn listed(sought: &Sought, filters: Vec<Filter>, total: u64) -> List {
    let last = u32::try_from(total.div_ceil(u64::from(PER_PAGE))).unwrap_or(u32::MAX).max(1);
    List {
        path: sought.path.clone(),
        sort: sought.text("sort").to_owned(),
        q: sought.text("q").to_owned(),
        filters,
        kept: Vec::new(),
        page: sought.text("page").parse().unwrap_or(1).clamp(1, last),
        total,
        per_page: PER_PAGE,
    }
}

/// How many rows stand on the pages before.
pub(super) fn passed_over(list: &List) -> u64 {
    u64::from(list.page.max(1) - 1) * u64::from(list.per_page)
}

/// A state's key as it stands in an address: `failed` of `state-failed`.
fn plain(key: &str) -> &str {
    key.strip_prefix("state-").unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(query: &str) -> (List, Vec<u32>) {
        let said = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let sought = Sought { path: "/x".to_owned(), said };
        let parity: By<u32> = ("state", "col-state", |n| if n % 2 == 0 { "even" } else { "odd" }.to_owned());
        arranged(&sought, (1..=120).collect(), &[("n", u32::cmp)], &[parity], ToString::to_string)
    }

    #[test]
    fn an_address_names_order_filter_and_page() {
        let (list, rows) = seen("sort=-n&state=even&page=2");
        assert_eq!((rows.first(), rows.last(), list.total), (Some(&20), Some(&2), 60));
        assert_eq!(list.filters[0].choices.len(), 2, "what can be chosen does not depend on what is");
        assert_eq!(seen("q=12").1, [12, 112, 120]);
    }

    #[test]
    fn an_address_that_is_out_of_date_shows_the_list_all_the_same() {
        assert_eq!(seen("page=99").0.page, 3);
        for query in ["page=-1", "page=x", "sort=%27;drop", "sort=-", "page=99999999999999"] {
            assert_eq!(seen(query).1.len(), 50, "{query}");
            assert_eq!(seen(query).0.sort, "", "{query}");
        }
        assert!(seen("state=gone").1.is_empty());
    }
}
