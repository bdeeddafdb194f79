//! The mail server: it takes everything, and remembers what came when.
//!
//! Written out, as the servers that can be embedded bring an encryption of their own with them, and a real one would be what is
//! measured: it keeps each mail safely before it answers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;

/// One mail.
#[derive(Debug, Clone)]
pub(super) struct Arrived {
    /// Its Message-ID.
    pub(super) id: String,
    /// Which kind of notice it is.
    kind: String,
    /// When it was there.
    pub(super) at: Instant,
}

/// A mail server on this machine. It ends with the process.
pub(super) struct Postbox {
    address: SocketAddr,
    mails: Arc<Mutex<Vec<Arrived>>>,
}

impl Postbox {
    pub(super) fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let mails = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&mails);
        std::thread::Builder::new().name("postbox".to_owned()).spawn(move || {
            for stream in listener.incoming().flatten() {
                let mails = Arc::clone(&taken);
                // A conversation that breaks off is the sender's to repeat.
                std::thread::spawn(move || converse(&stream, &mails));
            }
        })?;
        Ok(Self { address, mails })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The mails of a kind, as they came.
    pub(super) fn of(&self, kind: &str) -> Vec<Arrived> {
        let mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        mails.iter().filter(|mail| mail.kind == kind).cloned().collect()
    }
}

fn converse(mut stream: &TcpStream, mails: &Mutex<Vec<Arrived>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream).lines();
    stream.write_all(b"220 postbox.example\r\n")?;
    while let Some(command) = lines.next().transpose()? {
        let verb = command.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => stream.write_all(b"250-postbox.example\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n")?,
            "DATA" => {
                stream.write_all(b"354 go on\r\n")?;
                let mut arrived = Arrived { id: String::new(), kind: String::new(), at: Instant::now() };
                while let Some(line) = lines.next().transpose()?.filter(|line| line != ".") {
                    if let Some(id) = line.strip_prefix("Message-ID:") {
                        arrived.id = id.trim().to_owned();
                    }
                    if let Some(kind) = line.strip_prefix("X-Drover-Kind:") {
                        arrived.kind = kind.trim().to_owned();
                    }
                }
                arrived.at = Instant::now();
                mails.lock().unwrap_or_else(PoisonError::into_inner).push(arrived);
                stream.write_all(b"250 taken\r\n")?;
            }
            "QUIT" => return stream.write_all(b"221 good bye\r\n"),
            _ => stream.write_all(b"250 well\r\n")?,
        }
    }
    Ok(())
}
