//! How a value is encoded.

use std::fmt;

use super::Version;

/// The type byte before a value: what it is (a list, say) and how it is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    String,
    List,
    Set,
    /// Scores as text.
    ZsetText,
    Hash,
    /// Scores as IEEE 754.
    Zset,
    HashZipmap,
    ListZiplist,
    SetIntset,
    ZsetZiplist,
    HashZiplist,
    ListQuicklist,
    /// Redis 5.
    Stream,
    HashListpack,
    ZsetListpack,
    /// Redis 7.0.
    ListQuicklist2,
    /// Redis 7.0.
    Stream2,
    SetListpack,
    /// Redis 7.2.
    Stream3,
    /// Fields that expire, of release candidates of Redis 7.4.
    HashExpiringDraft,
    HashListpackExpiringDraft,
    /// Fields that expire, of Redis 7.4.
    HashExpiring,
    HashListpackExpiring,
    /// Redis 8.6: producers that may say a thing twice.
    Stream4,
    /// Redis 8.8: entries that were given back.
    Stream5,
    /// Redis 8.8.
    Array,
    /// Of a type that a module has made: it can be gone past, and no more.
    Module,
    /// Fields that expire, of Valkey 9.
    HashExpiringValkey,
}

/// Each with its type byte, and what the command `TYPE` calls it (of modules' types: what they are). The byte 22 means one thing to Redis and another to Valkey.
const KINDS: [(Kind, u8, &str); 28] = [
    (Kind::String, 0, "string"),
    (Kind::List, 1, "list"),
    (Kind::Set, 2, "set"),
    (Kind::ZsetText, 3, "zset"),
    (Kind::Hash, 4, "hash"),
    (Kind::Zset, 5, "zset"),
    (Kind::HashZipmap, 9, "hash"),
    (Kind::ListZiplist, 10, "list"),
    (Kind::SetIntset, 11, "set"),
    (Kind::ZsetZiplist, 12, "zset"),
    (Kind::HashZiplist, 13, "hash"),
    (Kind::ListQuicklist, 14, "list"),
    (Kind::Stream, 15, "stream"),
    (Kind::HashListpack, 16, "hash"),
    (Kind::ZsetListpack, 17, "zset"),
    (Kind::ListQuicklist2, 18, "list"),
    (Kind::Stream2, 19, "stream"),
    (Kind::SetListpack, 20, "set"),
    (Kind::Stream3, 21, "stream"),
    (Kind::HashExpiringDraft, 22, "hash"),
    (Kind::HashListpackExpiringDraft, 23, "hash"),
    (Kind::HashExpiring, 24, "hash"),
    (Kind::HashListpackExpiring, 25, "hash"),
    (Kind::Stream4, 26, "stream"),
    (Kind::Stream5, 27, "stream"),
    (Kind::Array, 28, "array"),
    (Kind::Module, 7, "module"),
    (Kind::HashExpiringValkey, 22, "hash"),
];

/// The first type byte that Redis and Valkey use differently.
const PARTED: u8 = 22;

impl Kind {
    /// What a type byte means in that version. None if it is not known, or a module's.
    pub(crate) fn of(byte: u8, version: Version) -> Option<Self> {
        if version.valkey && byte >= PARTED {
            return (byte == PARTED).then_some(Self::HashExpiringValkey);
        }
        KINDS.iter().find(|(kind, known, _)| *known == byte && *kind != Self::Module).map(|(kind, ..)| *kind)
    }

    /// The type byte.
    pub(crate) fn byte(self) -> u8 {
        KINDS[self as usize].1
    }

    /// What the command `TYPE` says of such a value.
    pub(crate) fn name(self) -> &'static str {
        KINDS[self as usize].2
    }

    pub(crate) fn is_string(self) -> bool {
        self.name() == "string"
    }

    pub(crate) fn is_list(self) -> bool {
        self.name() == "list"
    }

    pub(crate) fn is_set(self) -> bool {
        self.name() == "set"
    }

    pub(crate) fn is_sorted_set(self) -> bool {
        self.name() == "zset"
    }

    pub(crate) fn is_hash(self) -> bool {
        self.name() == "hash"
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = Kind> {
    KINDS.iter().map(|(kind, ..)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_stands_at_its_own_place() {
        for (at, kind) in all().enumerate() {
            assert_eq!(kind as usize, at);
        }
    }

    #[test]
    fn a_type_byte_means_what_its_server_says() {
        let redis = Version { valkey: false, number: 14 };
        let valkey = Version { valkey: true, number: 80 };
        for kind in all().filter(|kind| *kind != Kind::Module) {
            let version = if kind == Kind::HashExpiringValkey { valkey } else { redis };
            assert_eq!(Kind::of(kind.byte(), version), Some(kind));
        }
        for byte in [6, 7, 8, 29, 200, 244] {
            assert_eq!(Kind::of(byte, redis), None);
        }
        assert_eq!(Kind::of(24, valkey), None);
    }
}
