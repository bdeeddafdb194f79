//! What looks at pages that we have made: axe for barriers, the Nu HTML checker for what is no HTML. `tests/lab/install.sh` brings both; where
//! one is not there, that is said, and the rest is looked at all the same.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Browser, Screen, target};

/// Reads pages as the standard does.
#[derive(Debug)]
pub struct Validator {
    jar: PathBuf,
}

impl Validator {
    /// If it is there, and Java; if not, that is said.
    #[must_use]
    pub fn find() -> Option<Self> {
        let jar = target().join("lab/vnu.jar");
        let lacks = if !jar.is_file() {
            Some(format!("the HTML checker is not in {}", jar.display()))
        } else {
            Command::new("java")
                .arg("-version")
                .output()
                .err()
                .map(|error| format!("there is no java: {error}"))
        };
        let Some(lacks) = lacks else { return Some(Self { jar }) };
        eprintln!("SKIPPED: {lacks}; pages are not validated (tests/lab/install.sh installs it)");
        None
    }

    /// What is wrong with these pages, all read in one go, as Java is slow to begin. Each has a name.
    ///
    /// # Errors
    /// If it does not run.
    pub fn judge<'a>(&self, pages: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Vec<String>> {
        let folder = tempfile::tempdir()?;
        for (name, html) in pages {
            fs::write(folder.path().join(format!("{name}.html")), html)?;
        }
        let output = Command::new("java")
            .arg("-jar")
            .arg(&self.jar)
            .args(["--format", "json", "--stdout", "--exit-zero-always"])
            .arg(folder.path())
            .output()?;
        let words = String::from_utf8_lossy(&output.stderr);
        let found: Value =
            serde_json::from_slice(&output.stdout).with_context(|| format!("no verdict: {words}"))?;
        let messages = found["messages"].as_array().context("a verdict without messages")?;
        Ok(messages.iter().map(told).collect())
    }
}

/// A message as one reads it: the page, the line, what is wrong, and the place.
fn told(message: &Value) -> String {
    let text = |key: &str| message[key].as_str().unwrap_or_default();
    let page = text("url").rsplit('/').next().unwrap_or_default();
    format!("{page}:{}: {} at {:?}", message["lastLine"], text("message"), text("extract"))
}

/// What is written over things and on buttons, and is the key of words that are missing.
const KEYS: &str = "return [...document.querySelectorAll('h1, h2, h3, label, legend, thead th, dt, button')]
    .map((one) => one.firstChild?.textContent.trim()).filter((text) => /^[a-z]+(-[a-z]+)+$/.test(text))";

/// All that a page which somebody sees in a browser must stand.
#[derive(Debug)]
pub struct Judges {
    axe: Option<String>,
    validator: Option<Validator>,
    seen: Vec<(String, String)>,
}

impl Judges {
    /// Those that are there; of others it is said that they are not.
    #[must_use]
    pub fn gather() -> Self {
        let file = target().join("lab/axe.min.js");
        let axe = fs::read_to_string(&file).inspect_err(|_| {
            eprintln!("SKIPPED: axe is not in {}; barriers are not looked for", file.display())
        });
        Self { axe: axe.ok(), validator: Validator::find(), seen: Vec::new() }
    }

    /// The page as it is on a desk, a phone and a wall, by day and by night, each with its picture: nothing sticks out, axe finds nothing
    /// serious, no key stands where words should be, and the browser has no complaint.
    ///
    /// # Errors
    /// If the page does not stand it.
    pub fn look_at(&mut self, browser: &Browser, name: &str) -> Result<()> {
        self.seen.push((name.to_owned(), browser.html()?));
        let keys = browser.run(KEYS)?;
        ensure!(keys == Value::Array(Vec::new()), "{name}: there are no words for {keys}");
        for screen in Screen::ALL {
            browser.look(screen)?;
            browser.picture(&format!("{name}-{}", screen.name))?;
            let wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
            let wide = browser.run(wide)?;
            ensure!(
                wide.as_i64().is_some_and(|wide| wide <= 0),
                "{name}, {}: {wide} pixels too wide",
                screen.name
            );
            if let Some(axe) = &self.axe {
                let found = barriers(browser, axe)?;
                ensure!(found.is_empty(), "{name}, {}: {found:#?}", screen.name);
            }
        }
        browser.look(Screen::DESK)?;
        let complaints = browser.complaints()?;
        ensure!(complaints.is_empty(), "{name}: the browser complains: {complaints:#?}");
        Ok(())
    }

    /// Validates all pages that were looked at.
    ///
    /// # Errors
    /// If one is no HTML.
    pub fn rule(self) -> Result<()> {
        let Some(validator) = self.validator else { return Ok(()) };
        let found = validator.judge(self.seen.iter().map(|(name, html)| (name.as_str(), html.as_str())))?;
        ensure!(found.is_empty(), "what is no HTML:\n{}", found.join("\n"));
        Ok(())
    }
}

/// What axe finds serious about the page.
fn barriers(browser: &Browser, axe: &str) -> Result<Vec<String>> {
    // A page's own policy lets no script in but its own; what the driver runs is no script of the page.
    browser.run(axe)?;
    let found = browser.run_until_done(
        "axe.run(document, { resultTypes: ['violations'] }).then((found) => done(found.violations
            .filter((one) => ['serious', 'critical'].includes(one.impact))
            .map((one) => one.id + ': ' + one.help + ' at ' + one.nodes.map((node) => node.html).join(' | '))),
            (error) => done(['axe failed: ' + error]))",
    )?;
    Ok(serde_json::from_value(found)?)
}
