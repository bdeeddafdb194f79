//! The audit log: everything that happened, and who did it.

use crate::list::List;
use crate::page;
use crate::parts::Events;

/// Everything that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPage {
    /// How it is seen.
    pub list: List,
    /// What happened.
    pub events: Events,
}

impl AuditPage {
    fn oldest_first(&self) -> bool {
        self.list.sort == "at"
    }

    fn order(&self) -> &'static str {
        if self.oldest_first() { "order-oldest" } else { "order-newest" }
    }

    fn other_order(&self) -> &'static str {
        if self.oldest_first() { "show-newest" } else { "show-oldest" }
    }

    /// The same in the other order.
    fn turned(&self) -> String {
        self.list.href(if self.oldest_first() { "" } else { "at" }, 1)
    }
}

page!(AuditPage, "console/audit.html", |_p, f| f.t("nav-audit"));
