//! A market at work: rows of its databases and files come, go and change while it is dumped.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::client::{Client, Value};
use crate::wares::{Random, content, fresh_name, hex_of, is_whole};
use crate::{Application, TrafficReport};

/// How many sell, each products of its own; one more keeps accounts.
const SELLERS: u32 = 3;

/// An application that is traded on: `db`, with `product` and `customer`; `crm`, with `account`; a folder `uploads`; and
/// a SQLite database with `sale`.
pub trait Traded: Application {
    /// A session of `db` or `crm`.
    fn client(&self, database: &str) -> Box<dyn Client>;
    /// The rows of a query in `db` or `crm`, as text.
    fn rows(&self, database: &str, sql: &str) -> Vec<Vec<Option<String>>>;
    /// The SQLite database.
    fn till(&self) -> Connection;
    /// A query of `crm` for the id of an account that nobody else refers to, that many from the last.
    fn an_account(&self) -> &'static str;
    /// One that is to be, in that folder and at the same server.
    fn nothing_beside(&self, folder: &Path) -> Self;
}

/// Writers on a market, with the rules of [`Traffic`](crate::Traffic).
pub struct Trade {
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<TrafficReport>>,
}

impl Trade {
    /// Starts writing, at about that many operations each second.
    pub fn start(market: &impl Traded, rate: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        // Each has its own before the first of them makes new ones.
        let shares: Vec<Vec<Product>> = (0..SELLERS).map(|share| products(market, share)).collect();
        let seller = |mut mine: Vec<Product>| {
            let writer = Writer::new(market, &stop, rate / (SELLERS + 1));
            std::thread::spawn(move || writer.work(move |writer| sell(writer, &mut mine)))
        };
        let mut writers: Vec<_> = shares.into_iter().map(seller).collect();
        let accountant = Writer::new(market, &stop, rate / (SELLERS + 1));
        writers.push(std::thread::spawn(move || accountant.work(keep_accounts)));
        Self { stop, writers }
    }

    /// Stops, and tells. The longest wait is that for any one statement.
    pub fn stop(self) -> TrafficReport {
        self.stop.store(true, Ordering::Relaxed);
        let reports: Vec<TrafficReport> =
            self.writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        TrafficReport {
            operations: reports.iter().map(|report| report.operations).sum(),
            seconds: reports.iter().map(|report| report.seconds).fold(0.0, f64::max),
            longest_wait: reports.iter().map(|report| report.longest_wait).max().unwrap_or_default(),
        }
    }
}

struct Writer {
    db: Box<dyn Client>,
    crm: Box<dyn Client>,
    an_account: &'static str,
    uploads: PathBuf,
    rate: u32,
    stop: Arc<AtomicBool>,
    random: Random,
    longest_wait: Duration,
}

type Product = (i64, String);

impl Writer {
    fn new(market: &impl Traded, stop: &Arc<AtomicBool>, rate: u32) -> Self {
        Self {
            db: market.client("db"),
            crm: market.client("crm"),
            an_account: market.an_account(),
            uploads: market.folder().join("uploads"),
            rate: rate.max(1),
            stop: stop.clone(),
            random: Random::new(),
            longest_wait: Duration::ZERO,
        }
    }

    fn work(mut self, mut operate: impl FnMut(&mut Self)) -> TrafficReport {
        let begun = Instant::now();
        let mut operations = 0;
        while !self.stop.load(Ordering::Relaxed) {
            operate(&mut self);
            operations += 1;
            let due = begun + Duration::from_secs(1) * operations / self.rate;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        TrafficReport {
            operations: operations.into(),
            seconds: begun.elapsed().as_secs_f64(),
            longest_wait: self.longest_wait,
        }
    }

    fn db(&mut self, sql: &str, values: &[Value<'_>]) -> Option<i64> {
        let begun = Instant::now();
        let told = self.db.ask(sql, values);
        self.longest_wait = self.longest_wait.max(begun.elapsed());
        told
    }

    fn crm(&mut self, sql: &str, values: &[Value<'_>]) -> Option<i64> {
        let begun = Instant::now();
        let told = self.crm.ask(sql, values);
        self.longest_wait = self.longest_wait.max(begun.elapsed());
        told
    }

    fn put(&self, name: &str, content: &[u8]) {
        fs::write(self.uploads.join(name), content).unwrap();
    }
}

/// The products that are one seller's to change.
fn products(market: &impl Traded, share: u32) -> Vec<Product> {
    let asked = format!("SELECT id, image FROM product WHERE id % {SELLERS} = {share}");
    let rows = market.rows("db", &asked);
    let text = |value: &Option<String>| value.clone().unwrap();
    rows.iter().map(|row| (text(&row[0]).parse().unwrap(), text(&row[1]))).collect()
}

fn sell(writer: &mut Writer, mine: &mut Vec<Product>) {
    let (choice, new) = (writer.random.below(100), content(&writer.random));
    let at = writer.random.below(mine.len().max(1) as u64) as usize;
    let update = "UPDATE product SET image = ?, sha256 = ? WHERE id = ?";
    match (choice, mine.get(at).cloned()) {
        // Insert.
        (0..25, _) | (_, None) => {
            let name = fresh_name(&writer.random);
            writer.put(&name, &new);
            let insert = "INSERT INTO product (image, sha256) VALUES (?, ?) RETURNING id";
            let id = writer.db(insert, &[Value::Text(&name), Value::Text(&hex_of(&new))]).unwrap();
            mine.push((id, name));
        }
        // Delete.
        (25..48, Some((id, image))) => {
            writer.db("DELETE FROM product WHERE id = ?", &[Value::Number(id)]);
            fs::remove_file(writer.uploads.join(image)).unwrap();
            mine.swap_remove(at);
        }
        // Replace by a file of another name.
        (48..66, Some((id, image))) => {
            let name = fresh_name(&writer.random);
            writer.put(&name, &new);
            writer.db(update, &[Value::Text(&name), Value::Text(&hex_of(&new)), Value::Number(id)]);
            fs::remove_file(writer.uploads.join(image)).unwrap();
            mine[at].1 = name;
        }
        // Overwrite by renaming another file over it.
        (66..83, Some((id, image))) => {
            let partial = format!("{image}.{:x}.tmp", writer.random.next());
            writer.put(&partial, &new);
            fs::rename(writer.uploads.join(partial), writer.uploads.join(&image)).unwrap();
            writer.db(update, &[Value::Text(&image), Value::Text(&hex_of(&new)), Value::Number(id)]);
        }
        // Overwrite in place.
        (_, Some((id, image))) => {
            writer.put(&image, &new);
            writer.db(update, &[Value::Text(&image), Value::Text(&hex_of(&new)), Value::Number(id)]);
        }
    }
}

/// A customer comes before its account, and goes after it.
fn keep_accounts(writer: &mut Writer) {
    if writer.random.below(2) == 0 {
        let name = format!("new {}", writer.random.next());
        let customer =
            writer.db("INSERT INTO customer (name) VALUES (?) RETURNING id", &[Value::Text(&name)]).unwrap();
        writer.crm("INSERT INTO account (customer) VALUES (?) RETURNING id", &[Value::Number(customer)]);
        return;
    }
    // The `till` refers to the first ones.
    let offset = writer.random.below(50) as i64;
    let Some(account) = writer.crm(writer.an_account, &[Value::Number(offset)]) else { return };
    let gone = "DELETE FROM account WHERE id = ? RETURNING customer";
    if let Some(customer) = writer.crm(gone, &[Value::Number(account)]) {
        writer.db("DELETE FROM customer WHERE id = ?", &[Value::Number(customer)]);
    }
}

/// What is wrong in it: rows without their file or with another one, torn files, accounts and sales without their
/// customer.
pub fn faults(market: &impl Traded) -> Vec<String> {
    let mut faults = Vec::new();
    for row in market.rows("db", "SELECT image, sha256 FROM product") {
        let [Some(image), Some(digest)] = &row[..] else { panic!("a product without its file: {row:?}") };
        match fs::read(market.folder().join("uploads").join(image)) {
            Err(_) => faults.push(format!("dangling: {image}")),
            Ok(content) if !is_whole(&content) => faults.push(format!("torn: {image}")),
            Ok(content) if hex_of(&content) != *digest => faults.push(format!("another: {image}")),
            Ok(_) => {}
        }
    }
    let ids = |database: &str, sql: &str| -> Vec<i64> {
        let rows = market.rows(database, sql);
        rows.iter().map(|row| row[0].as_ref().unwrap().parse().unwrap()).collect()
    };
    let customers: BTreeSet<i64> = ids("db", "SELECT id FROM customer").into_iter().collect();
    let mut referrers = ids("crm", "SELECT customer FROM account");
    let till = market.till();
    let mut sales = till.prepare("SELECT customer FROM sale").unwrap();
    referrers.extend(sales.query_map([], |row| row.get::<_, i64>(0)).unwrap().map(Result::unwrap));
    referrers.retain(|customer| !customers.contains(customer));
    faults.extend(referrers.iter().map(|customer| format!("without its customer: {customer}")));
    faults
}
