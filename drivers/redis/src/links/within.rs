//! What an `in:` declaration says: which key of the server a reference means.

use dumprestore_driver::{Error, Result};

/// How the key is made of what a referrer holds: `cart:*`, or `3/cart:*` in another database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Within {
    /// The database; `None` if it was not said: the first one that is dumped.
    pub(crate) database: Option<u64>,
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Within {
    /// Reads a declaration; none means that references are keys as they are. Offline.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if it is not one key with a `*` in it.
    pub(crate) fn of(within: Option<&str>) -> Result<Self> {
        let Some(within) = within else {
            return Ok(Self { database: None, before: Vec::new(), after: Vec::new() });
        };
        let (database, key) = match within.split_once('/') {
            Some((number, key)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
                let number = number.parse().map_err(|_| refused(within, "has no such database"))?;
                (Some(number), key)
            }
            _ => (None, within),
        };
        match key.split_once('*') {
            Some((before, after)) if !after.contains('*') => {
                Ok(Self { database, before: before.into(), after: after.into() })
            }
            Some(_) => Err(refused(within, "has more than one `*`")),
            None => Err(refused(within, "has no `*`")),
        }
    }

    /// The key that a reference means.
    pub(crate) fn key(&self, reference: &[u8]) -> Vec<u8> {
        [&self.before, reference, &self.after].concat()
    }

    /// Whether some reference could mean that key.
    pub(crate) fn could_mean(&self, key: &[u8]) -> bool {
        key.len() >= self.before.len() + self.after.len()
            && key.starts_with(&self.before)
            && key.ends_with(&self.after)
    }
}

fn refused(within: &str, why: &str) -> Error {
    Error::config(format!("`in: {within}` {why}")).with_hint(
        "write how a key is made of what the referrer holds, with a `*` for it: `in: cart:*`, or `in: 3/cart:*` for \
         another database; leave `in:` out if it is the key itself",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_of_a_reference() {
        let key = |within: Option<&str>| {
            let within = Within::of(within).unwrap();
            let key = within.key(b"7");
            assert!(within.could_mean(&key));
            (within.database, String::from_utf8(key).unwrap())
        };
        assert_eq!(key(None), (None, "7".to_owned()));
        assert_eq!(key(Some("cart:*")), (None, "cart:7".to_owned()));
        assert_eq!(key(Some("3/cart:*:x")), (Some(3), "cart:7:x".to_owned()));
        assert_eq!(key(Some("a/*")), (None, "a/7".to_owned()));
        assert!(!Within::of(Some("aa*aa")).unwrap().could_mean(b"aaa"));
        for wrong in ["", "customer.id", "a*b*", "3/x", "99999999999999999999/*"] {
            assert!(Within::of(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
