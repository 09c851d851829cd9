//! What stands under `archive:` in a configuration.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use dumprestore::{Archive, ArchiveConfig};
use dumprestore_bucket::BucketOptions;
use dumprestore_driver::{BuildContext, Error, Result, closest};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::amount::{Amount, Rate};
use crate::encryption::{Encryption, EncryptionOptions, Identities};
use crate::place::{Place, is_archive_name};
use crate::retention::Keep;
use crate::template::Template;

/// Where archives go, how they are named, and how long they are kept.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Archive")]
pub struct ArchiveOptions {
    /// A folder, a file, or the URL of a store, such as `s3://backups/shop`; or several: an archive is written to all of them at once.
    to: Places,
    /// How archives are named below a folder or a prefix; `{set}-{utc}.zip` by default.
    #[serde(default)]
    name: Option<Template>,
    /// Which archives `prune` keeps. Without it, it keeps all.
    #[serde(default)]
    keep: Option<Keep>,
    /// To whom archives are encrypted.
    #[serde(default)]
    encryption: Option<EncryptionOptions>,
    /// How fast archives are uploaded at the most, such as `20MiB/s`: all places together.
    #[serde(default)]
    bandwidth: Option<Rate>,
    /// How large an archive may become, such as `50GiB`: a dump that comes to more fails.
    #[serde(default)]
    max_size: Option<Amount>,
}

/// One place, or a list of them.
struct Places(Vec<WrittenPlace>);

/// A path, a URL, or a mapping with `url`.
struct WrittenPlace(PlaceKeys);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Place")]
struct PlaceKeys {
    /// The URL of a store, such as `s3://backups/shop`, or a path.
    url: String,
    /// How large each part of an upload is, where a store wants them all to be the same, or archives are larger than 2 TiB. Up to five of them are in memory at once, for each place.
    #[serde(default)]
    part_size: Option<Amount>,
    #[serde(flatten)]
    options: BucketOptions,
}

impl<'de> Deserialize<'de> for Places {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = Places;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path, a URL, a mapping with `url`, or a list of these")
            }
            fn visit_str<E: serde::de::Error>(self, place: &str) -> Result<Places, E> {
                Ok(Places(vec![WrittenPlace::plain(place)?]))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Places, A::Error> {
                Ok(Places(vec![WrittenPlace::keys(map)?]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Places, A::Error> {
                let mut places = Vec::new();
                while let Some(place) = list.next_element()? {
                    places.push(place);
                }
                match places.is_empty() {
                    true => Err(serde::de::Error::custom("archives need at least one place to go to")),
                    false => Ok(Places(places)),
                }
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl WrittenPlace {
    fn keys<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        PlaceKeys::deserialize(MapAccessDeserializer::new(map)).map(Self).map_err(suggesting)
    }

    fn plain<E: serde::de::Error>(place: &str) -> Result<Self, E> {
        if place.is_empty() {
            return Err(E::custom("a path can't be empty"));
        }
        Ok(Self(PlaceKeys { url: place.to_owned(), part_size: None, options: BucketOptions::default() }))
    }
}

/// The same error, with the key that was meant: among options that are flattened nobody says which there are.
fn suggesting<E: serde::de::Error>(error: E) -> E {
    let told = error.to_string();
    let unknown =
        told.split_once("unknown field `").and_then(|(_, rest)| rest.split_once('`')).map(|(key, _)| key);
    let Some(unknown) = unknown else { return error };
    let schema = SchemaGenerator::default().into_root_schema_for::<PlaceKeys>().to_value();
    let known: Vec<_> =
        schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    let hint = match closest(unknown, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("there are: {}", known.join(", ")),
    };
    E::custom(format!("unknown key `{unknown}`\nhint: {hint}"))
}

impl<'de> Deserialize<'de> for WrittenPlace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = WrittenPlace;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path, a URL, or a mapping with `url`")
            }
            fn visit_str<E: serde::de::Error>(self, place: &str) -> Result<WrittenPlace, E> {
                WrittenPlace::plain(place)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WrittenPlace, A::Error> {
                WrittenPlace::keys(map)
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl JsonSchema for Places {
    fn schema_name() -> Cow<'static, str> {
        "Places".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let place = generator.subschema_for::<WrittenPlace>();
        json_schema!({ "anyOf": [place, { "type": "array", "items": place, "minItems": 1 }] })
    }
}

impl JsonSchema for WrittenPlace {
    fn schema_name() -> Cow<'static, str> {
        "WrittenPlace".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let keys = generator.subschema_for::<PlaceKeys>();
        json_schema!({ "anyOf": [{ "type": "string", "minLength": 1 }, keys] })
    }
}

/// Where archives of a set are kept, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ArchiveSettings {
    /// The places, in the order in which they are asked; at least one.
    pub places: Vec<SetPlace>,
    /// How archives are named.
    pub name: Template,
    /// Which archives are kept; nothing if nothing is said.
    pub keep: Option<Keep>,
    /// To whom archives are encrypted, if they are.
    pub encryption: Option<Encryption>,
    /// Bytes per second that uploads take.
    pub bandwidth: Option<u64>,
    /// Bytes that an archive may have.
    pub max_size: Option<u64>,
    /// What was said of encryption, and where relative paths in it start.
    decryption: Option<(EncryptionOptions, BuildContext)>,
}

/// A place of a configuration.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SetPlace {
    /// What it is.
    pub place: Place,
    /// How it is got to, for other URLs of the same store.
    pub options: BucketOptions,
    /// Bytes of each part of an upload.
    pub part_size: Option<u64>,
}

impl SetPlace {
    /// A place that needs no options.
    pub fn new(place: Place) -> Self {
        Self { place, options: BucketOptions::default(), part_size: None }
    }
}

impl ArchiveSettings {
    /// Archives go to that file or folder.
    pub fn local(path: PathBuf) -> Self {
        Self {
            places: vec![SetPlace::new(local(path))],
            name: Template::default(),
            keep: None,
            encryption: None,
            bandwidth: None,
            max_size: None,
            decryption: None,
        }
    }

    /// What opens archives of the set that are encrypted. `variable` gives the value of a variable of the environment.
    ///
    /// # Errors
    /// If a passphrase is in a file that can't be read.
    pub fn identities(&self, variable: &dyn Fn(&str) -> Option<String>) -> Result<Identities> {
        match &self.decryption {
            Some((options, cx)) => options.identities(cx, variable),
            None => Ok(Identities::none()),
        }
    }
}

impl ArchiveConfig for ArchiveOptions {
    fn build(self, cx: &BuildContext) -> Result<Archive> {
        let mut places = Vec::new();
        for WrittenPlace(PlaceKeys { url, part_size, options }) in self.to.0 {
            let place = match Place::is_url(&url) {
                true => Place::from_url(&url, &options, &cx.path(Path::new("")))?,
                false => local(cx.path(Path::new(&url))),
            };
            if let Place::Object(object) = &place
                && object.version.is_some()
            {
                return Err(Error::config("archives can't go into a version that is there already"));
            }
            places.push(SetPlace { place, options, part_size: part_size.map(|Amount(bytes)| bytes) });
        }
        let paths = places.iter().filter_map(|place| place.place.local()).map(Path::to_owned).collect();
        let is_elsewhere = |place: &&SetPlace| place.place.local().is_none();
        let elsewhere = places.iter().filter(is_elsewhere).map(|place| place.place.identity()).collect();
        let settings = ArchiveSettings {
            places,
            name: self.name.unwrap_or_default(),
            keep: self.keep,
            encryption: self.encryption.as_ref().map(|options| options.encryption(cx)).transpose()?.flatten(),
            decryption: self.encryption.map(|options| (options, cx.clone())),
            bandwidth: self.bandwidth.map(|Rate(bytes)| bytes),
            max_size: self.max_size.map(|Amount(bytes)| bytes),
        };
        Ok(Archive::with_settings(settings, paths, elsewhere))
    }
}

/// A file if it is one, or is called like an archive; a folder otherwise.
pub(crate) fn local(path: PathBuf) -> Place {
    let ends_in_slash = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    let named = path.to_str().is_some_and(is_archive_name);
    match path {
        path if ends_in_slash || path.is_dir() => Place::Folder(path),
        path if path.is_file() || named => Place::File(path),
        path => Place::Folder(path),
    }
}
