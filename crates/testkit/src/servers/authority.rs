//! Certificates, made for one server and its clients.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Account, run};

/// A certificate authority, in a server's folder. It has made the server's certificate, for `localhost` and
/// `127.0.0.1`.
#[derive(Debug, Clone)]
pub struct Authority(PathBuf);

impl Authority {
    pub(crate) fn new(folder: &Path) -> Self {
        let this = Self(folder.to_owned());
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        command.args(["-days", "30", "-subj", "/CN=tests", "-keyout"]).arg(folder.join("ca.key"));
        run(command.arg("-out").arg(this.file()));
        this.issue("server", "localhost", Some("DNS:localhost,IP:127.0.0.1"));
        this
    }

    /// Its own certificate: what a client trusts.
    pub fn file(&self) -> PathBuf {
        self.0.join("ca.crt")
    }

    /// Makes `NAME.crt` and `NAME.key`, for a subject with that common name and those alternative names, and gives their
    /// paths. The key belongs to the servers' user.
    pub fn issue(&self, name: &str, common_name: &str, names: Option<&str>) -> (PathBuf, PathBuf) {
        let file = |ending: &str| self.0.join(format!("{name}.{ending}"));
        let mut command = Command::new("openssl");
        command.args(["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj"]);
        command.arg(format!("/CN={common_name}")).arg("-keyout").arg(file("key"));
        run(command.arg("-out").arg(file("csr")));
        let extensions = names.map_or(String::new(), |names| format!("subjectAltName={names}\n"));
        std::fs::write(file("ext"), extensions).expect("a file");
        let mut command = Command::new("openssl");
        command
            .args(["x509", "-req", "-days", "30", "-CA"])
            .arg(self.file())
            .arg("-CAkey")
            .arg(self.0.join("ca.key"));
        command.arg("-CAcreateserial").arg("-in").arg(file("csr")).arg("-extfile").arg(file("ext"));
        run(command.arg("-out").arg(file("crt")));
        Account::of_servers().give(&file("key"), 0o600);
        (file("crt"), file("key"))
    }
}
