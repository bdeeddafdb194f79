//! The connection that events come on: kept open, opened again when it breaks.
//!
//! What happens while it is closed is lost, so after every opening everything is looked at again.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use virt::connect::Connect;

use super::super::libvirt_sys::{Event, Subscription};
use super::super::{Wake, Waker};
use super::daemon;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// How often a connection is asked whether it lives, beside the notice that it should give by itself.
const LIVES: Duration = Duration::from_secs(10);

/// Starts the thread that passes events on.
///
/// # Errors
/// When the system gives no thread.
pub(super) fn watch(uri: String, waker: Arc<Mutex<Option<Waker>>>) -> io::Result<()> {
    let wake = move |wake: Wake| {
        let waker = waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waker) = waker {
            waker(wake);
        }
    };
    thread::Builder::new().name("libvirt-events".to_owned()).spawn(move || keep_watching(&uri, &wake))?;
    Ok(())
}

fn keep_watching(uri: &str, wake: &dyn Fn(Wake)) {
    let mut pause = FIRST_PAUSE;
    let mut known_away = false;
    loop {
        match daemon::open(uri) {
            Ok(connect) => {
                if known_away {
                    tracing::info!(uri, "libvirt's events come again");
                }
                known_away = false;
                if let Err(error) = pass_on(&connect, wake) {
                    tracing::warn!(uri, "libvirt gives no events: {error}");
                } else {
                    pause = FIRST_PAUSE;
                }
            }
            Err(error) => {
                if !known_away {
                    tracing::warn!(uri, "libvirt can't be reached, trying on: {}", error.message());
                }
                known_away = true;
            }
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Until the connection is closed.
fn pass_on(connect: &Connect, wake: &dyn Fn(Wake)) -> Result<(), virt::error::Error> {
    let (sender, events) = mpsc::channel();
    let subscription = Subscription::new(connect, &sender)?;
    wake(Wake::Everything);
    loop {
        match events.recv_timeout(LIVES) {
            Ok(Event::Domain(server)) => wake(Wake::Server(server)),
            Ok(Event::Closed) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                if !connect.is_alive().unwrap_or(false) {
                    break;
                }
            }
        }
    }
    drop(subscription);
    wake(Wake::Everything);
    Ok(())
}
