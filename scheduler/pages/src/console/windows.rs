//! What all owners have said of when their servers may be restarted.

use crate::list::List;
use crate::page;
use crate::portal::windows::Wish;

/// Windows, freezes and limits of all accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllWindowsPage {
    /// How they are seen.
    pub list: List,
    /// They.
    pub wishes: Vec<Wish>,
}

page!(AllWindowsPage, "console/windows.html", |_p, f| f.t("nav-windows"));
