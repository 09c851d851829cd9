//! The first thing a server says.

use std::io;

use super::said::Complaint;
use super::said::Trouble;
use super::wire::{Fields, broken};

/// What either side is capable of, by the protocol's names.
pub(super) mod capability {
    pub(in crate::connect) const LONG_PASSWORD: u32 = 1;
    pub(in crate::connect) const LONG_FLAG: u32 = 1 << 2;
    pub(in crate::connect) const CONNECT_WITH_DB: u32 = 1 << 3;
    pub(in crate::connect) const LOCAL_FILES: u32 = 1 << 7;
    pub(in crate::connect) const PROTOCOL_41: u32 = 1 << 9;
    pub(in crate::connect) const SSL: u32 = 1 << 11;
    pub(in crate::connect) const TRANSACTIONS: u32 = 1 << 13;
    pub(in crate::connect) const SECURE_CONNECTION: u32 = 1 << 15;
    pub(in crate::connect) const MULTI_RESULTS: u32 = 1 << 17;
    pub(in crate::connect) const PLUGIN_AUTH: u32 = 1 << 19;
    pub(in crate::connect) const CONNECT_ATTRS: u32 = 1 << 20;
    pub(in crate::connect) const LENENC_AUTH_DATA: u32 = 1 << 21;
    pub(in crate::connect) const DEPRECATE_EOF: u32 = 1 << 24;
}

/// A server's greeting.
#[derive(Debug)]
pub(super) struct Greeting {
    pub(super) version: String,
    pub(super) capabilities: u32,
    pub(super) plugin: Vec<u8>,
    pub(super) nonce: Vec<u8>,
}

impl Greeting {
    pub(super) fn read(message: &[u8]) -> Result<Self, Trouble> {
        match message.first() {
            Some(0xff) => Err(Trouble::Refused(Complaint::read(message)?)),
            Some(10) => Ok(parse(message).ok_or_else(|| broken("a server's greeting can't be read"))?),
            _ => Err(Trouble::Lost(not_mysql())),
        }
    }

    pub(super) fn offers_tls(&self) -> bool {
        self.capabilities & capability::SSL != 0
    }
}

fn not_mysql() -> io::Error {
    broken("what answers there does not speak MySQL's protocol")
}

fn parse(message: &[u8]) -> Option<Greeting> {
    let mut fields = Fields(message);
    fields.byte()?;
    let version = String::from_utf8_lossy(fields.until_zero()?).into_owned();
    let _thread = fields.take(4)?;
    let mut nonce = fields.take(8)?.to_vec();
    fields.byte()?;
    let mut capabilities = u32::from(fields.u16()?);
    let mut plugin = b"mysql_native_password".to_vec();
    if !fields.0.is_empty() {
        let _collation_and_status = fields.take(3)?;
        capabilities |= u32::from(fields.u16()?) << 16;
        let length = usize::from(fields.byte()?);
        fields.take(10)?;
        nonce.extend_from_slice(fields.take(length.saturating_sub(8).max(13).min(fields.0.len()))?);
        if capabilities & capability::PLUGIN_AUTH != 0 {
            // Old servers forget the zero byte.
            let rest = fields.0;
            plugin = fields.until_zero().unwrap_or(rest).to_vec();
        }
    }
    // What is signed is of 20 bytes; a zero byte ends it.
    nonce.resize(20, 0);
    Some(Greeting { version, capabilities, plugin, nonce })
}
