//! Dumps under live load, with references from rows of MariaDB to files, and between two MariaDB databases:
//! nothing dangles and nothing is torn in any restored copy; with certification switched off, something is.
//!
//! `DUMPRESTORE_LOAD` says how many operations a second are asked for (300 by default), `DUMPRESTORE_DUMPS` how many dumps
//! are made (5 by default).

use std::path::Path;
use std::sync::Arc;

use dumprestore_testkit::{MysqlServer, MysqlVersion};
use dumprestore_tests::{Bazaar, Served, prove_coherent, show_incoherent};

const PRODUCTS: u32 = 1500;

fn bazaar(folder: &Path) -> Bazaar {
    let server = Arc::new(MysqlServer::start(MysqlVersion::Mariadb10_11));
    Bazaar::create(&folder.join("bazaar"), &server, PRODUCTS)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_dangles_and_nothing_is_torn_in_dumps_of_mariadb_under_live_load() -> std::io::Result<()> {
    let folder = tempfile::tempdir()?;
    prove_coherent(&bazaar(folder.path()), folder.path()).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_certification_the_same_load_on_mariadb_shows_dangling_links() -> std::io::Result<()> {
    let folder = tempfile::tempdir()?;
    show_incoherent(&bazaar(folder.path()), folder.path()).await;
    Ok(())
}
