//! Makes a small shop in a folder: `shop.db`, `uploads/` and its `dumprestore.yaml`.

use std::error::Error;
use std::path::Path;

use rusqlite::Connection;

const CONFIG: &str = include_str!("../dumprestore.yaml");
const PRODUCTS: [&str; 5] = ["apple", "bread", "cheese", "dates", "eggs"];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("usage: dumprestore-quickstart FOLDER")?;
    make_shop(Path::new(&folder))
}

fn make_shop(folder: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder.join("uploads"))?;
    std::fs::write(folder.join("dumprestore.yaml"), CONFIG)?;
    let database = Connection::open(folder.join("shop.db"))?;
    database.execute_batch(
        "PRAGMA journal_mode = WAL;
         CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT, image TEXT);
         CREATE TABLE purchase (product INTEGER REFERENCES product, quantity INTEGER);",
    )?;
    for (nth, name) in (1..).zip(PRODUCTS) {
        let image = format!("{nth}.jpg");
        std::fs::write(folder.join("uploads").join(&image), format!("a picture of {name}\n").repeat(100))?;
        database.execute("INSERT INTO product (name, image) VALUES (?1, ?2)", (name, image))?;
        database.execute("INSERT INTO purchase VALUES (?1, ?2)", (nth, nth * 3))?;
    }
    Ok(())
}
