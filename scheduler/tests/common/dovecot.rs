//! A Dovecot of the tests' own, in a process namespace of its own, on loopback.
//!
//! Needs root and the packages that tests/lab/install.sh installs.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DOVECOT: &str = "/usr/sbin/dovecot";

/// Everybody with this password is the one user, whose mails belong to nobody.
const CONFIG: &str = "
base_dir = @DIR@/run
log_path = @DIR@/log
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <@DIR@/cert.pem
ssl_key = <@DIR@/key.pem
disable_plaintext_auth = no
mail_location = maildir:@DIR@/mail
first_valid_uid = 1
passdb {
  driver = static
  args = password=right
}
userdb {
  driver = static
  args = uid=65534 gid=65534 home=@DIR@/home
}
namespace inbox {
  inbox = yes
  mailbox Taken {
    auto = create
  }
}
service imap-login {
  inet_listener imap {
    port = @CLEAR@
  }
  inet_listener imaps {
    port = @IMPLICIT@
    ssl = yes
  }
}
";

/// The running server. It ends when this is dropped, or when the thread ends that has started it, however that comes. Its directory holds
/// the maildir `mail`, which mails may be put into, `cert.pem`, which it presents for 127.0.0.1, and `password`, which is right for every user.
pub struct Dovecot {
    /// Killing it ends the namespace's first process, and with that every other one in there.
    process: Child,
    directory: tempfile::TempDir,
    /// The port where nothing is encrypted unless STARTTLS is asked for.
    pub clear: u16,
    /// The port where all is encrypted.
    pub implicit: u16,
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Dovecot {
    /// Nothing, said aloud, where this machine can't run one.
    pub fn start() -> Option<Self> {
        let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n");
        let why = match (root, Path::new(DOVECOT).exists() && Path::new("/usr/lib/dovecot/imap").exists()) {
            (true, true) => return Some(Self::started()),
            (_, false) => "there is no Dovecot with IMAP; tests/lab/install.sh installs dovecot-imapd",
            (false, _) => "a mailbox server of one's own needs root",
        };
        eprintln!("SKIPPED: {why}");
        None
    }

    fn started() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("opened for the server's users");
        for folder in ["mail", "mail/tmp", "mail/new", "mail/cur", "home"] {
            fs::create_dir(path.join(folder)).expect("created");
            fs::set_permissions(path.join(folder), fs::Permissions::from_mode(0o777)).expect("opened");
        }
        certificate(path);
        fs::write(path.join("password"), "right\n").expect("written");
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let [clear, implicit] = listeners.each_ref().map(|l| l.local_addr().expect("bound").port());
        drop(listeners);
        let config = CONFIG
            .replace("@DIR@", &path.display().to_string())
            .replace("@CLEAR@", &clear.to_string())
            .replace("@IMPLICIT@", &implicit.to_string());
        fs::write(path.join("dovecot.conf"), config).expect("written");
        let output = fs::File::create(path.join("output")).expect("created");
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"])
            .args(["--mount-proc", DOVECOT, "-F", "-c"])
            .arg(path.join("dovecot.conf"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .spawn()
            .expect("setpriv runs");
        let server = Self { process, directory, clear, implicit };
        server.wait_until("it listens", || {
            [server.clear, server.implicit]
                .iter()
                .all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok())
        });
        server
    }

    /// A file of the server's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn wait_until(&self, what: &str, done: impl Fn() -> bool) {
        let until = Instant::now() + Duration::from_secs(30);
        while !done() {
            let said = ["output", "log"].map(|name| fs::read_to_string(self.path(name)).unwrap_or_default());
            assert!(
                Instant::now() < until,
                "waited for 30 s until {what}; the server says:\n{}",
                said.concat()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn certificate(path: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(path)
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
