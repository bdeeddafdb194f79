//! What the owner of a guest may ask to be looked at after its move: a port that answers every HTTP request.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

/// Where a guest answers, and how often it was booted until it no longer does.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// The port, at every address.
    pub port: u16,
    /// It answers in its first so many boots only; 0 for all of them.
    pub boots: u64,
}

impl Service {
    /// Whether it answers in this boot, counted from 1.
    pub fn is_offered(self, boot: u64) -> bool {
        self.boots == 0 || boot <= self.boots
    }
}

/// Answers one after the other.
pub fn answer_for_ever(port: u16) -> io::Result<()> {
    for stream in TcpListener::bind(("0.0.0.0", port))?.incoming() {
        if let Err(error) = stream.and_then(|stream| answer(&stream)) {
            println!("service: not answered: {error}");
        }
    }
    Ok(())
}

/// A connection that asks nothing is one that only looks whether the port takes it.
fn answer(mut stream: &TcpStream) -> io::Result<()> {
    let mut asked = BufReader::new(stream).lines();
    let Some(first) = asked.next().transpose()? else { return Ok(()) };
    for line in asked {
        if line?.is_empty() {
            break;
        }
    }
    println!("service: {first}");
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
}
