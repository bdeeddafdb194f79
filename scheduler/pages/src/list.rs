//! Lists: sorting, filtering and pages, all of them in the address, so that a link shows what its sender saw.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::form::Choice;
use crate::frame::Frame;
use crate::html::{Html, escaped};
use crate::part;

/// What may stand as it is in a value of a query.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How a list is seen: what it is sorted by, filtered by, and which page of it this is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    /// The page's path.
    pub path: String,
    /// A column's name, with `-` before it when the greatest come first.
    pub sort: String,
    /// What is searched for in it.
    pub q: String,
    /// What else can be chosen.
    pub filters: Vec<Filter>,
    /// What else the address says and is kept, however the list is seen: names and values.
    pub kept: Vec<(String, String)>,
    /// Which page this is, from 1.
    pub page: u32,
    /// How many there are in all, as filtered.
    pub total: u64,
    /// How many stand on one page.
    pub per_page: u32,
}

/// Something by which a list is filtered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Its name in the address: `state`.
    pub name: &'static str,
    /// The key of its words.
    pub label: &'static str,
    /// What can be chosen besides "all".
    pub choices: Vec<Choice>,
    /// What is; empty for all.
    pub chosen: String,
}

impl List {
    /// This list seen in another way.
    pub(crate) fn href(&self, sort: &str, page: u32) -> String {
        let mut pairs = vec![("sort", sort.to_owned()), ("q", self.q.clone())];
        pairs.extend(self.filters.iter().map(|filter| (filter.name, filter.chosen.clone())));
        if page > 1 {
            pairs.push(("page", page.to_string()));
        }
        self.address(pairs)
    }

    /// All of it, in the order that it comes in.
    fn whole(&self) -> String {
        self.address(Vec::new())
    }

    fn address(&self, pairs: Vec<(&str, String)>) -> String {
        let kept = self.kept.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let pairs = kept.chain(pairs);
        let query: Vec<String> = pairs
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(&value, VALUE)))
            .collect();
        if query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, query.join("&")) }
    }

    fn pages(&self) -> u64 {
        self.total.div_ceil(u64::from(self.per_page.max(1))).max(1)
    }

    fn first(&self) -> u64 {
        if self.total == 0 { 0 } else { u64::from(self.page.max(1) - 1) * u64::from(self.per_page) + 1 }
    }

    fn last(&self) -> u64 {
        self.total.min(u64::from(self.page.max(1)) * u64::from(self.per_page))
    }

    fn before(&self) -> Option<String> {
        (self.page > 1).then(|| self.href(&self.sort, self.page - 1))
    }

    fn after(&self) -> Option<String> {
        (u64::from(self.page.max(1)) < self.pages()).then(|| self.href(&self.sort, self.page.max(1) + 1))
    }

    fn is_filtered(&self) -> bool {
        !self.q.is_empty() || self.filters.iter().any(|filter| !filter.chosen.is_empty())
    }
}

part!(List, "parts/filters.html");

/// The line below a list: how much of it is seen, and where the rest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pager {
    pub(crate) list: List,
}

part!(Pager, "parts/pager.html");

impl Frame {
    /// A column's heading by which the list can be sorted; a second click turns it round.
    pub(crate) fn sortable(&self, list: &List, column: &str, label: &str) -> Html {
        let text = escaped(&self.t(label));
        let (order, mark, next) = if list.sort == column {
            (" aria-sort=\"ascending\"", " <span aria-hidden=\"true\">▲</span>", format!("-{column}"))
        } else if list.sort.strip_prefix('-') == Some(column) {
            (" aria-sort=\"descending\"", " <span aria-hidden=\"true\">▼</span>", column.to_owned())
        } else {
            ("", "", column.to_owned())
        };
        let href = escaped(&list.href(&next, 1));
        Html::made(format!("<th scope=\"col\"{order}><a href=\"{href}\">{text}{mark}</a></th>"))
    }

    pub(crate) fn pager(&self, list: &List) -> Html {
        Pager { list: list.clone() }.html(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn list() -> List {
        let filter =
            Filter { name: "state", label: "state", choices: Vec::new(), chosen: "open & shut".to_owned() };
        List {
            path: "/tickets".to_owned(),
            sort: "-opened".to_owned(),
            q: "db=1&page=9".to_owned(),
            filters: vec![filter],
            kept: vec![("hosts".to_owned(), "h1 h2".to_owned())],
            page: 2,
            total: 101,
            per_page: 50,
        }
    }

    #[test]
    fn an_address_keeps_everything_and_what_is_typed_can_not_change_the_rest_of_it() {
        assert_eq!(
            list().href("server", 3),
            "/tickets?hosts=h1%20h2&sort=server&q=db%3D1%26page%3D9&state=open%20%26%20shut&page=3"
        );
        assert_eq!(list().whole(), "/tickets?hosts=h1%20h2");
        let form = list().html(&samples::operator("/tickets")).into_string();
        assert!(form.contains("<input type=\"hidden\" name=\"hosts\" value=\"h1 h2\">"), "{form}");
    }

    #[test]
    fn the_last_page_ends_where_the_list_does() {
        let list = List { page: 3, ..list() };
        assert_eq!((list.first(), list.last(), list.pages()), (101, 101, 3));
        assert_eq!(list.after(), None);
        assert!(list.before().is_some());
    }

    #[test]
    fn a_second_click_turns_the_order_round() {
        let frame = samples::operator("/tickets");
        let head = |sort: &str| {
            frame
                .sortable(&List { sort: sort.to_owned(), ..List::default() }, "server", "col-server")
                .into_string()
        };
        assert!(head("").contains("?sort=server\""), "{}", head(""));
        assert!(head("server").contains("?sort=-server\""));
        assert!(head("-server").contains("aria-sort=\"descending\""));
    }
}
