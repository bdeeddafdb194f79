//! A headless Chromium, driven by chromedriver over the W3C's WebDriver protocol. What is needed of that are a dozen calls of plain JSON, for which
//! the client that the command line uses does well. One call at a time, as with [`crate::installation::Api`].

mod judges;
pub mod story;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

pub use judges::{Judges, Validator};

/// How long a page may take to show what is waited for, unless it is said otherwise.
const PATIENCE: Duration = Duration::from_secs(40);

/// The key under which WebDriver names elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with nothing in it. It ends with this.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    runtime: Runtime,
    client: reqwest::Client,
    session: String,
    root: String,
    patience: Cell<Duration>,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium ends with its session; the driver with us.
        let _ = self.runtime.block_on(self.client.delete(&self.session).send());
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Why there can be no browser on this machine.
#[must_use]
pub fn unable() -> Option<String> {
    let found = Command::new("chromedriver").arg("--version").stdout(Stdio::null()).status();
    found
        .err()
        .map(|error| format!("chromedriver can't be started ({error}); tests/lab/install.sh installs it"))
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Browser {
    /// Starts one for the pages of a scheduler.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(root: &str) -> Result<Self> {
        let port = free_port()?;
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start chromedriver; tests/lab/install.sh installs it")?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        // What the environment says of proxies is for the world outside.
        let client = reqwest::Client::builder().no_proxy().build()?;
        let at = format!("http://127.0.0.1:{port}");
        let patience = Cell::new(PATIENCE);
        let mut browser =
            Self { driver, runtime, client, session: at.clone(), root: root.to_owned(), patience };
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-proxy-server",
            "--hide-scrollbars",
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": { "browserName": "chrome", "goog:chromeOptions": { "args": args } } } });
        let opened = browser.until("no browser", || browser.call("/session", &wanted))?;
        browser.session = format!("{at}/session/{}", opened["sessionId"].as_str().context("no session")?);
        browser.look(Screen::DESK)?;
        Ok(browser)
    }

    /// From now on, what is waited for may take so long.
    pub fn be_patient(&self, patience: Duration) {
        self.patience.set(patience);
    }

    fn call(&self, path: &str, body: &Value) -> Result<Value> {
        let answer: Value = self.runtime.block_on(async {
            let sent = self.client.post(format!("{}{path}", self.session)).json(body).send().await?;
            sent.json().await
        })?;
        match answer["value"].get("error") {
            Some(error) => bail!("{error}: {}", answer["value"]["message"]),
            None => Ok(answer["value"].clone()),
        }
    }

    /// Tries until it works.
    fn until<T>(&self, what: &str, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
        let began = Instant::now();
        loop {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(why) if began.elapsed() > self.patience.get() => {
                    let shown = self.path().and_then(|path| Ok(format!(" on {path}:\n{}", self.text()?)));
                    return Err(why.context(format!("{what}{}", shown.unwrap_or_default())));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// Opens a page by its path, or by an address of the same scheduler.
    ///
    /// # Errors
    /// If the browser can't.
    pub fn open(&self, path: &str) -> Result<()> {
        let url = if path.starts_with('/') { format!("{}{path}", self.root) } else { path.to_owned() };
        self.call("/url", &json!({ "url": url })).map(drop)
    }

    /// Signs in with a token.
    ///
    /// # Errors
    /// If there is no page to do so.
    pub fn sign_in(&self, token: &str) -> Result<()> {
        self.open("/login")?;
        self.type_into("input[name=token]", token)?;
        self.press("Sign in")?;
        // Whoever opens another page before the answer is there is led away from it again.
        self.wait_until("return location.pathname !== '/login' && document.readyState === 'complete'")
    }

    /// Runs a script in the page.
    ///
    /// # Errors
    /// If it fails.
    pub fn run(&self, script: &str) -> Result<Value> {
        self.call("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Runs a script in the page until it calls `done` with what it has found.
    ///
    /// # Errors
    /// If it fails, or never calls.
    pub fn run_until_done(&self, script: &str) -> Result<Value> {
        let script = format!("const done = arguments[arguments.length - 1];\n{script}");
        self.call("/execute/async", &json!({ "script": script, "args": [] }))
    }

    /// The path of the page.
    ///
    /// # Errors
    /// If there is none.
    pub fn path(&self) -> Result<String> {
        let path = self.run("return location.pathname + location.search")?;
        Ok(path.as_str().context("no path")?.to_owned())
    }

    /// What can be read on the page.
    ///
    /// # Errors
    /// If there is none.
    pub fn text(&self) -> Result<String> {
        Ok(self.run("return document.body.innerText")?.as_str().unwrap_or_default().to_owned())
    }

    /// The page as HTML, with what has changed since it came.
    ///
    /// # Errors
    /// If there is none.
    pub fn html(&self) -> Result<String> {
        let html = self.run("return '<!DOCTYPE html>' + document.documentElement.outerHTML")?;
        Ok(html.as_str().context("no page")?.to_owned())
    }

    fn element(&self, using: &str, value: &str) -> Result<String> {
        let found = self.call("/element", &json!({ "using": using, "value": value }))?;
        Ok(found[ELEMENT].as_str().context("no element")?.to_owned())
    }

    /// Waits for an element, and returns its name in this protocol.
    ///
    /// # Errors
    /// If it does not come.
    pub fn wait_for(&self, css: &str) -> Result<String> {
        self.until(&format!("no {css}"), || self.element("css selector", css))
    }

    /// Waits until a word can be read, without reloading the page.
    ///
    /// # Errors
    /// If it does not appear.
    pub fn wait_for_text(&self, word: &str) -> Result<()> {
        self.until(&format!("{word:?} does not appear"), || {
            ensure!(self.text()?.contains(word), "it is not there");
            Ok(())
        })
    }

    /// Waits until a script that returns whether something is so returns that it is, without reloading the page.
    ///
    /// # Errors
    /// If it does not become so.
    pub fn wait_until(&self, script: &str) -> Result<()> {
        self.until(&format!("never true: {script}"), || {
            let is_so = self.run(script)?;
            ensure!(is_so == true, "it is {is_so}");
            Ok(())
        })
    }

    /// Types into a field, in place of what is in it.
    ///
    /// # Errors
    /// If there is none.
    pub fn type_into(&self, css: &str, text: &str) -> Result<()> {
        let element = self.wait_for(css)?;
        self.call(&format!("/element/{element}/clear"), &json!({}))?;
        self.call(&format!("/element/{element}/value"), &json!({ "text": text })).map(drop)
    }

    /// Clicks a link or button by what is written on it.
    ///
    /// # Errors
    /// If there is none.
    pub fn press(&self, text: &str) -> Result<()> {
        let path = format!("//main//*[self::a or self::button][normalize-space()={text:?}]");
        // A live part may be drawn anew between the look and the click.
        self.until(&format!("no {text:?} to press"), || {
            let found = self.element("xpath", &path)?;
            self.call(&format!("/element/{found}/click"), &json!({})).map(drop)
        })
    }

    /// As on such a screen from now on.
    ///
    /// # Errors
    /// If the browser can't.
    pub fn look(&self, screen: Screen) -> Result<()> {
        let Screen { width, height, dark, .. } = screen;
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.cdp("Emulation.setEmulatedMedia", &media)?;
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.cdp("Emulation.setDeviceMetricsOverride", &size).map(drop)
    }

    fn cdp(&self, cmd: &str, params: &Value) -> Result<Value> {
        self.call("/goog/cdp/execute", &json!({ "cmd": cmd, "params": params })).context(cmd.to_owned())
    }

    /// A picture of the page, into `target/screenshots`.
    ///
    /// # Errors
    /// If it can't be taken, or written.
    pub fn picture(&self, name: &str) -> Result<()> {
        let folder = target().join("screenshots");
        std::fs::create_dir_all(&folder)?;
        let shot = self.cdp("Page.captureScreenshot", &json!({ "captureBeyondViewport": true }))?;
        let bytes = BASE64.decode(shot["data"].as_str().context("no picture")?)?;
        Ok(std::fs::write(folder.join(format!("{name}.png")), bytes)?)
    }

    /// Everything that the browser has complained about since it was last asked.
    ///
    /// # Errors
    /// If it keeps no log.
    pub fn complaints(&self) -> Result<Vec<String>> {
        let log = self.call("/se/log", &json!({ "type": "browser" }))?;
        let entries = log.as_array().cloned().unwrap_or_default();
        let severe = entries.into_iter().filter(|entry| entry["level"] == "SEVERE");
        Ok(severe.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect())
    }
}

/// What a page is looked at on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// What pictures on it are called.
    pub name: &'static str,
    /// Its width.
    pub width: u32,
    /// Its height.
    pub height: u32,
    /// Whether its owner likes it dark.
    pub dark: bool,
}

impl Screen {
    /// On a desk, by day.
    pub const DESK: Self = Self { name: "light", width: 1280, height: 900, dark: false };
    /// In a hand.
    pub const PHONE: Self = Self { name: "phone", width: 320, height: 700, dark: false };
    /// All that pages are looked at on.
    pub const ALL: [Self; 4] = [
        Self::DESK,
        Self { name: "dark", dark: true, ..Self::DESK },
        Self::PHONE,
        Self { name: "wall", width: 3840, height: 2160, dark: false },
    ];
}

/// The folder that cargo builds into, where `tests/lab/install.sh` puts what judges pages.
fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target")
}
