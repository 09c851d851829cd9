//! What stands between a dump and its server.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use dumprestore_driver::CutMode;
use dumprestore_testkit::{MysqlServer, MysqlVersion};

use crate::dump_support::{config, cut, open};

/// Leads each connection to another one of these ports, in turn. Gives its own.
fn balancer(ports: [u16; 2]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for (client, port) in listener.incoming().zip(ports.into_iter().cycle()) {
            let (client, server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", port)).unwrap());
            join(client.try_clone().unwrap(), server.try_clone().unwrap());
            join(server, client);
        }
    });
    own
}

fn join(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        let _ended = io::copy(&mut from, &mut to);
        let _ended = to.shutdown(Shutdown::Both);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_leads_to_several_servers_is_an_error() {
    for version in [MysqlVersion::Mariadb10_11, MysqlVersion::Mysql9_7] {
        let one = MysqlServer::shared(version);
        let other = MysqlServer::start(version);
        let database = one.create_database();
        one.batch(&database, "CREATE TABLE t (n int)");
        other.batch("", &format!("CREATE DATABASE {database}"));
        other.batch(&database, "CREATE TABLE t (n int)");
        for (ports, of_one) in [([one.port(), other.port()], false), ([one.port(), one.port()], true)] {
            // Without encryption there is one connection for each session.
            let mut config =
                config(&format!("mysql://root@127.0.0.1:{}/{database}?ssl-mode=disabled", balancer(ports)));
            config.connections = 2;
            for mode in [CutMode::Open, CutMode::Locked] {
                let mut source = open(config.clone()).await;
                let pinned = source.pin(&cut(mode)).await;
                match pinned {
                    Ok(()) => assert!(of_one, "{version:?} {mode:?}: two servers passed for one"),
                    Err(error) => {
                        assert!(!of_one, "{version:?}: {error:?}");
                        assert!(error.to_string().contains("several servers"), "{version:?}: {error:?}");
                    }
                }
                source.release().await.unwrap();
            }
        }
        one.drop_database(&database);
    }
}
