//! Reads JSON into types, with errors that say where, what was found and what is wanted.
//!
//! serde_json's own errors name neither the place in a value nor the field of an untagged enum, and
//! print texts whole.

use std::fmt;
use std::iter::Enumerate;
use std::slice;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, Visitor,
};
use serde_json::{Map, Value};

use crate::error::{did_you_mean, none_of, quoted};

/// What is wrong, and with what.
#[derive(Debug)]
pub(crate) struct Wrong {
    /// The field, option or item, `sentences[2]`; empty for the value itself.
    pub(crate) place: String,
    pub(crate) reason: String,
}

/// Reads a value. Names of enums may be in any case, as in Python's pipelines.
pub(crate) fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Wrong> {
    T::deserialize(Reader(value))
}

/// Reads the fields of an object.
pub(crate) fn read_fields<T: DeserializeOwned>(fields: &Map<String, Value>) -> Result<T, Wrong> {
    T::deserialize(Fields(fields))
}

/// Reads the value of a field by itself.
pub(crate) fn read_field<T: DeserializeOwned>(name: &str, value: &Value) -> Result<T, Wrong> {
    read(value).map_err(|wrong| wrong.within(name))
}

/// A value in a few words: `7`, `the text "…"`, `a list of 3`.
pub(crate) fn described(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => format!("the text {}", quoted(text)),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(fields) => {
            let names: Vec<_> = fields.keys().take(MOST_FIELDS).map(|name| quoted(name)).collect();
            format!("an object of {} fields ({})", fields.len(), names.join(", "))
        }
    }
}

#[derive(Clone, Copy)]
struct Reader<'a>(&'a Value);

#[derive(Clone, Copy)]
struct Fields<'a>(&'a Map<String, Value>);

/// The fields of an object, one after the other.
struct FieldAccess<'a> {
    rest: serde_json::map::Iter<'a>,
    next: Option<(&'a str, &'a Value)>,
}

impl<'de> MapAccess<'de> for FieldAccess<'_> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Wrong> {
        self.next = self.rest.next().map(|(name, value)| (name.as_str(), value));
        self.next.map(|(name, _)| seed.deserialize(name.into_deserializer())).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let (name, value) = self.next.unwrap_or(("", &Value::Null));
        seed.deserialize(Reader(value)).map_err(|wrong| wrong.within(name))
    }
}

/// The items of a list, one after the other.
struct ItemAccess<'a>(Enumerate<slice::Iter<'a, Value>>);

impl<'de> SeqAccess<'de> for ItemAccess<'_> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Wrong> {
        let Some((number, item)) = self.0.next() else { return Ok(None) };
        let read = seed.deserialize(Reader(item));
        read.map(Some).map_err(|wrong| wrong.within(&format!("[{number}]")))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_map(FieldAccess { rest: self.0.iter(), next: None })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(*flag),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), ..) => visitor.visit_u64(number),
                (None, Some(number), _) => visitor.visit_i64(number),
                (None, None, number) => visitor.visit_f64(number.unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_str(text),
            Value::Array(items) => visitor.visit_seq(ItemAccess(items.iter().enumerate())),
            Value::Object(fields) => Fields(fields).deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let Value::String(text) = self.0 else {
            let known = variants.join(", ");
            return Err(Wrong::new(format!("{} is none of {known}", described(self.0))));
        };
        let known = variants.iter().find(|name| name.eq_ignore_ascii_case(text));
        let name = known.ok_or_else(|| Wrong::new(none_of(text, variants)))?;
        visitor.visit_enum((*name).into_deserializer())
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl Wrong {
    fn new(reason: String) -> Self {
        Self { place: String::new(), reason }
    }

    fn within(self, outer: &str) -> Self {
        let dot = if self.place.is_empty() || self.place.starts_with('[') { "" } else { "." };
        Self { place: format!("{outer}{dot}{}", self.place), ..self }
    }

    fn found(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Bool(flag) => flag.to_string(),
            Unexpected::Unsigned(number) => number.to_string(),
            Unexpected::Signed(number) => number.to_string(),
            Unexpected::Float(number) => number.to_string(),
            Unexpected::Str(text) => format!("the text {}", quoted(text)),
            Unexpected::Unit | Unexpected::Option => "null".to_owned(),
            Unexpected::Seq => "a list".to_owned(),
            Unexpected::Map => "an object".to_owned(),
            other => other.to_string(),
        };
        let wanted = wanted.to_string();
        let wanted = match wanted.as_str() {
            "a boolean" => "true or false",
            "a map" => "an object",
            "a sequence" => "a list",
            "a string" => "a text",
            "f32" | "f64" => "a number",
            "u32" | "u64" | "usize" => "a whole number of at least 0",
            other => other.strip_prefix("struct ").map_or(other, |_| "an object"),
        };
        Self::new(format!("{found} where {wanted} is wanted"))
    }
}

impl serde::de::Error for Wrong {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self::new(reason.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::found(found, wanted)
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::found(found, wanted)
    }

    fn invalid_length(length: usize, wanted: &dyn Expected) -> Self {
        Self::new(format!("a list of {length} where {wanted} is wanted"))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        let place = if field.len() > LONGEST_NAME { quoted(field) } else { field.to_owned() };
        let meant = did_you_mean(field, known);
        Self { place, reason: format!("there is no such name here{meant}") }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { place: field.to_owned(), reason: "is missing".to_owned() }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.as_str() {
            "" => f.write_str(&self.reason),
            place => write!(f, "`{place}`: {}", self.reason),
        }
    }
}

impl std::error::Error for Wrong {}

/// How many fields of an object are named.
const MOST_FIELDS: usize = 5;
/// Longer names of fields are cut in messages.
const LONGEST_NAME: usize = 60;

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Example {
        top_k: Option<usize>,
        scores: Vec<f32>,
        names: Vec<String>,
        pair: Option<(usize, usize)>,
        strategy: Option<Strategy>,
        inner: Option<Box<Self>>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Strategy {
        First,
        Max,
    }

    #[test]
    fn values_are_read() {
        let value = json!({"top_k": 3, "scores": [1, 0.5], "pair": [1, 2], "strategy": "MAX", "inner": null});
        let read: Example = read(&value).unwrap();
        assert_eq!((read.top_k, read.scores, read.pair), (Some(3), vec![1.0, 0.5], Some((1, 2))));
        assert_eq!(read.strategy, Some(Strategy::Max));
        assert!(read.inner.is_none() && read.names.is_empty());
    }

    #[test]
    fn errors_say_where_what_and_what_is_wanted() {
        let long = "ä".repeat(1_000_000);
        for (value, expected) in [
            (
                json!({"top_k": "many"}),
                "`top_k`: the text \"many\" where a whole number of at least 0 is wanted",
            ),
            (json!({"top_k": -1}), "`top_k`: -1 where a whole number of at least 0 is wanted"),
            (json!({"names": ["a", 7]}), "`names[1]`: 7 where a text is wanted"),
            (json!({"names": {"a": 1}}), "`names`: an object where a list is wanted"),
            (
                json!({"inner": {"inner": {"names": [[]]}}}),
                "`inner.inner.names[0]`: a list where a text is wanted",
            ),
            (json!({"topk": 3}), "`topk`: there is no such name here; did you mean \"top_k\"?"),
            (json!({"inner": {"speed": 3}}), "`inner.speed`: there is no such name here"),
            (
                json!({"strategy": "maxx"}),
                "`strategy`: \"maxx\" is none of first, max; did you mean \"max\"?",
            ),
            (json!({"strategy": 1}), "`strategy`: 1 is none of first, max"),
            (json!({"pair": [1]}), "`pair`: a list of 1 where a tuple of size 2 is wanted"),
            (json!(7), "7 where an object is wanted"),
        ] {
            assert_eq!(read::<Example>(&value).unwrap_err().to_string(), expected, "{value}");
        }
        for value in
            [json!({"names": long}), json!({"strategy": long}), json!({(long.as_str()): 1})]
        {
            assert!(read::<Example>(&value).unwrap_err().to_string().len() < 300);
            assert!(described(&value).len() < 300);
        }
    }
}
