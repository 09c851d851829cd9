//! Statements of tests.

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::{PostgresServer, SUPERUSER};

impl PostgresServer {
    /// Runs statements, as the superuser.
    ///
    /// # Panics
    /// If one fails.
    pub fn batch(&self, database: &str, sql: &str) {
        self.try_batch(database, sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    /// Runs statements, as the superuser, and tells what the server says if one fails.
    pub fn try_batch(&self, database: &str, sql: &str) -> Result<(), String> {
        self.ask(database, sql).map(drop)
    }

    /// The rows of a query, as text.
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

    /// A session, by the socket, as the superuser. It ends when it is dropped.
    ///
    /// # Panics
    /// If the server does not let it in.
    pub async fn client(&self, database: &str) -> Client {
        open(&self.config(database)).await.unwrap_or_else(|error| panic!("{}", told(&error)))
    }

    fn config(&self, database: &str) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host_path(self.folder()).port(self.port()).user(SUPERUSER).dbname(database);
        config
    }

    /// On a thread of its own, so that tests may call it from anywhere.
    fn ask(&self, database: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
        let config = self.config(database);
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(async {
                    let client = open(&config).await?;
                    client.simple_query(sql).await
                })
            });
            asked.join().expect("no panic")
        })
        .map(|messages| messages.iter().filter_map(row).collect())
        .map_err(|error| told(&error))
    }
}

async fn open(config: &tokio_postgres::Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

fn row(message: &SimpleQueryMessage) -> Option<Vec<Option<String>>> {
    match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
        }
        _ => None,
    }
}

fn told(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => said.to_string(),
        None => error.to_string(),
    }
}
