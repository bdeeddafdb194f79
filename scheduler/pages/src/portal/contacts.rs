//! How an owner is reached.

use crate::form::Form;
use crate::page;

/// How an owner is reached, to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactsPage {
    /// Name, mail addresses, zone, language, reminders.
    pub form: Form,
    /// Those of the addresses from which mail came back of late.
    pub bounces: Vec<String>,
}

page!(ContactsPage, "portal/contacts.html", |_p, f| f.t("nav-my-contacts"));
