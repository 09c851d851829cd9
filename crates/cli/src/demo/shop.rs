//! A small shop: products with pictures, purchases of products.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dumprestore::{Error, Result};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// The configuration of the shop's backup set.
pub(crate) const CONFIG: &str = "\
# A small shop: rows of the database name files below `uploads`.
version: 1
name: shop
archive: { to: backups }
set:
  - name: db
    driver: sqlite
    path: shop.db
    references:
      # The second column lets the dump prove that each picture is the one that its row means.
      - { to: uploads, keys: \"SELECT image, sha256 FROM product\" }
  - name: uploads
    driver: filesystem
    path: uploads
    # Pictures that are still being written.
    exclude: [\"*.new\"]
";

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price INTEGER NOT NULL,
                          image TEXT NOT NULL, sha256 TEXT NOT NULL);
    CREATE TABLE purchase (id INTEGER PRIMARY KEY, product INTEGER NOT NULL REFERENCES product, quantity INTEGER);
    CREATE INDEX purchase_product ON purchase (product);";

/// The shop, with a connection to its database.
pub(crate) struct Shop {
    folder: PathBuf,
    database: Connection,
    dice: Dice,
}

/// What there is in the shop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Count {
    pub(crate) products: u64,
    /// None if there is no such table.
    pub(crate) purchases: Option<u64>,
    pub(crate) pictures: u64,
    pub(crate) picture_bytes: u64,
    /// Products whose picture is not there, and purchases whose product is not.
    pub(crate) dangling: u64,
    /// Products whose picture is another one than their row means.
    pub(crate) torn: u64,
}

impl Shop {
    /// Makes the shop in a folder, with so many products.
    pub(crate) fn create(folder: &Path, products: u32) -> Result<Self> {
        std::fs::create_dir_all(folder.join("uploads")).map_err(failed)?;
        std::fs::write(folder.join("dumprestore.yaml"), CONFIG).map_err(failed)?;
        let mut shop = Self::open(folder, 1)?;
        shop.attempt(|shop| {
            shop.database.execute_batch(SCHEMA)?;
            shop.database.execute_batch("BEGIN IMMEDIATE")?;
            (0..products).try_for_each(|_| shop.insert())?;
            shop.database.execute_batch("COMMIT")?;
            Ok(())
        })?;
        Ok(shop)
    }

    /// Opens it once more, with other dice.
    pub(crate) fn open(folder: &Path, seed: u64) -> Result<Self> {
        let connect = || -> rusqlite::Result<Connection> {
            let database = Connection::open(folder.join("shop.db"))?;
            database.busy_timeout(Duration::from_secs(10))?;
            database.pragma_update(None, "synchronous", "NORMAL")?;
            Ok(database)
        };
        Ok(Self { folder: folder.to_owned(), database: connect().map_err(failed)?, dice: Dice(seed) })
    }

    /// One of the things that go on in a shop: insert, delete, replace, overwrite.
    pub(crate) fn work(&mut self) -> Result<()> {
        self.attempt(|shop| match shop.dice.roll(4) {
            0 => shop.add(),
            1 => shop.remove(),
            2 => shop.replace(),
            _ => shop.overwrite(),
        })
    }

    fn add(&mut self) -> Attempt {
        self.in_transaction(Self::insert)
    }

    fn insert(&mut self) -> Attempt {
        let (image, sha256) = self.new_picture()?;
        let price = i64::try_from(self.dice.roll(10_000))?;
        let insert = "INSERT INTO product (name, price, image, sha256) VALUES (?1, ?2, ?1, ?3)";
        self.database.execute(insert, params![image, price, sha256])?;
        let product = self.database.last_insert_rowid();
        let purchase = "INSERT INTO purchase (product, quantity) VALUES (?1, ?2)";
        (0..i64::try_from(self.dice.roll(4))?).try_for_each(|quantity| {
            self.database.execute(purchase, params![product, quantity + 1])?;
            Ok(())
        })
    }

    fn remove(&mut self) -> Attempt {
        let mut gone = None;
        self.in_transaction(|shop| {
            let Some((product, image)) = shop.any_product()? else { return Ok(()) };
            shop.database.execute("DELETE FROM purchase WHERE product = ?1", [product])?;
            shop.database.execute("DELETE FROM product WHERE id = ?1", [product])?;
            gone = Some(image);
            Ok(())
        })?;
        self.remove_picture(gone)
    }

    /// Another picture under another name.
    fn replace(&mut self) -> Attempt {
        let mut gone = None;
        self.in_transaction(|shop| {
            let Some((product, image)) = shop.any_product()? else { return Ok(()) };
            let (new, sha256) = shop.new_picture()?;
            let update = "UPDATE product SET image = ?2, sha256 = ?3 WHERE id = ?1";
            shop.database.execute(update, params![product, new, sha256])?;
            gone = Some(image);
            Ok(())
        })?;
        self.remove_picture(gone)
    }

    /// Another picture under the same name.
    fn overwrite(&mut self) -> Attempt {
        self.in_transaction(|shop| {
            let Some((product, image)) = shop.any_product()? else { return Ok(()) };
            let sha256 = shop.write_picture(&image)?;
            shop.database
                .execute("UPDATE product SET sha256 = ?2 WHERE id = ?1", params![product, sha256])?;
            Ok(())
        })
    }

    fn in_transaction(&mut self, work: impl FnOnce(&mut Self) -> Attempt) -> Attempt {
        self.database.execute_batch("BEGIN IMMEDIATE")?;
        let worked = work(self);
        self.database.execute_batch(if worked.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        worked
    }

    fn any_product(&mut self) -> Attempt<Option<(i64, String)>> {
        let last = self.number("SELECT coalesce(max(id), 0) FROM product")?;
        let from = i64::try_from(self.dice.roll(last.max(1)))?;
        let any = "SELECT id, image FROM product WHERE id >= ?1 ORDER BY id LIMIT 1";
        Ok(self.database.query_row(any, [from], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    }

    fn new_picture(&mut self) -> Attempt<(String, String)> {
        let image = format!("{:016x}.jpg", self.dice.next());
        let sha256 = self.write_picture(&image)?;
        Ok((image, sha256))
    }

    fn write_picture(&mut self, image: &str) -> Attempt<String> {
        let length = 2_000 + usize::try_from(self.dice.roll(12_000))?;
        let bytes: Vec<u8> = (0..length / 8).flat_map(|_| self.dice.next().to_le_bytes()).collect();
        let unfinished = self.folder.join("uploads").join(format!(".{image}.new"));
        std::fs::write(&unfinished, &bytes)?;
        std::fs::rename(&unfinished, self.picture(image))?;
        Ok(hex(&bytes))
    }

    fn remove_picture(&self, image: Option<String>) -> Attempt {
        Ok(image.map_or(Ok(()), |image| std::fs::remove_file(self.picture(&image)))?)
    }

    fn picture(&self, image: &str) -> PathBuf {
        self.folder.join("uploads").join(image)
    }

    /// A bad release: a table is dropped, prices are lost, every third picture is deleted.
    pub(crate) fn break_it(&mut self) -> Result<()> {
        self.attempt(|shop| {
            shop.database.execute_batch("DROP TABLE purchase; UPDATE product SET price = 0")?;
            for (nth, (image, _)) in shop.pictures()?.iter().enumerate() {
                if nth % 3 == 0 {
                    std::fs::remove_file(shop.picture(image))?;
                }
            }
            Ok(())
        })
    }

    /// Counts all that there is, and reads every picture.
    pub(crate) fn count(&mut self) -> Result<Count> {
        self.attempt(|shop| {
            let pictures: HashMap<String, Vec<u8>> = shop.pictures()?.into_iter().collect();
            let mut count = Count {
                products: 0,
                purchases: shop.count_purchases()?,
                pictures: pictures.len() as u64,
                picture_bytes: pictures.values().map(|bytes| bytes.len() as u64).sum(),
                dangling: shop.count_lost_purchases()?,
                torn: 0,
            };
            let mut query = shop.database.prepare("SELECT image, sha256 FROM product")?;
            let products =
                query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
            for product in products {
                let (image, sha256) = product?;
                count.products += 1;
                match pictures.get(&image) {
                    None => count.dangling += 1,
                    Some(bytes) if hex(bytes) != sha256 => count.torn += 1,
                    Some(_) => {}
                }
            }
            Ok(count)
        })
    }

    fn count_purchases(&self) -> Attempt<Option<u64>> {
        match self.number("SELECT count(*) FROM sqlite_schema WHERE name = 'purchase'")? {
            0 => Ok(None),
            _ => self.number("SELECT count(*) FROM purchase").map(Some),
        }
    }

    fn count_lost_purchases(&self) -> Attempt<u64> {
        match self.count_purchases()? {
            None => Ok(0),
            Some(_) => {
                self.number("SELECT count(*) FROM purchase WHERE product NOT IN (SELECT id FROM product)")
            }
        }
    }

    fn number(&self, query: &str) -> Attempt<u64> {
        let number: i64 = self.database.query_row(query, [], |row| row.get(0))?;
        Ok(u64::try_from(number)?)
    }

    fn pictures(&self) -> Attempt<Vec<(String, Vec<u8>)>> {
        let mut pictures = Vec::new();
        for entry in std::fs::read_dir(self.folder.join("uploads"))? {
            let entry = entry?;
            pictures.push((entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path())?));
        }
        pictures.sort();
        Ok(pictures)
    }

    fn attempt<T>(&mut self, work: impl FnOnce(&mut Self) -> Attempt<T>) -> Result<T> {
        work(self).map_err(failed)
    }
}

type Cause = Box<dyn std::error::Error + Send + Sync>;
type Attempt<T = ()> = std::result::Result<T, Cause>;

fn failed(cause: impl Into<Cause>) -> Error {
    Error::environment("the demo's shop can't go on").with_source(cause)
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Numbers that look like chance: xorshift.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.next() % sides
    }
}
