//! What an operator and an owner do before their browsers, whatever there is behind the pages.

use anyhow::{Context as _, Result, ensure};

use super::Browser;

/// What is done with each page on the way, by its name.
pub type Look<'a> = &'a mut dyn FnMut(&Browser, &str) -> Result<()>;

/// Asks for a host to be emptied, reads the plan, has a draft made of it, and approves that; returns the maintenance's number.
///
/// # Errors
/// If the pages don't lead there.
pub fn plan_and_approve(operator: &Browser, host: &str, reads: &str, look: Look<'_>) -> Result<String> {
    operator.open("/maintenances/new")?;
    look(operator, "maintenance-new")?;
    operator.type_into("input[name=hosts]", host)?;
    operator.type_into("input[name=reason]", "kernel-update")?;
    operator.run("document.querySelector('select[name=kind]').value = 'rolling-drain'")?;
    operator.press("Show the plan")?;
    operator.wait_for_text(reads)?;
    look(operator, "plan-before")?;
    operator.press("Make the draft")?;
    operator.wait_for_text("this page follows it")?;
    let path = operator.path()?;
    // Nothing has begun, and the page says by itself when there is something to approve.
    operator.wait_for_text("waits for approval")?;
    look(operator, "maintenance-draft")?;
    operator.press("Approve")?;
    operator.wait_for_text("This will happen")?;
    look(operator, "maintenance-approve")?;
    operator.press("Approve")?;
    operator.wait_for_text("Approved; it begins.")?;
    look(operator, "maintenance-running")?;
    Ok(path.strip_prefix("/maintenances/").with_context(|| format!("it leads to {path}"))?.to_owned())
}

/// Waits before the page of the fleet, which nobody reloads, until a host's tile shows so many servers.
///
/// # Errors
/// If it does not.
pub fn see_left(operator: &Browser, host: &str, servers: &str) -> Result<()> {
    operator.wait_until(&format!(
        "return document.querySelector('a.tile[href=\"/hosts/{host}\"]').title.includes(', {servers},')"
    ))
}

/// Opens the link of a mail, which leads to the one ticket, and chooses the last of the times that are offered.
///
/// # Errors
/// If the pages don't lead there.
pub fn open_and_move_the_date(owner: &Browser, link: &str, server: &str, look: Look<'_>) -> Result<()> {
    owner.open(link)?;
    owner.wait_for_text(server)?;
    ensure!(owner.path()?.starts_with("/my/migrations/"), "{}", owner.path()?);
    look(owner, "my-migration")?;
    owner.press("Pick another time")?;
    owner.wait_for("input[type=radio]")?;
    look(owner, "my-times")?;
    owner.run("const all = document.querySelectorAll('input[type=radio]'); all[all.length - 1].click()")?;
    owner.press("Choose this time")?;
    owner.wait_for_text("Moved to the time that you chose.")
}

/// Waits until the copy of the disks is there, tests the server, and says that the test has passed. What is said of it changes by itself.
///
/// # Errors
/// If the pages don't lead there, or the test guest is not seen alive at this console.
pub fn test(owner: &Browser, server: &str, console: &str, look: Look<'_>) -> Result<()> {
    owner.press("Launch a test")?;
    owner.wait_for_text("This will happen")?;
    look(owner, "my-test")?;
    owner.press("Launch a test")?;
    owner.wait_for_text(&format!("{server}-test"))?;
    owner.wait_for_text(console)?;
    owner.wait_for_text("It works")?;
    look(owner, "my-migration-tested")?;
    owner.press("It works")?;
    owner.wait_for("main form.form")?;
    owner.press("It works")?;
    owner.wait_for_text("said to have passed")?;
    owner.press("End the test")?;
    owner.wait_for_text("This will happen")?;
    owner.press("End the test")?;
    owner.wait_for_text("nothing of it is left")
}

/// Has the server moved now, follows that without reloading, reads what it was looked at for, and confirms.
///
/// # Errors
/// If the pages don't lead there.
pub fn migrate_now_and_confirm(owner: &Browser, look: Look<'_>) -> Result<()> {
    owner.press("Migrate now")?;
    owner.wait_for_text("This will happen")?;
    look(owner, "my-start-now")?;
    owner.press("Migrate now")?;
    owner.wait_for_text("It begins.")?;
    owner.wait_for_text("What was looked at")?;
    owner.press("All is well")?;
    owner.wait_for("main form.form")?;
    look(owner, "my-confirm")?;
    owner.press("All is well")?;
    owner.wait_for_text("Confirmed. Thank you.")?;
    look(owner, "my-migration-done")
}
