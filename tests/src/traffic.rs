//! An application at work: rows and files come, go and change while a shop is dumped.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::wares::{Random, content, fresh_name, hex_of, is_whole};
use crate::{Application, Shop};

/// Writers on a shop.
///
/// They keep the rules that any application keeps whose rows point at files: a file is written before the row that
/// names it, and removed after it. Every file ends with the SHA-256 of what stands before, so a torn one is known
/// as such.
pub struct Traffic {
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Done>>,
}

/// What the writers did.
#[derive(Debug)]
pub struct TrafficReport {
    /// Changes of rows with their files.
    pub operations: u64,
    /// For how long.
    pub seconds: f64,
    /// The longest that a writer waited for a lock that somebody else held. Each database has one writer only, so
    /// somebody else was not another writer.
    pub longest_wait: Duration,
}

struct Done {
    operations: u64,
    seconds: f64,
    longest_wait: Duration,
}

impl Traffic {
    /// Starts writing, at about that many operations each second.
    pub fn start(shop: &Shop, rate: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let folder = shop.folder().to_owned();
        let sales = Writer::new(&folder, "shop.db", rate * 3 / 4, &stop);
        let accounts = Writer::new(&folder, "shop.db", rate / 4, &stop);
        // The second writer shares the first one's database only through customers, which the first never touches.
        let gate = Arc::new(std::sync::Mutex::new(()));
        let (first, second) = (gate.clone(), gate);
        let writers = vec![
            std::thread::spawn(move || {
                sales.work(|db, random, waited| {
                    let _turn = first.lock().unwrap();
                    sell(&folder, db, random, waited);
                })
            }),
            std::thread::spawn({
                let crm = shop.crm();
                move || {
                    accounts.work(|db, random, waited| {
                        let _turn = second.lock().unwrap();
                        keep_accounts(db, &crm, random, waited);
                    })
                }
            }),
        ];
        Self { stop, writers }
    }

    /// Stops, and tells.
    pub fn stop(self) -> TrafficReport {
        self.stop.store(true, Ordering::Relaxed);
        let done: Vec<Done> = self.writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        TrafficReport {
            operations: done.iter().map(|done| done.operations).sum(),
            seconds: done.iter().map(|done| done.seconds).fold(0.0, f64::max),
            longest_wait: done.iter().map(|done| done.longest_wait).max().unwrap_or_default(),
        }
    }
}

struct Writer {
    database: PathBuf,
    rate: u32,
    stop: Arc<AtomicBool>,
}

impl Writer {
    fn new(folder: &Path, database: &str, rate: u32, stop: &Arc<AtomicBool>) -> Self {
        Self { database: folder.join(database), rate: rate.max(1), stop: stop.clone() }
    }

    fn work(self, mut operate: impl FnMut(&Connection, &Random, &Waited)) -> Done {
        let db = Connection::open(&self.database).unwrap();
        db.busy_timeout(Duration::ZERO).unwrap();
        let (random, waited) = (Random::new(), Waited::default());
        let begun = Instant::now();
        let mut operations = 0;
        while !self.stop.load(Ordering::Relaxed) {
            operate(&db, &random, &waited);
            operations += 1;
            let due = begun + Duration::from_secs(1) * operations / self.rate;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        Done {
            operations: operations.into(),
            seconds: begun.elapsed().as_secs_f64(),
            longest_wait: waited.0.get(),
        }
    }
}

/// The longest wait for a lock.
#[derive(Default)]
struct Waited(Cell<Duration>);

impl Waited {
    /// Runs a statement, again and again while the database is busy.
    fn execute(&self, db: &Connection, sql: &str, values: impl rusqlite::Params + Clone) {
        let begun = Instant::now();
        let mut was_busy = false;
        loop {
            match db.execute(sql, values.clone()) {
                Ok(_) => break,
                Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => {
                    was_busy = true;
                    std::thread::sleep(Duration::from_micros(200));
                }
                Err(error) => panic!("{sql}: {error}"),
            }
        }
        if was_busy {
            self.0.set(self.0.get().max(begun.elapsed()));
        }
    }
}

fn pick(db: &Connection, random: &Random) -> Option<(i64, String)> {
    let any = "SELECT id, image FROM product WHERE id >= ? ORDER BY id LIMIT 1";
    let top: i64 = db.query_row("SELECT coalesce(max(id), 0) FROM product", [], |row| row.get(0)).ok()?;
    let from = random.below(top as u64 + 1) as i64;
    db.query_row(any, [from], |row| Ok((row.get(0)?, row.get(1)?))).ok()
}

fn sell(folder: &Path, db: &Connection, random: &Random, waited: &Waited) {
    let uploads = folder.join("uploads");
    let put = |name: &str, content: &[u8]| fs::write(uploads.join(name), content).unwrap();
    let (choice, new) = (random.below(100), content(random));
    let Some((id, image)) = pick(db, random) else { return };
    match choice {
        // Insert.
        0..25 => {
            let name = fresh_name(random);
            put(&name, &new);
            waited.execute(db, "INSERT INTO product (image, sha256) VALUES (?, ?)", (&name, hex_of(&new)));
        }
        // Delete.
        25..48 => {
            waited.execute(db, "DELETE FROM product WHERE id = ?", [id]);
            fs::remove_file(uploads.join(image)).unwrap();
        }
        // Replace by a file of another name.
        48..66 => {
            let name = fresh_name(random);
            put(&name, &new);
            waited.execute(
                db,
                "UPDATE product SET image = ?, sha256 = ? WHERE id = ?",
                (&name, hex_of(&new), id),
            );
            fs::remove_file(uploads.join(image)).unwrap();
        }
        // Overwrite by renaming another file over it.
        66..83 => {
            let partial = folder.join(format!("uploads/{image}.{:x}.tmp", random.next()));
            fs::write(&partial, &new).unwrap();
            fs::rename(&partial, uploads.join(&image)).unwrap();
            waited.execute(db, "UPDATE product SET sha256 = ? WHERE id = ?", (hex_of(&new), id));
        }
        // Overwrite in place.
        _ => {
            put(&image, &new);
            waited.execute(db, "UPDATE product SET sha256 = ? WHERE id = ?", (hex_of(&new), id));
        }
    }
}

fn keep_accounts(db: &Connection, crm: &Connection, random: &Random, waited: &Waited) {
    if random.below(2) == 0 {
        waited.execute(db, "INSERT INTO customer (name) VALUES (?)", [format!("new {}", random.next())]);
        waited.execute(crm, "INSERT INTO account (customer) VALUES (?)", [db.last_insert_rowid()]);
        return;
    }
    let last = "SELECT id, customer FROM account ORDER BY id DESC LIMIT 1 OFFSET ?";
    let found: rusqlite::Result<(i64, i64)> =
        crm.query_row(last, [random.below(50) as i64], |row| Ok((row.get(0)?, row.get(1)?)));
    if let Ok((account, customer)) = found {
        waited.execute(crm, "DELETE FROM account WHERE id = ?", [account]);
        waited.execute(db, "DELETE FROM customer WHERE id = ?", [customer]);
    }
}

impl Shop {
    /// What is wrong in this shop: rows without their file or with another one, torn files, accounts without their
    /// customer.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let db = self.db();
        let mut rows = db.prepare("SELECT image, sha256 FROM product").unwrap();
        let rows =
            rows.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
        for row in rows {
            let (image, digest) = row.unwrap();
            match fs::read(self.folder().join("uploads").join(&image)) {
                Err(_) => faults.push(format!("dangling: {image}")),
                Ok(content) if !is_whole(&content) => faults.push(format!("torn: {image}")),
                Ok(content) if hex_of(&content) != digest => faults.push(format!("another: {image}")),
                Ok(_) => {}
            }
        }
        let customers: Vec<i64> = {
            let mut all = db.prepare("SELECT id FROM customer ORDER BY id").unwrap();
            all.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        let crm = self.crm();
        let mut accounts = crm.prepare("SELECT customer FROM account").unwrap();
        for customer in accounts.query_map([], |row| row.get::<_, i64>(0)).unwrap() {
            let customer = customer.unwrap();
            if customers.binary_search(&customer).is_err() {
                faults.push(format!("account without its customer: {customer}"));
            }
        }
        faults
    }
}
