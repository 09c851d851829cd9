//! Statements of tests.

use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, OptsBuilder, Row, Value};

use super::{MysqlServer, ROOT};

/// A server that is starting may take a connection long before it says a word.
const PATIENCE_FOR_A_WORD: Duration = Duration::from_secs(2);

impl MysqlServer {
    /// Runs statements, as root. `database` may be empty: none.
    ///
    /// # Panics
    /// If one fails.
    pub fn batch(&self, database: &str, sql: &str) {
        self.try_batch(database, sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    /// Runs statements, as root, and tells what the server says if one fails.
    pub fn try_batch(&self, database: &str, sql: &str) -> Result<(), String> {
        self.ask(database, sql).map(drop)
    }

    /// The rows of one query, as text.
    ///
    /// # Panics
    /// If it fails.
    pub fn rows(&self, database: &str, sql: &str) -> Vec<Vec<Option<String>>> {
        self.ask(database, sql).unwrap_or_else(|error| panic!("{error}: {sql}"))
    }

    /// The one value of a query, as text; empty if it is null.
    ///
    /// # Panics
    /// If it fails, or gives nothing.
    pub fn value(&self, database: &str, sql: &str) -> String {
        let first = self.rows(database, sql).into_iter().next().and_then(|row| row.into_iter().next());
        first.unwrap_or_else(|| panic!("nothing: {sql}")).unwrap_or_default()
    }

    /// A session, by the socket, as root. It ends when it is dropped.
    ///
    /// # Panics
    /// If the server does not let it in.
    pub async fn client(&self, database: &str) -> Conn {
        Conn::new(self.options(database)).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Whether it takes connections: whom it refuses it has heard.
    pub(super) fn answers(&self) -> bool {
        let options = self.options("");
        on_a_thread(async {
            let opened = tokio::time::timeout(PATIENCE_FOR_A_WORD, Conn::new(options)).await;
            match opened {
                Ok(Ok(session)) => session.disconnect().await.is_ok(),
                Ok(Err(error)) => matches!(error, mysql_async::Error::Server(_)),
                Err(_) => false,
            }
        })
    }

    fn options(&self, database: &str) -> Opts {
        let database = (!database.is_empty()).then_some(database);
        let socket = self.socket().display().to_string();
        OptsBuilder::default().socket(Some(socket)).user(Some(ROOT)).db_name(database).into()
    }

    fn ask(&self, database: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
        let options = self.options(database);
        on_a_thread(async {
            let mut session = Conn::new(options).await?;
            let mut result = session.query_iter(sql).await?;
            let rows: Vec<Row> = result.collect().await?;
            result.drop_result().await?;
            session.disconnect().await?;
            Ok(rows.into_iter().map(text).collect())
        })
        .map_err(|error: mysql_async::Error| error.to_string())
    }
}

/// A thread of its own, so that tests may call it from anywhere.
fn on_a_thread<T: Send>(what: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(what)
        });
        asked.join().expect("no panic")
    })
}

fn text(row: Row) -> Vec<Option<String>> {
    row.unwrap()
        .into_iter()
        .map(|value| match value {
            Value::NULL => None,
            Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            other => Some(other.as_sql(true)),
        })
        .collect()
}
