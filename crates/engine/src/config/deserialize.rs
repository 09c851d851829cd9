//! From the tree to typed options. Mistakes come back with the place they were made in.

use std::cell::Cell;

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::mistake::{Boxed, Mistake};
use super::value::{Kind, Mapping, Scalar, Typed, Value};

type Result<T, E = Boxed> = std::result::Result<T, E>;

/// What was read, and whether its reader told which keys it knows.
pub(crate) struct Read<T> {
    pub(crate) value: T,
    /// It took the keys as they come, as a flattened struct does: keys nobody knows may have got lost.
    pub(crate) keys_unchecked: bool,
}

/// Reads `value` as a `T`.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(value: &Value) -> std::result::Result<T, Box<Mistake>> {
    read_noting(value).map(|read| read.value)
}

/// The same, and notes whether its keys were checked.
pub(crate) fn read_noting<T: for<'de> Deserialize<'de>>(
    value: &Value,
) -> std::result::Result<Read<T>, Box<Mistake>> {
    let keys_unchecked = Cell::new(false);
    let reader = Reader { value, keys_unchecked: Some(&keys_unchecked) };
    let read = T::deserialize(reader).map_err(|Boxed(mistake)| mistake.or_at(value.span))?;
    Ok(Read { value: read, keys_unchecked: keys_unchecked.get() })
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    value: &'a Value,
    keys_unchecked: Option<&'a Cell<bool>>,
}

impl<'a> Reader<'a> {
    fn below(value: &'a Value) -> Self {
        Self { value, keys_unchecked: None }
    }

    fn mapping<'de, V: Visitor<'de>>(self, visitor: V, known: &'static [&'static str]) -> Result<V::Value> {
        match &self.value.kind {
            Kind::Mapping(mapping) => visit_mapping(mapping, visitor, known),
            Kind::Scalar(scalar) if scalar.is_null() => visit_mapping(&[], visitor, known),
            _ => Err(Boxed::invalid_type(self.unexpected(), &visitor)),
        }
    }

    fn unexpected(&self) -> Unexpected<'a> {
        match &self.value.kind {
            Kind::List(_) => Unexpected::Seq,
            Kind::Mapping(_) => Unexpected::Map,
            Kind::Scalar(scalar) => match scalar.typed() {
                Typed::Null => Unexpected::Unit,
                // As written: `0x10` was not written as 16.
                _ => Unexpected::Str(&scalar.text),
            },
        }
    }
}

fn visit_mapping<'de, V: Visitor<'de>>(
    mapping: &[(super::value::Key, Value)],
    visitor: V,
    known: &'static [&'static str],
) -> Result<V::Value> {
    let mut entries = Entries { rest: mapping.iter(), value: None, known };
    let value = visitor.visit_map(&mut entries)?;
    match entries.rest.next() {
        None => Ok(value),
        Some((key, _)) => Err(Boxed(Mistake::unknown(key.span, &key.text, known.iter().copied()))),
    }
}

fn visit_list<'de, V: Visitor<'de>>(list: &[Value], visitor: V) -> Result<V::Value> {
    let mut items = Items { rest: list.iter(), at: 0 };
    let value = visitor.visit_seq(&mut items)?;
    match items.rest.next() {
        None => Ok(value),
        Some(item) => Err(Boxed(Mistake::at(item.span, "there are more items here than there should be"))),
    }
}

fn visit_scalar<'de, V: Visitor<'de>>(scalar: &Scalar, visitor: V) -> Result<V::Value> {
    match scalar.typed() {
        Typed::Null => visitor.visit_unit(),
        Typed::Bool(value) => visitor.visit_bool(value),
        Typed::Unsigned(value) => visitor.visit_u64(value),
        Typed::Signed(value) => visitor.visit_i64(value),
        Typed::Float(value) => visitor.visit_f64(value),
        Typed::Text(text) => visitor.visit_str(text),
    }
}

/// A text may be written without quotes whatever it looks like: `NO`, `0123`, `1.10` stay as they are written.
fn visit_text<'de, V: Visitor<'de>>(reader: &Reader<'_>, visitor: V) -> Result<V::Value> {
    match reader.value.scalar() {
        Some(scalar) if scalar.template.is_some() || !scalar.is_null() => visitor.visit_str(&scalar.text),
        _ => Err(Boxed::invalid_type(reader.unexpected(), &visitor)),
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Boxed;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match &self.value.kind {
            Kind::Scalar(scalar) => visit_scalar(scalar, visitor),
            Kind::List(list) => visit_list(list, visitor),
            Kind::Mapping(mapping) => visit_mapping(mapping, visitor, &[]),
        }
        .map_err(|Boxed(mistake)| Boxed(mistake.or_at(self.value.span)))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visit_text(&self, visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visit_text(&self, visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visit_text(&self, visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visit_text(&self, visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visit_text(&self, visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visit_text(&self, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if let Some(unchecked) = self.keys_unchecked {
            unchecked.set(true);
        }
        self.mapping(visitor, &[])
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.mapping(visitor, fields)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match &self.value.kind {
            Kind::Scalar(scalar) if !scalar.is_null() => {
                visitor.visit_enum(scalar.text.as_str().into_deserializer())
            }
            Kind::Mapping(mapping) => match mapping.as_slice() {
                [(key, value)] => visitor.visit_enum(Variant { key: &key.text, value }),
                _ => Err(Boxed::invalid_type(Unexpected::Map, &"one key that says which")),
            },
            _ => Err(Boxed::invalid_type(self.unexpected(), &visitor)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value> {
        Err(Boxed::unwanted())
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 unit unit_struct seq tuple tuple_struct
    }
}

struct Entries<'a> {
    rest: std::slice::Iter<'a, <Mapping as IntoIterator>::Item>,
    value: Option<&'a <Mapping as IntoIterator>::Item>,
    known: &'static [&'static str],
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Boxed;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let Some(entry) = self.rest.next() else { return Ok(None) };
        self.value = Some(entry);
        let key: StrDeserializer<'_, Boxed> = entry.0.text.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|Boxed(mistake)| Boxed(mistake.or_at(entry.0.span)))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        let Some((key, value)) = self.value.take() else {
            return Err(Boxed::custom("a value was read before its key"));
        };
        seed.deserialize(Reader::below(value)).map_err(|Boxed(mistake)| {
            let mistake = mistake.if_unwanted(key.span, &key.text, self.known);
            Boxed(match mistake.unknown_key() {
                Some((unknown, _)) if mistake.span == Some(key.span) && unknown == key.text => mistake,
                _ => mistake.or_at(value.span).under(key.text.as_str()),
            })
        })
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

struct Items<'a> {
    rest: std::slice::Iter<'a, Value>,
    at: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Boxed;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some(item) = self.rest.next() else { return Ok(None) };
        self.at += 1;
        seed.deserialize(Reader::below(item))
            .map(Some)
            .map_err(|Boxed(mistake)| Boxed(mistake.or_at(item.span).under(format!("[{}]", self.at))))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// An enum's variant with something in it.
struct Variant<'a> {
    key: &'a str,
    value: &'a Value,
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Boxed;
    type Variant = Reader<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Reader<'a>)> {
        let key: StrDeserializer<'_, Boxed> = self.key.into_deserializer();
        Ok((seed.deserialize(key)?, Reader::below(self.value)))
    }
}

impl<'de> VariantAccess<'de> for Reader<'_> {
    type Error = Boxed;

    fn unit_variant(self) -> Result<()> {
        if self.value.is_null() { Ok(()) } else { Err(Boxed::invalid_type(self.unexpected(), &"nothing")) }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(self).map_err(|Boxed(mistake)| Boxed(mistake.or_at(self.value.span)))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.mapping(visitor, fields)
    }
}
