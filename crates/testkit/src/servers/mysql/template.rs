//! Data folders, fresh from `mariadb-install-db` or `mysqld --initialize-insecure`.

use std::path::Path;
use std::process::{Command, Stdio};

use super::super::{Programs, run, template};
use super::{MysqlFamily, MysqlVersion, REDO_LOG};

/// Lets the root user in without a password, by the socket and from `127.0.0.1`, and nobody else.
const MARIADB_USERS: &str = "\
DELETE FROM mysql.global_priv WHERE Host NOT IN ('localhost', '127.0.0.1');
DELETE FROM mysql.proxies_priv WHERE Host NOT IN ('localhost', '127.0.0.1');
";
const MYSQL_USERS: &str = "\
CREATE USER root@127.0.0.1;
GRANT ALL PRIVILEGES ON *.* TO root@127.0.0.1 WITH GRANT OPTION;
GRANT PROXY ON ''@'' TO root@127.0.0.1 WITH GRANT OPTION;
";

/// Makes `data` a fresh data folder.
pub(super) fn copy_to(version: MysqlVersion, programs: &Programs, data: &Path) {
    let said = programs.command(version.daemon()).arg("--version").output().expect("a server's version");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let exact = said.split_whitespace().skip_while(|word| *word != "Ver").nth(1).expect("a version");
    template::copy_to(data, &format!("{}-{exact}", version.name()), |folder| match version.family() {
        MysqlFamily::Mariadb => make_mariadb(version, programs, folder),
        MysqlFamily::Mysql => make_mysql(version, programs, folder),
    });
}

fn make_mariadb(version: MysqlVersion, programs: &Programs, folder: &Path) {
    let mut command = programs.command("mariadb-install-db");
    told(&mut command, version, programs, folder);
    command.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
    run(command.arg(format!("--innodb-log-file-size={REDO_LOG}")));
    let mut command = programs.command(version.daemon());
    told(&mut command, version, programs, folder);
    command.args(["--bootstrap", &format!("--innodb-log-file-size={REDO_LOG}")]);
    let (reading, mut writing) = std::io::pipe().expect("a pipe");
    std::io::Write::write_all(&mut writing, MARIADB_USERS.as_bytes()).expect("less than a pipe holds");
    drop(writing);
    run(command.stdin(Stdio::from(reading)));
}

fn make_mysql(version: MysqlVersion, programs: &Programs, folder: &Path) {
    let users = folder.with_extension("sql");
    std::fs::write(&users, MYSQL_USERS).expect("a file beside the template");
    let mut command = programs.command(version.daemon());
    told(&mut command, version, programs, folder);
    command.arg(format!("--init-file={}", users.display()));
    run(command.args(["--initialize-insecure", &format!("--innodb-redo-log-capacity={REDO_LOG}")]));
    std::fs::remove_file(users).expect("a file beside the template");
    // The server's identity, which no two have in common: each makes up its own.
    std::fs::remove_file(folder.join("auto.cnf")).expect("a file of MySQL's");
}

fn told(command: &mut Command, version: MysqlVersion, programs: &Programs, folder: &Path) {
    command.arg("--no-defaults");
    for (name, place) in version.places(programs) {
        command.arg(format!("--{}={}", name.replace('_', "-"), place.display()));
    }
    command.arg(format!("--datadir={}", folder.display()));
}
