//! Getting to a server by every way that there is, and being kept out with a reason.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

mod look_support;

use std::io::{Read, Write};
use std::net::TcpListener;

use dumprestore_driver::{ErrorKind, Secret, Severity};
use dumprestore_redis::RedisConfig;
use dumprestore_testkit::{RedisOptions, RedisServer, RedisVersion, soon};
use look_support::{about, driver, look, look_at, serious};

const V: RedisVersion = RedisVersion::Redis7_0;
/// Whatever has a meaning in a URL, in RESP, in YAML or in a shell.
const PASSWORD: &str = "p@ss:w/o#r?d%20 'ä\"\\$\r\n*3";

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_is_reached_over_tcp_a_socket_and_tls() {
    for version in RedisVersion::ALL {
        let server = RedisOptions::new(version).tls().start();
        let authority = server.authority().file().display().to_string();
        let urls = [server.url(3), server.socket_url(3), format!("{}?tls-ca={authority}", server.tls_url(3))];
        let mut claims = Vec::new();
        for url in urls {
            let inspection = look_at(&url).await;
            assert!(serious(&inspection).is_empty(), "{version:?} {url}: {:?}", inspection.problems);
            let name = if version.is_valkey() { "Valkey" } else { "Redis" };
            assert!(inspection.facts["server"].starts_with(&format!("{name} {}", version.number())));
            assert_eq!(inspection.facts["login"], "default");
            claims.push(inspection.claims);
        }
        claims.dedup();
        assert_eq!(claims.len(), 1, "all ways lead to one server: {claims:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_password_is_taken_in_the_url_and_beside_it() {
    for version in RedisVersion::ALL {
        let server = RedisServer::start(version);
        server.run(
            0,
            redis::cmd("ACL")
                .arg("SETUSER")
                .arg("al:ice")
                .arg(&["on", "~*", "+@all"])
                .arg(format!(">{PASSWORD}")),
        );
        server.run(0, redis::cmd("CONFIG").arg("SET").arg("requirepass").arg(PASSWORD));
        let place = format!("127.0.0.1:{}", server.port());
        let of_user = format!("redis://{}:{}@{place}/2", escaped("al:ice"), escaped(PASSWORD));
        let inspection = look_at(&of_user).await;
        assert!(serious(&inspection).is_empty(), "{:?}", inspection.problems);
        assert_eq!(inspection.facts["login"], "al:ice");
        let alone = look_at(&format!("redis://:{}@{place}", escaped(PASSWORD))).await;
        assert_eq!(alone.facts["login"], "default");
        let by_name = look_at(&format!("redis://default:{}@{place}", escaped(PASSWORD))).await;
        assert_eq!(by_name.facts["login"], "default");
        let mut config = RedisConfig::new(format!("redis://{place}"));
        config.user = Some("al:ice".to_owned());
        config.password = Some(Secret::new(PASSWORD));
        let target = driver(config.clone()).unwrap().target();
        assert!(target.starts_with("redis://al%3Aice@127.0.0.1:"), "{target}");
        assert_eq!(look(config).await.facts["login"], "al:ice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_kept_out_is_told_why_and_no_secret_is_repeated() {
    let server =
        RedisOptions::new(V).password("right-secret").user("off", "off >off-secret ~* +@all").start();
    let place = format!("127.0.0.1:{}", server.port());
    let open = RedisServer::start(V);
    for (url, said) in [
        (format!("redis://{place}"), "NOAUTH"),
        (format!("redis://:wrong-secret@{place}"), "WRONGPASS"),
        (format!("redis://nobody:wrong-secret@{place}"), "WRONGPASS"),
        (format!("redis://off:off-secret@{place}"), "WRONGPASS"),
        (open.url(0).replace("://", "://:wrong-secret@"), "without any password configured"),
    ] {
        let inspection = look_at(&url).await;
        assert_eq!(about(&inspection, said).severity, Severity::Error);
        assert_eq!(inspection.problems.len(), 1);
        assert!(inspection.problems[0].hint.is_some(), "{url}");
        assert!(!format!("{inspection:?}").contains("secret"), "{inspection:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_a_server_does_not_know_is_not_repeated_by_its_error() {
    // As a hoster who has renamed a command.
    let server = RedisOptions::new(V).line("rename-command AUTH \"\"").start();
    let inspection = look_at(&server.url(0).replace("://", "://me:my-secret@")).await;
    let problem = about(&inspection, "unknown command");
    assert!(!format!("{problem:?}").contains("my-secret"), "{problem:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_a_problem_and_no_error() {
    for url in [
        "redis://127.0.0.1:1",
        "redis+unix:///no/such/socket",
        "redis-sentinel://127.0.0.1:1,127.0.0.1:2/main",
    ] {
        let inspection = look_at(url).await;
        assert_eq!(inspection.problems[0].severity, Severity::Error);
        assert!(
            inspection.problems[0].hint.as_ref().unwrap().contains("running"),
            "{:?}",
            inspection.problems
        );
        assert!(!inspection.absent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_answers_and_is_no_server_is_told_from_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let _asked = client.read(&mut [0; 64]);
            let _gone = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let plain = look_at(&format!("redis://127.0.0.1:{port}")).await;
    assert!(about(&plain, "does not speak Redis").hint.as_ref().unwrap().contains("TLS"));
    let encrypted = look_at(&format!("rediss://127.0.0.1:{port}?tls-verify=none")).await;
    assert_eq!(about(&encrypted, "does the server speak TLS there?").severity, Severity::Error);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for scheme in ["redis", "rediss"] {
        let inspection = look_at(&format!("{scheme}://localhost:{port}?connect-timeout=0.3")).await;
        let hint = inspection.problems[0].hint.as_ref().unwrap();
        assert!(hint.contains("connect-timeout"), "{:?}", inspection.problems);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_checked_as_far_as_it_is_asked() {
    for version in [V, RedisVersion::Valkey9] {
        let server = RedisOptions::new(version).password("secret").tls().start();
        let authority = server.authority().file().display().to_string();
        let (stranger, _) = server.authority().issue("stranger", "stranger", None);
        let (stranger, url) = (stranger.display().to_string(), server.tls_url(0));
        let got_in = |inspection: &dumprestore_driver::Inspection| inspection.facts.contains_key("server");
        for (url, gets_in) in [
            (format!("{url}?tls-ca={authority}"), true),
            (format!("{url}?tls_ca={authority}&tls-verify=full"), true),
            (format!("{url}?ssl_ca_certs={authority}&ssl_cert_reqs=required"), true),
            (url.clone(), false),
            (format!("{url}?tls-ca={stranger}"), false),
            (format!("{url}?tls-verify=ca"), false),
            (format!("{url}?tls-verify=none"), true),
            (format!("{url}?ssl_cert_reqs=CERT_NONE"), true),
            (format!("{url}#insecure"), true),
        ] {
            let inspection = look_at(&url).await;
            assert_eq!(got_in(&inspection), gets_in, "{url}: {:?}", inspection.problems);
        }
        assert!(
            look_at(&format!("{url}?tls-ca={stranger}")).await.problems[0]
                .hint
                .as_ref()
                .unwrap()
                .contains("tls-ca")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_the_certificate_lacks_is_told_from_an_authority_that_nobody_knows() {
    let server = RedisOptions::new(V).tls().start();
    let authority = server.authority().file().display().to_string();
    let (certificate, key) = server.authority().issue("server", "elsewhere", Some("DNS:elsewhere.example"));
    assert!(certificate.exists() && key.exists());
    server.stop();
    server.restart();
    let url = server.tls_url(0);
    let wrong_name = look_at(&format!("{url}?tls-ca={authority}")).await;
    assert!(
        wrong_name.problems[0].hint.as_ref().unwrap().contains("tls-verify=ca"),
        "{:?}",
        wrong_name.problems
    );
    let any_name = look_at(&format!("{url}?tls-ca={authority}&tls-verify=ca")).await;
    assert!(serious(&any_name).is_empty(), "{:?}", any_name.problems);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_want_a_certificate_of_ours() {
    let server = RedisOptions::new(V).tls().setting("tls-auth-clients", "yes").start();
    let authority = server.authority().file().display().to_string();
    let (certificate, key) = server.authority().issue("client", "client", None);
    let url = format!("{}?tls-ca={authority}", server.tls_url(0));
    let without = look_at(&url).await;
    assert!(!without.facts.contains_key("server"));
    assert!(without.problems[0].hint.is_some(), "{:?}", without.problems);
    let with = look_at(&format!("{url}&tls-cert={}&tls-key={}", certificate.display(), key.display())).await;
    assert!(serious(&with).is_empty(), "{:?}", with.problems);
    let missing = look_at(&format!("{url}&tls-cert=no-such-file")).await;
    assert!(about(&missing, "/base/no-such-file").message.contains("certificates"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_lead_to_the_primary_and_have_a_login_of_their_own() {
    let primary = RedisOptions::new(V).password("of-server").start();
    let sentinel = |password: Option<&str>| {
        let options =
            RedisOptions::new(V).sentinel_of(&primary, "cache").line("sentinel auth-pass cache of-server");
        match password {
            Some(password) => options.password(password).start(),
            None => options.start(),
        }
    };
    let (open, closed) = (sentinel(None), sentinel(Some("of-sentinel")));
    let url =
        |port: u16, name: &str| format!("redis-sentinel://:of-server@127.0.0.1:1,127.0.0.1:{port}/{name}/3");
    let through = look_at(&url(open.port(), "cache")).await;
    assert!(serious(&through).is_empty(), "{:?}", through.problems);
    assert_eq!(through.claims, look_at(&primary.url(3)).await.claims);
    let itself = look_at(&open.url(0)).await;
    assert!(about(&itself, "it is a sentinel").hint.as_ref().unwrap().contains("redis-sentinel://"));
    let unknown = look_at(&url(open.port(), "other")).await;
    assert_eq!(about(&unknown, "watches no primary of that name").severity, Severity::Error);
    let kept_out = look_at(&url(closed.port(), "cache")).await;
    assert!(
        kept_out.problems[0].hint.as_ref().unwrap().contains("sentinel_password"),
        "{:?}",
        kept_out.problems
    );
    let mut config = RedisConfig::new(url(closed.port(), "cache"));
    config.sentinel_password = Some(Secret::new("of-sentinel"));
    assert!(serious(&look(config).await).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_free_connection_says_so() {
    let server = RedisOptions::new(V).setting("maxclients", "1").start();
    let _held = server.connection(0);
    soon("a server that is full", || server.try_ask::<()>(0, &redis::cmd("PING")).is_err());
    let inspection = look_at(&server.url(0)).await;
    assert!(about(&inspection, "max number of clients").hint.as_ref().unwrap().contains("maxclients"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_looked_at_is_called_by_its_target_without_the_password() {
    for (url, target) in [
        ("redis://:secret@HOST:7000/3?connect-timeout=1", "redis://HOST:7000/3"),
        ("rediss://u:secret@[::1]", "rediss://u@[::1]:6379"),
        ("valkey://localhost", "redis://localhost:6379"),
        ("redis+unix://:secret@/run/redis.sock?db=2", "redis+unix:///run/redis.sock?db=2"),
        ("unix:run/redis.sock", ""),
        ("redis-sentinel://:secret@a,b:7/main/1", "redis-sentinel://a:26379,b:7/main/1"),
    ] {
        match driver(RedisConfig::new(url)) {
            Ok(driver) => assert_eq!(driver.target(), target, "{url}"),
            Err(error) => assert!(target.is_empty(), "{url}: {error}"),
        }
    }
}

#[test]
fn a_url_that_is_none_is_refused_and_nothing_of_it_repeated() {
    for url in [
        "",
        "secret",
        "http://secret@h",
        "redis://:sec/ret@h/0",
        "redis://:sec?ret@h/0",
        "redis://:sec#ret@h/0",
        "redis://:secret%@h/0",
        "redis://:secret@h:port/0",
        "redis://:secret@h:0/0",
        "redis://h/secret",
        "redis://h/99999999999999999999",
        "redis://h,i/0",
        "redis://h/0?secret",
        "redis://h/0?Secret=1",
        "redis://h/0?tls-verify=secret",
        "redis://h/0?tls-ca=secret",
        "redis://h/0?connect-timeout=secret",
        "redis://secret@h/0",
        "redis+unix://:sec/ret@/run/s",
        "redis+unix://",
        "redis-sentinel://:secret@h",
        "redis-sentinel://:sec/ret@h/name",
        "rediss://h?tls-key=secret",
        "redis://:secret@h%0a/0",
        "redis+unix:///run/%1b[2J",
        "postgres://u:secret@h/0",
    ] {
        let error = driver(RedisConfig::new(url)).err().unwrap_or_else(|| panic!("{url}"));
        assert_eq!(error.kind(), ErrorKind::Config, "{url}");
        assert!(error.hint().is_some() || error.message().contains('`'), "{url}: {error}");
        let said = format!("{error} {:?}", error.hint()).to_lowercase();
        assert!(!said.contains("secret") && !said.contains("sec/"), "{url}: {said}");
    }
}

#[test]
fn a_mistyped_parameter_gets_a_suggestion() {
    let error = driver(RedisConfig::new("rediss://h/0?tls-verfy=none")).err().unwrap();
    assert_eq!(error.hint(), Some("did you mean `tls-verify`?"));
}

#[test]
fn what_only_concerns_an_application_is_passed_over() {
    let url = "redis://h/0?protocol=3&socket_timeout=5&max_connections=10&decode_responses=True&health_check_interval=30";
    assert!(driver(RedisConfig::new(url)).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_one_kind_of_port_for_the_other_is_told_which_it_may_be() {
    let server = RedisOptions::new(V).tls().start();
    let encrypted = server.tls_url(0);
    for (url, is) in [
        (format!("{}?connect-timeout=1", server.url(0).replace("redis://", "rediss://")), "`redis://"),
        (encrypted.replace("rediss://", "redis://"), "`rediss://"),
        ("redis://no-such-host.invalid/0".to_owned(), "spelt right"),
    ] {
        let inspection = look_at(&url).await;
        let hint = inspection.problems[0].hint.clone().unwrap_or_default();
        assert!(hint.contains(is), "{url}: {:?}", inspection.problems);
    }
}
