//! TLS: encryption, and who a server says it is.

use std::path::PathBuf;

use dumprestore_testkit::{PostgresOptions, PostgresServer, PostgresVersion};

use crate::{IN_URL, SHARED, User, as_text, is_encrypted, login, problem};

fn url(user: &str, host: &str, parameters: &str) -> String {
    format!("postgres://{user}:{IN_URL}@{host}:{}/{}?{parameters}", SHARED.server.port(), SHARED.database)
}

fn root() -> String {
    as_text(&SHARED.server.authority().file())
}

#[tokio::test]
async fn each_mode_encrypts_as_libpq_would() {
    for (mode, encrypted) in [("disable", false), ("allow", false), ("prefer", true), ("require", true)] {
        let seen = User::new().look(url("hostile", "127.0.0.1", &format!("sslmode={mode}"))).await;
        assert_eq!(is_encrypted(&seen), encrypted, "{mode}");
    }
}

#[tokio::test]
async fn who_is_let_in_only_with_or_without_tls_is_let_in_the_other_way_as_well() {
    let look = async |user: &str, mode: &str| {
        User::new().look(url(user, "127.0.0.1", &format!("sslmode={mode}"))).await
    };
    assert!(is_encrypted(&look("encrypted", "allow").await));
    assert!(!is_encrypted(&look("plain", "prefer").await));
    assert!(problem(&look("encrypted", "disable").await).message.contains("no encryption"));
    assert!(problem(&look("plain", "require").await).message.contains("28000"));
}

#[tokio::test]
async fn a_server_without_tls_is_used_unless_tls_is_required() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let look =
        async |mode: &str| User::new().look(format!("{}?sslmode={mode}", server.url("postgres"))).await;
    for mode in ["disable", "allow", "prefer"] {
        assert!(!is_encrypted(&look(mode).await), "{mode}");
    }
    let seen = look("require").await;
    assert!(problem(&seen).message.contains("does not support TLS"), "{:?}", problem(&seen));
    assert!(problem(&seen).hint.as_ref().unwrap().contains("`ssl`"));
}

#[tokio::test]
async fn the_authority_is_verified() {
    let parameters = |mode: &str, root: &str| format!("sslmode={mode}&sslrootcert={root}");
    for host in ["localhost", "127.0.0.1"] {
        for mode in ["verify-ca", "verify-full"] {
            let seen = User::new().look(url("hostile", host, &parameters(mode, &root()))).await;
            assert!(is_encrypted(&seen), "{host} {mode}");
        }
    }
    let stranger = PostgresOptions::new(PostgresVersion::V15).tls().start();
    let foreign = as_text(&stranger.authority().file());
    for mode in ["require", "verify-ca", "verify-full"] {
        let seen = User::new().look(url("hostile", "localhost", &parameters(mode, &foreign))).await;
        assert!(
            problem(&seen).message.contains("UnknownIssuer") || problem(&seen).message.contains("TLS"),
            "{mode}"
        );
    }
}

#[tokio::test]
async fn the_name_is_verified_only_in_full() {
    let at = |mode: &str| {
        url("hostile", "other.example", &format!("hostaddr=127.0.0.1&sslmode={mode}&sslrootcert={}", root()))
    };
    assert!(is_encrypted(&User::new().look(at("verify-ca")).await));
    let seen = User::new().look(at("verify-full")).await;
    assert!(problem(&seen).hint.as_ref().unwrap().contains("verify-ca"), "{:?}", problem(&seen));
}

#[tokio::test]
async fn roots_are_found_at_home_and_make_a_required_connection_a_verified_one() {
    let user = User::new();
    let mine = std::fs::read_to_string(SHARED.server.authority().file()).unwrap();
    user.file(".postgresql/root.crt", &mine, 0o644);
    assert!(is_encrypted(&user.look(url("hostile", "localhost", "sslmode=verify-full")).await));
    let stranger = PostgresOptions::new(PostgresVersion::V15).tls().start();
    let theirs = std::fs::read_to_string(stranger.authority().file()).unwrap();
    user.file(".postgresql/root.crt", &theirs, 0o644);
    problem(&user.look(url("hostile", "localhost", "sslmode=require")).await);
    let user = user.with("PGSSLROOTCERT", root()).with("PGSSLMODE", "verify-full");
    assert!(is_encrypted(&user.look(url("hostile", "localhost", "")).await));
}

#[tokio::test]
async fn verification_without_roots_is_refused() {
    let seen = User::new().look(url("hostile", "localhost", "sslmode=verify-full")).await;
    assert!(problem(&seen).message.contains("root.crt"), "{:?}", problem(&seen));
    assert!(problem(&seen).hint.as_ref().unwrap().contains("sslrootcert=system"));
    let seen = User::new().look(url("hostile", "localhost", "sslrootcert=system")).await;
    problem(&seen);
}

#[tokio::test]
async fn a_socket_needs_none_of_it() {
    let seen =
        User::new().look(format!("{}?sslmode=verify-full", SHARED.server.socket_url(&SHARED.database))).await;
    assert!(!is_encrypted(&seen));
}

#[tokio::test]
async fn a_certificate_of_ours_is_shown() {
    let (certificate, key) = SHARED.server.authority().issue("client", "certified", None);
    let parameters =
        |key: &PathBuf| format!("sslmode=require&sslcert={}&sslkey={}", certificate.display(), key.display());
    let user = User::new();
    let own = user.file("client.key", &std::fs::read_to_string(&key).unwrap(), 0o600);
    let seen = user.look(url("certified", "localhost", &parameters(&own))).await;
    assert_eq!(login(&seen), "certified");
    let open = user.file("open.key", &std::fs::read_to_string(&key).unwrap(), 0o644);
    let seen = user.look(url("certified", "localhost", &parameters(&open))).await;
    assert!(problem(&seen).message.contains("can be read by others"), "{:?}", problem(&seen));
    let seen = user.look(url("certified", "localhost", "sslmode=require")).await;
    assert!(problem(&seen).message.contains("28000"), "{:?}", problem(&seen));
}

/// As PostgreSQL's own documentation made them for long: of the first version of X.509.
#[tokio::test]
async fn an_old_kind_of_certificate_encrypts() {
    let server = PostgresOptions::new(PostgresVersion::V15).tls().start();
    server.authority().issue("server", "localhost", None);
    server.stop();
    server.restart();
    let url = format!("postgres://postgres@localhost:{}/postgres?sslmode=require", server.port());
    assert!(is_encrypted(&User::new().look(&url).await));
    let root = server.authority().file();
    let seen = User::new().look(format!("{url}&sslrootcert={}", root.display())).await;
    assert!(problem(&seen).hint.as_ref().unwrap().contains("subjectAltName"), "{:?}", problem(&seen));
}

/// As PostgreSQL's own documentation makes them: signed by itself, with nothing but a common name.
#[tokio::test]
async fn a_server_that_signed_its_own_certificate_can_be_trusted() {
    let server = PostgresOptions::new(PostgresVersion::V15).tls().start();
    let file = |name: &str| server.folder().join(name);
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-new",
            "-x509",
            "-days",
            "5",
            "-nodes",
            "-newkey",
            "rsa:2048",
            "-subj",
            "/CN=localhost",
            "-keyout",
        ])
        .arg(file("self.key"))
        .arg("-out")
        .arg(file("self.crt"))
        .output()
        .unwrap();
    assert!(made.status.success());
    dumprestore_testkit::Account::of_servers().give(&file("self.key"), 0o600);
    for (name, file) in [("ssl_cert_file", file("self.crt")), ("ssl_key_file", file("self.key"))] {
        server.batch("postgres", &format!("ALTER SYSTEM SET {name} = '{}'", file.display()));
    }
    server.stop();
    server.restart();
    let root = file("self.crt");
    let look = async |host: &str| {
        let url = format!(
            "postgres://postgres@{host}:{}/postgres?hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert={}",
            server.port(),
            root.display()
        );
        User::new().look(url).await
    };
    assert!(is_encrypted(&look("localhost").await));
    problem(&look("other").await);
}
