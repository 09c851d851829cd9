//! What modules put into files: it is refused, by name.

use dumprestore_driver::Error;

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The name of a module's type: nine letters of six bits, above ten bits of its version.
fn name(id: u64) -> String {
    (0..9).map(|at| char::from(LETTERS[(id >> (58 - 6 * at)) as usize & 63])).collect()
}

/// A key holds a value that only a module understands.
pub(super) fn value(id: u64, key: &[u8]) -> Error {
    Error::unsupported(format!("the key `{}` holds a `{}`, a type of a module", key.escape_ascii(), name(id)))
        .with_hint("types of modules can't be dumped: leave such keys out with `exclude`")
}

/// A module keeps data beside the keys.
pub(super) fn beside(id: u64) -> Error {
    Error::unsupported(format!("the module of `{}` keeps data beside the keys", name(id)))
        .with_hint("with `mode: scan` the keys are dumped without the data of modules")
}

/// Modules keep data with a key.
pub(super) fn with_a_key() -> Error {
    Error::unsupported("a module keeps data of its own with a key").with_hint("such keys can't be dumped")
}

/// A payload of `DUMP` holds a value that only a module understands.
pub(super) fn payload() -> Error {
    Error::unsupported("the value is of a module's type")
        .with_hint("types of modules can't be dumped: leave such keys out with `exclude`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_nine_letters_above_the_version() {
        let letters = *b"ReJSON-RL";
        let id = letters.iter().fold(0u64, |id, letter| {
            id << 6 | LETTERS.iter().position(|known| known == letter).unwrap() as u64
        });
        assert_eq!(name(id << 10 | 3), "ReJSON-RL");
    }
}
