//! Sessions of an application's own, whatever its databases are.

use std::future::Future;
use std::thread;

use dumprestore_testkit::{MysqlServer, PostgresServer};
use mysql_async::prelude::Queryable as _;
use tokio::runtime::Runtime;
use tokio_postgres::NoTls;
use tokio_postgres::types::ToSql;

/// What is put in the place of a `?`.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// A number.
    Number(i64),
    /// A text.
    Text(&'a str),
}

/// A session that waits for each answer.
pub trait Client: Send {
    /// Runs a statement; gives the first value of the first row, if it has rows.
    ///
    /// # Panics
    /// If it fails.
    fn ask(&mut self, sql: &str, values: &[Value<'_>]) -> Option<i64>;
}

/// A session of a PostgreSQL database.
pub(crate) fn of_postgres(server: &PostgresServer, database: &str) -> Box<dyn Client> {
    let mut config = tokio_postgres::Config::new();
    config.host_path(server.folder()).port(server.port()).user("postgres").dbname(database);
    let (runtime, client) = opened(async move {
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    });
    Box::new(OfPostgres { runtime, client })
}

/// A session of a MySQL or MariaDB database.
pub(crate) fn of_mysql(server: &MysqlServer, database: &str) -> Box<dyn Client> {
    let (runtime, client) = opened(server.client(database));
    Box::new(OfMysql { runtime, client })
}

/// Runtimes can't be entered from within another.
fn opened<T: Send>(open: impl Future<Output = T> + Send) -> (Runtime, T) {
    thread::scope(|scope| {
        let opening = scope.spawn(|| {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
            let client = runtime.block_on(open);
            (runtime, client)
        });
        opening.join().unwrap()
    })
}

struct OfPostgres {
    runtime: Runtime,
    client: tokio_postgres::Client,
}

impl Client for OfPostgres {
    fn ask(&mut self, sql: &str, values: &[Value<'_>]) -> Option<i64> {
        let mut numbered = String::new();
        for (at, piece) in sql.split('?').enumerate() {
            if at > 0 {
                numbered.push_str(&format!("${at}"));
            }
            numbered.push_str(piece);
        }
        self.runtime.block_on(async {
            let statement = self.client.prepare(&numbered).await.unwrap();
            let values: Vec<Box<dyn ToSql + Sync>> = values
                .iter()
                .zip(statement.params())
                .map(|(value, kind)| -> Box<dyn ToSql + Sync> {
                    match value {
                        Value::Text(text) => Box::new((*text).to_owned()),
                        Value::Number(number) if kind.name() == "int8" => Box::new(*number),
                        Value::Number(number) => Box::new(i32::try_from(*number).unwrap()),
                    }
                })
                .collect();
            let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(AsRef::as_ref).collect();
            let row = self.client.query_opt(&statement, &values).await.unwrap();
            row.map(|row| i64::from(row.get::<_, i32>(0)))
        })
    }
}

struct OfMysql {
    runtime: Runtime,
    client: mysql_async::Conn,
}

impl Client for OfMysql {
    fn ask(&mut self, sql: &str, values: &[Value<'_>]) -> Option<i64> {
        let values: Vec<mysql_async::Value> = values
            .iter()
            .map(|value| match value {
                Value::Number(number) => mysql_async::Value::Int(*number),
                Value::Text(text) => mysql_async::Value::from(*text),
            })
            .collect();
        let values = match values.is_empty() {
            true => mysql_async::Params::Empty,
            false => mysql_async::Params::Positional(values),
        };
        self.runtime.block_on(self.client.exec_first(sql, values)).unwrap()
    }
}
