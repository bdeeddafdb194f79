//! The audit log: everything that happened, and who did it.

use crate::list::List;
use crate::page;
use crate::parts::Events;

/// Everything that happened, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPage {
    /// How it is seen.
    pub list: List,
    /// What happened.
    pub events: Events,
}

page!(AuditPage, "console/audit.html", |_p, f| f.t("nav-audit"));
