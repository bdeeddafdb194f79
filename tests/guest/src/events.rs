//! What software in a guest does that wants to know when its server is moved: it asks the host for its events, and says
//! that it is ready. Written as a shell script with curl would do it, for there is neither here.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// The pause between two questions.
const EVERY: Duration = Duration::from_secs(1);

/// How long the host may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where to ask, and whether to say that it is ready.
#[derive(Debug, Clone)]
pub struct Asking {
    from: String,
    acknowledges: bool,
}

impl Asking {
    /// Nothing for a guest that asks nothing.
    pub fn new(from: &str, what: &str) -> Option<Self> {
        let asking = |acknowledges| Some(Self { from: from.to_owned(), acknowledges });
        match what {
            "reads" => asking(false),
            "acknowledges" => asking(true),
            _ => None,
        }
    }
}

/// Asks every second, prints what is another answer than the last one, and acknowledges what is scheduled.
pub fn ask_for_ever(asking: &Asking) {
    let mut last = String::new();
    loop {
        let answer = match ask(asking, "GET", "") {
            Ok(answer) => answer,
            Err(error) => format!("no answer: {error}"),
        };
        let told = summary(&answer);
        if told != last {
            println!("events: {told}");
            last = told;
        }
        if asking.acknowledges && field(&answer, "EventStatus") == Some("Scheduled") {
            let id = field(&answer, "EventId").unwrap_or_default();
            let ready = format!(r#"{{"StartRequests":[{{"EventId":"{id}"}}]}}"#);
            match ask(asking, "POST", &ready) {
                Ok(answer) => println!("events: acknowledged {id}: {}", summary(&answer)),
                Err(error) => println!("events: not acknowledged: {error}"),
            }
        }
        std::thread::sleep(EVERY);
    }
}

fn ask(asking: &Asking, method: &str, body: &str) -> io::Result<String> {
    let address = asking.from.parse().map_err(io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "{method} /metadata/scheduledevents?api-version=2020-07-01 HTTP/1.1\r\nHost: {}\r\nMetadata: true\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        asking.from,
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The status, and what there is of an event.
fn summary(answer: &str) -> String {
    let mut told = answer.lines().next().and_then(|line| line.split(' ').nth(1)).unwrap_or(answer).to_owned();
    for name in ["EventType", "EventStatus", "NotBefore", "error"] {
        if let Some(value) = field(answer, name) {
            told += &format!(" {name}={value}");
        }
    }
    if let Some((_, rest)) = answer.split_once(r#""Resources":["#) {
        told += &format!(" of {}", rest.split(']').next().unwrap_or_default());
    }
    told
}

/// The text of the first field of this name; the answers have no quoted characters in them.
fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = answer.split_once(&format!(r#""{name}":""#))?;
    Some(rest.split_once('"')?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_in_one_line() {
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n\
            {\"DocumentIncarnation\":3,\"Events\":[{\"EventId\":\"C7061BAC\",\"EventType\":\"Redeploy\",\
            \"Resources\":[\"web-1\"],\"EventStatus\":\"Scheduled\",\"NotBefore\":\"Mon, 19 Sep 2016 18:29:47 GMT\"}]}";
        assert_eq!(field(answer, "EventId"), Some("C7061BAC"));
        assert_eq!(
            summary(answer),
            "200 EventType=Redeploy EventStatus=Scheduled NotBefore=Mon, 19 Sep 2016 18:29:47 GMT of \"web-1\""
        );
        assert_eq!(summary("HTTP/1.1 200 OK\r\n\r\n{\"Events\":[]}"), "200");
        assert_eq!(summary("no answer: refused"), "answer:");
    }
}
