//! Lists of objects, bounded in what they keep: both ends of a list that is too long, as Sentry does with frames.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::{Fields, Key, Lenient, Read, Value, cut, fill, skip_list};
use crate::model::Text;

/// How much of a list of such objects is kept.
pub(crate) trait Weigh {
    /// The weight that a list may have.
    const MAX: usize;

    /// Returns what this object adds to the weight of its list, which follows the memory it takes.
    fn weight(&self) -> usize {
        1
    }
}

/// `[…]`, `{"values": […]}` or one object without its list; nulls and other types in the list are dropped.
impl<'de, T: Fields<'de> + Weigh> Lenient<'de> for Vec<T> {
    fn nothing() -> Self {
        Self::new()
    }

    fn of_list<A: SeqAccess<'de>>(list: A) -> Result<Self, A::Error> {
        List::of_list(list).map(|List(kept)| kept)
    }

    fn of_object<A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        let mut values = None;
        let mut single = T::default();
        while let Some(Key(name)) = object.next_key()? {
            match name.as_ref() {
                "values" => values = Some(Value(&mut object).read()?),
                name => single.read(name, Value(&mut object))?,
            }
        }
        single.complete();
        Ok(match values {
            Some(List(values)) => values,
            None if single.is_nothing() => Self::new(),
            None => vec![single],
        })
    }
}

/// `[…]` alone.
struct List<T>(Vec<T>);

impl<'de, T: Fields<'de> + Weigh> Lenient<'de> for List<T> {
    fn nothing() -> Self {
        Self(Vec::new())
    }

    fn of_list<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let mut kept = Ends::default();
        while list.next_element_seed(Next(&mut kept))?.is_some() {}
        Ok(Self(kept.into_vec()))
    }
}

/// Reads the next element of a list to where it is kept: a frame is large, and moving it from hand to hand takes as long as
/// reading some of its fields.
struct Next<'k, T>(&'k mut Ends<T>);

impl<'de, T: Fields<'de> + Weigh> DeserializeSeed<'de> for Next<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Fields<'de> + Weigh> Visitor<'de> for Next<'_, T> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        if let Some(element) = T::of_text(Cow::Borrowed(cut(text))) {
            self.0.push(element);
        }
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if let Some(element) = T::of_text(Cow::Owned(cut(text).to_owned())) {
            self.0.push(element);
        }
        Ok(())
    }

    /// MessagePack alone has these.
    fn visit_bytes<E>(self, _: &[u8]) -> Result<(), E> {
        Ok(())
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<(), D::Error> {
        IgnoredAny::deserialize(inner).map(|_| ())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        skip_list(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<(), A::Error> {
        let mut fields = T::default();
        if fill(&mut fields, object)? {
            self.0.push(fields);
        }
        Ok(())
    }
}

/// A list of texts; nulls, lists and objects in it are dropped. At most 100 are kept.
impl<'de> Lenient<'de> for Vec<Text<'de>> {
    fn nothing() -> Self {
        Self::new()
    }

    fn of_list<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let mut kept = Self::new();
        while let Some(Read(element)) = list.next_element::<Read<Option<Text<'de>>>>()? {
            if let Some(text) = element.filter(|_| kept.len() < MAX_TEXTS) {
                kept.push(text);
            }
        }
        Ok(kept)
    }
}

/// A map of texts, or a list of pairs: tags. Entries without name or value are dropped. At most 200 are kept.
impl<'de> Lenient<'de> for Vec<(Text<'de>, Text<'de>)> {
    fn nothing() -> Self {
        Self::new()
    }

    fn of_list<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let mut kept = Self::new();
        while let Some(Read(Pair(pair))) = list.next_element::<Read<Pair<'de>>>()? {
            if let Some(pair) = pair.filter(|_| kept.len() < MAX_PAIRS) {
                kept.push(pair);
            }
        }
        Ok(kept)
    }

    fn of_object<A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        let mut kept = Self::new();
        while let Some(Key(name)) = object.next_key()? {
            let value = Value(&mut object).read::<Option<Text<'de>>>()?;
            if let Some(value) = value.filter(|_| kept.len() < MAX_PAIRS && !name.is_empty()) {
                kept.push((name, value));
            }
        }
        Ok(kept)
    }
}

/// `["name", "value"]`.
struct Pair<'de>(Option<(Text<'de>, Text<'de>)>);

impl<'de> Lenient<'de> for Pair<'de> {
    fn nothing() -> Self {
        Self(None)
    }

    fn of_list<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let mut next = || list.next_element::<Read<Option<Text<'de>>>>();
        let (name, value) = (next()?, next()?);
        while next()?.is_some() {}
        Ok(Self(match (name, value) {
            (Some(Read(Some(name))), Some(Read(Some(value)))) => Some((name, value)),
            _ => None,
        }))
    }
}

/// The first and the last elements of a list, each up to half of [`Weigh::MAX`].
struct Ends<T> {
    head: Vec<T>,
    head_weight: usize,
    tail: VecDeque<T>,
    tail_weight: usize,
}

impl<T> Default for Ends<T> {
    fn default() -> Self {
        Self {
            head: Vec::new(),
            head_weight: 0,
            tail: VecDeque::new(),
            tail_weight: 0,
        }
    }
}

impl<T: Weigh> Ends<T> {
    fn push(&mut self, element: T) {
        let weight = element.weight();
        if self.tail.is_empty() && self.head_weight + weight <= T::MAX / 2 {
            self.head_weight += weight;
            self.head.push(element);
            return;
        }
        self.tail_weight += weight;
        self.tail.push_back(element);
        while self.tail_weight > T::MAX / 2 && self.tail.len() > 1 {
            let dropped = self.tail.pop_front().map_or(0, |element| element.weight());
            self.tail_weight -= dropped;
        }
    }

    fn into_vec(self) -> Vec<T> {
        let mut kept = self.head;
        kept.extend(self.tail);
        kept
    }
}

const MAX_TEXTS: usize = 100;

/// Sentry's own limit of tags.
const MAX_PAIRS: usize = 200;
