//! Who we are, and the proof of it.

use std::io;

use mysql_common::scramble::{create_response_for_ed25519, scramble_native, scramble_sha256};

use super::Password;
use super::greeting::{Greeting, capability as can};
use super::public_key;
use super::said::{Complaint, Trouble};
use super::wire::{Fields, Wire, broken};

/// `utf8mb4_general_ci`, which every server knows.
const UTF8MB4: u8 = 45;
const LARGEST_MESSAGE: u32 = 1 << 30;

/// What a server is told at the beginning.
pub(super) struct Login<'a> {
    pub(super) user: &'a str,
    pub(super) password: Option<&'a Password>,
    pub(super) database: Option<&'a str>,
    pub(super) purpose: &'a str,
    /// Nobody can listen: a socket of this machine, or TLS.
    pub(super) private: bool,
    /// Nobody can pretend: a socket of this machine, or TLS with a certificate that was verified.
    pub(super) proven: bool,
}

/// Why nobody was let in.
#[derive(Debug)]
pub(super) enum Denial {
    Trouble(Trouble),
    /// The server wants a proof that we don't know how to give.
    Plugin(String),
    /// The server wants the password itself, and the connection is not safe enough for that.
    Exposed(String),
}

impl From<Trouble> for Denial {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// What both sides are capable of.
pub(super) fn agreed(greeting: &Greeting, tls: bool, database: bool) -> u32 {
    let mut ours = can::LONG_PASSWORD
        | can::LONG_FLAG
        | can::LOCAL_FILES
        | can::PROTOCOL_41
        | can::TRANSACTIONS
        | can::SECURE_CONNECTION
        | can::MULTI_RESULTS
        | can::PLUGIN_AUTH
        | can::CONNECT_ATTRS
        | can::LENENC_AUTH_DATA
        | can::DEPRECATE_EOF;
    if tls {
        ours |= can::SSL;
    }
    if database {
        ours |= can::CONNECT_WITH_DB;
    }
    // A MariaDB does not say that it has the first, which every server has.
    ours & (greeting.capabilities | can::LONG_PASSWORD)
}

/// What begins every answer to a greeting, and is all of one that asks for TLS.
pub(super) fn head(capabilities: u32) -> Vec<u8> {
    let mut head = capabilities.to_le_bytes().to_vec();
    head.extend(LARGEST_MESSAGE.to_le_bytes());
    head.push(UTF8MB4);
    head.extend([0; 23]);
    head
}

impl Login<'_> {
    /// Logs in.
    pub(super) async fn run(
        &self,
        wire: &mut Wire,
        greeting: &Greeting,
        capabilities: u32,
    ) -> Result<(), Denial> {
        let mut plugin = match greeting.plugin.as_slice() {
            b"caching_sha2_password" => greeting.plugin.clone(),
            // Whoever wants another one asks for it.
            _ => b"mysql_native_password".to_vec(),
        };
        let mut nonce = greeting.nonce.clone();
        let proof = self.proof(&plugin, &nonce)?;
        wire.write(&self.response(capabilities, &plugin, &proof), &[]).await?;
        let mut switched = false;
        loop {
            wire.read().await?;
            let message = wire.message();
            match message.first() {
                Some(0x00) => return Ok(()),
                Some(0xff) => return Err(Trouble::Refused(Complaint::read(message)?).into()),
                Some(0xfe) if !switched => {
                    switched = true;
                    (plugin, nonce) = switch(message)?;
                    let answer = self.proof(&plugin, &nonce)?;
                    wire.write(&answer, &[]).await?;
                }
                Some(0x01) => {
                    let more = message.get(1..).unwrap_or_default().to_vec();
                    self.go_on(wire, &plugin, &nonce, &more).await?;
                }
                _ => return Err(broken("a server's part of the login can't be read").into()),
            }
        }
    }

    fn response(&self, capabilities: u32, plugin: &[u8], proof: &[u8]) -> Vec<u8> {
        let mut response = head(capabilities);
        push_terminated(&mut response, self.user.as_bytes());
        push_counted(&mut response, proof);
        if let Some(database) = self.database {
            push_terminated(&mut response, database.as_bytes());
        }
        if capabilities & can::PLUGIN_AUTH != 0 {
            push_terminated(&mut response, plugin);
        }
        if capabilities & can::CONNECT_ATTRS != 0 {
            push_counted(&mut response, &self.attributes());
        }
        response
    }

    /// What an administrator sees in `performance_schema.session_connect_attrs`.
    fn attributes(&self) -> Vec<u8> {
        let pid = std::process::id().to_string();
        let mut attributes = Vec::new();
        for (name, value) in [
            ("program_name", "dumprestore"),
            ("dumprestore_purpose", self.purpose),
            ("_client_version", env!("CARGO_PKG_VERSION")),
            ("_pid", &pid),
        ] {
            push_counted(&mut attributes, name.as_bytes());
            push_counted(&mut attributes, value.as_bytes());
        }
        attributes
    }

    fn password(&self) -> &[u8] {
        self.password.map(|password| password.expose().as_bytes()).unwrap_or_default()
    }

    /// The proof that a plugin begins with.
    fn proof(&self, plugin: &[u8], nonce: &[u8]) -> Result<Vec<u8>, Denial> {
        let password = self.password();
        let name = || String::from_utf8_lossy(plugin).into_owned();
        match plugin {
            b"mysql_native_password" => {
                Ok(scramble_native(nonce, password).map(Vec::from).unwrap_or_default())
            }
            b"caching_sha2_password" => {
                Ok(scramble_sha256(nonce, password).map(Vec::from).unwrap_or_default())
            }
            b"client_ed25519" if password.is_empty() => Ok(Vec::new()),
            b"client_ed25519" => Ok(create_response_for_ed25519(password, nonce).to_vec()),
            b"sha256_password" if password.is_empty() => Ok(vec![0]),
            b"sha256_password" if self.private => Ok(terminated(password)),
            // Asks for the server's public key.
            b"sha256_password" => Ok(vec![1]),
            b"mysql_clear_password" if self.proven => Ok(terminated(password)),
            b"mysql_clear_password" => Err(Denial::Exposed(name())),
            b"auth_socket" | b"unix_socket" => Ok(Vec::new()),
            _ => Err(Denial::Plugin(name())),
        }
    }

    async fn go_on(&self, wire: &mut Wire, plugin: &[u8], nonce: &[u8], more: &[u8]) -> Result<(), Denial> {
        const KNOWN_ALREADY: &[u8] = &[3];
        const WHOLE_PASSWORD: &[u8] = &[4];
        const SEND_THE_KEY: &[u8] = &[2];
        match (plugin, more) {
            (b"caching_sha2_password", KNOWN_ALREADY) => Ok(()),
            (b"caching_sha2_password", WHOLE_PASSWORD) if self.private => {
                Ok(wire.write(&terminated(self.password()), &[]).await?)
            }
            (b"caching_sha2_password", WHOLE_PASSWORD) => Ok(wire.write(SEND_THE_KEY, &[]).await?),
            (b"caching_sha2_password" | b"sha256_password", key) if !self.private => {
                let sealed = public_key::seal(&terminated(self.password()), nonce, key)?;
                Ok(wire.write(&sealed, &[]).await?)
            }
            _ => Err(broken("a server's part of the login can't be read").into()),
        }
    }
}

/// Another plugin, and what it is to sign.
fn switch(message: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Denial> {
    let mut fields = Fields(message);
    fields.byte();
    if fields.0.is_empty() {
        return Err(Denial::Plugin("mysql_old_password".to_owned()));
    }
    let read = |fields: &mut Fields<'_>| Some(fields.until_zero()?.to_vec());
    let plugin = read(&mut fields).ok_or_else(|| broken("a server's part of the login can't be read"))?;
    let nonce = match (plugin.as_slice(), fields.0) {
        (b"client_ed25519", nonce) => nonce.get(..32).unwrap_or(nonce),
        (_, nonce) => nonce.get(..20).unwrap_or(nonce),
    };
    Ok((plugin, nonce.to_vec()))
}

fn terminated(password: &[u8]) -> Vec<u8> {
    let mut whole = password.to_vec();
    whole.push(0);
    whole
}

fn push_terminated(message: &mut Vec<u8>, text: &[u8]) {
    message.extend_from_slice(text);
    message.push(0);
}

fn push_counted(message: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        short @ 0..=250 => message.push(short as u8),
        long => {
            message.push(0xfc);
            message.extend((long.min(0xffff) as u16).to_le_bytes());
        }
    }
    message.extend_from_slice(bytes.get(..bytes.len().min(0xffff)).unwrap_or_default());
}

impl From<io::Error> for Denial {
    fn from(error: io::Error) -> Self {
        Self::Trouble(error.into())
    }
}
