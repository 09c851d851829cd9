//! A kiosk at work: sessions, customers, files and jobs come, go and change while it is dumped.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redis::{Commands as _, Connection};

use crate::wares::{Random, content, hex_of, is_whole};
use crate::{Application, Kiosk, TrafficReport};

/// As many visitors work at once.
const VISITORS: u32 = 3;

/// Visitors of a kiosk, with the rules of [`Traffic`](crate::Traffic): what is referred to comes before what refers to it,
/// and goes after it.
pub struct Visits {
    stop: Arc<AtomicBool>,
    visitors: Vec<JoinHandle<TrafficReport>>,
}

impl Visits {
    /// Starts them, at about that many operations each second.
    pub fn start(kiosk: &Kiosk, rate: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let visitor = |number| {
            let visitor = Visitor::new(kiosk, number, rate / VISITORS);
            let stop = stop.clone();
            std::thread::spawn(move || visitor.work(&stop))
        };
        let visitors = (0..VISITORS).map(visitor).collect();
        Self { stop, visitors }
    }

    /// Stops them, and tells. The longest wait is that for any one operation.
    pub fn stop(self) -> TrafficReport {
        self.stop.store(true, Ordering::Relaxed);
        let reports: Vec<TrafficReport> =
            self.visitors.into_iter().map(|visitor| visitor.join().unwrap()).collect();
        TrafficReport {
            operations: reports.iter().map(|report| report.operations).sum(),
            seconds: reports.iter().map(|report| report.seconds).fold(0.0, f64::max),
            longest_wait: reports.iter().map(|report| report.longest_wait).max().unwrap_or_default(),
        }
    }
}

struct Visitor {
    db: rusqlite::Connection,
    sessions: Connection,
    queue: Connection,
    uploads: PathBuf,
    rate: u32,
    random: Random,
    /// The next customer that is its own.
    next: i64,
    mine: Vec<(i64, String)>,
}

impl Visitor {
    fn new(kiosk: &Kiosk, number: u32, rate: u32) -> Self {
        Self {
            db: kiosk.db(),
            sessions: kiosk.sessions(),
            queue: kiosk.queue(),
            uploads: kiosk.folder().join("uploads"),
            rate: rate.max(1),
            random: Random::new(),
            next: (i64::from(number) + 1) << 32,
            mine: Vec::new(),
        }
    }

    fn work(mut self, stop: &AtomicBool) -> TrafficReport {
        let begun = Instant::now();
        let (mut operations, mut longest_wait) = (0, Duration::ZERO);
        while !stop.load(Ordering::Relaxed) {
            let before = Instant::now();
            self.operate();
            longest_wait = longest_wait.max(before.elapsed());
            operations += 1;
            let due = begun + Duration::from_secs(1) * operations / self.rate;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        TrafficReport { operations: operations.into(), seconds: begun.elapsed().as_secs_f64(), longest_wait }
    }

    fn operate(&mut self) {
        let choice = self.random.below(100);
        let at = self.random.below(self.mine.len().max(1) as u64) as usize;
        match (choice, self.mine.get(at).cloned()) {
            (0..45, _) | (_, None) => self.arrive(),
            (45..80, Some((id, image))) => {
                self.leave(id, &image);
                self.mine.swap_remove(at);
            }
            (_, Some((id, image))) => self.mine[at].1 = self.change_image(id, &image),
        }
    }

    fn arrive(&mut self) {
        let id = self.next;
        self.next += 1;
        self.db.execute("INSERT INTO customer VALUES (?, ?)", (id, format!("visitor {id}"))).unwrap();
        let (image, sha256) = self.put(id);
        let fields = [("customer", &id.to_string()), ("image", &image), ("sha256", &sha256)];
        let () = self.sessions.hset_multiple(session(id), &fields).unwrap();
        let () = self.queue.rpush(jobs(id), session(id)).unwrap();
        self.mine.push((id, image));
    }

    fn leave(&mut self, id: i64, image: &str) {
        let () = self.queue.lrem(jobs(id), 0, session(id)).unwrap();
        let () = self.sessions.del(session(id)).unwrap();
        fs::remove_file(self.uploads.join(image)).unwrap();
        self.db.execute("DELETE FROM customer WHERE id = ?", [id]).unwrap();
    }

    fn change_image(&mut self, id: i64, old: &str) -> String {
        let (image, sha256) = self.put(id);
        let () = self
            .sessions
            .hset_multiple(session(id), &[("image", image.as_str()), ("sha256", &sha256)])
            .unwrap();
        fs::remove_file(self.uploads.join(old)).unwrap();
        image
    }

    /// A new file; its name and its SHA-256.
    fn put(&self, id: i64) -> (String, String) {
        let (name, new) = (format!("{id}-{:x}.jpg", self.random.next()), content(&self.random));
        fs::write(self.uploads.join(&name), &new).unwrap();
        (name, hex_of(&new))
    }
}

fn session(id: i64) -> String {
    format!("session:{id}")
}

fn jobs(id: i64) -> String {
    format!("jobs:{}", id % 3)
}

/// What is wrong in it: sessions without their customer or file, torn files, jobs without their session.
pub(crate) fn faults_of(kiosk: &Kiosk) -> Vec<String> {
    let (mut sessions, mut queue) = (kiosk.sessions(), kiosk.queue());
    let db = kiosk.db();
    let mut customers = db.prepare("SELECT id FROM customer").unwrap();
    let customers: BTreeSet<i64> =
        customers.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut faults = Vec::new();
    let keys: BTreeSet<String> = sessions.keys::<_, Vec<String>>("session:*").unwrap().into_iter().collect();
    for key in &keys {
        let (customer, image, sha256): (i64, String, String) =
            sessions.hmget(key, &["customer", "image", "sha256"]).unwrap();
        if !customers.contains(&customer) {
            faults.push(format!("without its customer: {key}"));
        }
        match fs::read(kiosk.folder().join("uploads").join(&image)) {
            Err(_) => faults.push(format!("dangling: {key} {image}")),
            Ok(content) if !is_whole(&content) => faults.push(format!("torn: {image}")),
            Ok(content) if hex_of(&content) != sha256 => faults.push(format!("another: {image}")),
            Ok(_) => {}
        }
    }
    for number in 0..3 {
        let jobs: Vec<String> = queue.lrange(jobs(number), 0, -1).unwrap();
        let gone = jobs.iter().filter(|job| !keys.contains(*job));
        faults.extend(gone.map(|job| format!("without its session: {job}")));
    }
    faults
}
