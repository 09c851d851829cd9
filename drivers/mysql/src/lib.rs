//! The driver for MySQL and MariaDB.

mod archived;
mod catalog;
mod config;
mod connect;
mod driver;
mod dump;
mod export;
mod inspect;
mod links;
mod quote;
mod restore;
mod scan;

pub use config::{Definers, MysqlConfig, NonTransactional};
