//! What `INFO` tells.

use std::collections::BTreeMap;

/// The lines of `INFO`, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Info {
    lines: BTreeMap<String, String>,
    modules: Vec<String>,
}

impl Info {
    pub(crate) fn parse(text: &str) -> Self {
        let mut info = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.trim_end().split_once(':') else { continue };
            match (name, value.split(',').find_map(|pair| pair.strip_prefix("name="))) {
                // The one name that many lines may have.
                ("module", Some(module)) => info.modules.push(module.to_owned()),
                _ => drop(info.lines.insert(name.to_owned(), value.to_owned())),
            }
        }
        info
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.lines.get(name).map(String::as_str)
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// The databases that hold keys, with how many.
    pub(crate) fn keyspace(&self) -> Vec<(u64, u64)> {
        let mut found: Vec<(u64, u64)> = self
            .lines
            .iter()
            .filter_map(|(name, value)| {
                let index = name.strip_prefix("db")?.parse().ok()?;
                let keys = value.split(',').find_map(|pair| pair.strip_prefix("keys="))?;
                Some((index, keys.parse().ok()?))
            })
            .collect();
        found.sort_unstable();
        found
    }

    /// The names of the modules that it has loaded.
    pub(crate) fn modules(&self) -> &[String] {
        &self.modules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_info_are_found_by_their_names() {
        let info = Info::parse(
            "# Server\r\nmodule:name=bf,ver=20601,api=1\r\nmodule:name=ReJSON,ver=1\r\nredis_version:7.0.15\r\nexecutable:/usr/bin/a:b\r\n\r\n# Keyspace\r\n\
             db10:keys=3,expires=0,avg_ttl=0\r\ndb2:keys=12,expires=1,avg_ttl=5,subexpiry=0\r\ndbx:keys=1\r\n",
        );
        assert_eq!(info.get("redis_version"), Some("7.0.15"));
        assert_eq!(info.get("executable"), Some("/usr/bin/a:b"));
        assert_eq!(info.get("nothing"), None);
        assert_eq!(info.keyspace(), [(2, 12), (10, 3)]);
        assert_eq!(info.modules(), ["bf", "ReJSON"]);
    }
}
