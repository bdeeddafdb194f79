//! Ctrl-C: noted, so that the demonstration ends in order and takes its lab with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

/// Whether somebody wants it to end.
#[derive(Debug, Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on SIGINT, SIGTERM and SIGHUP do not end the process.
    ///
    /// # Errors
    /// If the signals cannot be listened to.
    pub fn listen() -> Result<Self> {
        let wanted = Arc::new(AtomicBool::new(false));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut interrupt, mut terminate, mut hangup) = {
            let _inside = runtime.enter();
            (
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            )
        };
        let noted = Arc::clone(&wanted);
        std::thread::Builder::new()
            .name("interrupt".into())
            .spawn(move || {
                runtime.block_on(async move {
                    loop {
                        tokio::select! {
                            _ = interrupt.recv() => {}
                            _ = terminate.recv() => {}
                            _ = hangup.recv() => {}
                        }
                        if !noted.swap(true, Ordering::SeqCst) {
                            eprintln!("\ninterrupted; everything is being taken away");
                        }
                    }
                });
            })
            .context("a thread cannot be started")?;
        Ok(Self(wanted))
    }

    /// Goes on, unless somebody wants it to end.
    ///
    /// # Errors
    /// If somebody does.
    pub fn check(&self) -> Result<()> {
        if self.is_wanted() {
            bail!("interrupted");
        }
        Ok(())
    }

    /// Whether somebody wants it to end.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
