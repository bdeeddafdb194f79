//! An OpenSMTPD of the tests' own, in a mount and a process namespace of its own, on loopback.
//!
//! Needs root and the packages that tests/lab/install.sh installs.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const SMTPD: &str = "/usr/sbin/smtpd";

/// The server's spool and its socket are at fixed places; over them lie file systems that only it sees.
const START: &str = "mount --make-rprivate / && mount -t tmpfs tmpfs /var/spool && mkdir -m 711 /var/spool/smtpd \
     && mount -t tmpfs tmpfs /run && exec \"$0\" -d -f \"$1\"";

/// The running server. It ends when this is dropped, or when the thread ends that has started it, however that comes.
pub struct MailServer {
    /// Killing it ends the namespace's first process, and with that every other one in there.
    process: Child,
    directory: tempfile::TempDir,
    /// The port that is meant by `@CLEAR@`.
    pub clear: u16,
    /// The port that is meant by `@STARTTLS@`.
    pub starttls: u16,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

static SKIPPED: AtomicUsize = AtomicUsize::new(0);

pub fn skipped(why: &str) {
    let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    eprintln!("SKIPPED: {why} ({count} so far in this run)");
}

impl MailServer {
    /// Starts one with this configuration. In it, `@DIR@` is a directory that holds a certificate (`cert.pem`, `key.pem`), `accounts` with
    /// the one account drover, whose password is "right", and the open directory `mail`; the server listens on both `@CLEAR@` and `@STARTTLS@`.
    ///
    /// Nothing, said aloud, where this machine can't run one.
    pub fn start(config: &str) -> Option<Self> {
        let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n");
        let why = match (root, Path::new(SMTPD).exists()) {
            (true, true) => return Some(Self::started(config)),
            (_, false) => "there is no /usr/sbin/smtpd; tests/lab/install.sh installs opensmtpd",
            (false, _) => "a mail server of one's own needs root",
        };
        skipped(why);
        None
    }

    fn started(config: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("opened for the server's users");
        fs::create_dir(path.join("mail")).expect("created");
        fs::set_permissions(path.join("mail"), fs::Permissions::from_mode(0o777)).expect("opened");
        certificate(path);
        let hash = output(Command::new("openssl").args(["passwd", "-6", "right"]));
        fs::write(path.join("accounts"), format!("drover {}", hash.trim())).expect("written");
        let [clear, starttls] = free_ports();
        let config = config
            .replace("@DIR@", &path.display().to_string())
            .replace("@CLEAR@", &clear.to_string())
            .replace("@STARTTLS@", &starttls.to_string());
        fs::write(path.join("smtpd.conf"), config).expect("written");
        let log = fs::File::create(path.join("log")).expect("created");
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"])
            .args(["--mount-proc", "sh", "-c", START, SMTPD])
            .arg(path.join("smtpd.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("setpriv runs");
        let server = Self { process, directory, clear, starttls };
        server.wait_until("it listens", || {
            [server.clear, server.starttls]
                .iter()
                .all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok())
        });
        server
    }

    pub fn wait_until(&self, what: &str, done: impl Fn() -> bool) {
        let until = Instant::now() + Duration::from_secs(20);
        while !done() {
            let log = fs::read_to_string(self.file("log")).unwrap_or_default();
            assert!(Instant::now() < until, "waited for 20 s until {what}; the mail server says:\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A file in `@DIR@`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Signed by itself, for localhost: what an operator's own mail server typically has.
fn certificate(path: &Path) {
    output(Command::new("openssl").current_dir(path).args([
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]));
    fs::set_permissions(path.join("key.pem"), fs::Permissions::from_mode(0o600)).expect("closed");
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("openssl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Free at this moment; both are held until both are known, so that they differ.
fn free_ports() -> [u16; 2] {
    let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    held.map(|listener| listener.local_addr().expect("bound").port())
}
