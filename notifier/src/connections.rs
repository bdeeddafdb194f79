//! Connections to a mail server that are kept from one mail to the next.
//!
//! Connecting, encrypting and logging in takes several round trips, the mail itself three. Thousands of mails at the same minute are
//! sent over a few connections instead.

use std::sync::{Mutex, PoisonError};

use lettre::transport::smtp::client::AsyncSmtpConnection;

/// Servers limit how many mails they take on one connection (OpenSMTPD at 100), and refuse what comes after.
const MAILS: u32 = 90;

/// A connection that is ready for a mail.
pub(crate) struct Connection {
    pub(crate) smtp: AsyncSmtpConnection,
    mails: u32,
}

impl Connection {
    pub(crate) fn new(smtp: AsyncSmtpConnection) -> Self {
        Self { smtp, mails: 0 }
    }
}

/// Those that nobody uses at the moment.
#[derive(Default)]
pub(crate) struct Connections(Mutex<Vec<Connection>>);

impl Connections {
    pub(crate) fn take(&self) -> Option<Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Takes one back over which a mail has just been accepted: it is ready for another.
    pub(crate) async fn put(&self, mut connection: Connection) {
        connection.mails += 1;
        if connection.mails < MAILS {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        } else {
            connection.smtp.abort().await;
        }
    }

    /// Says goodbye on all of them.
    pub(crate) async fn close(&self) {
        while let Some(mut connection) = self.take() {
            // Whether the server hears it is of no matter.
            connection.smtp.abort().await;
        }
    }
}
