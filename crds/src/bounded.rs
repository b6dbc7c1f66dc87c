//! Lists with a maximum length, far above what a pod could use: an item may need a thousand times the memory of its
//! text.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Reads a list of at most `MAX` items. The error says how many items were read, one more than allowed.
pub(crate) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>, const MAX: usize>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_seq(Bounded::<T, MAX>(PhantomData))
}

struct Bounded<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Bounded<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a list of at most {MAX} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            if list.len() == MAX {
                return Err(A::Error::invalid_length(MAX + 1, &self));
            }
            list.push(item);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::Deserializer;

    #[test]
    fn a_list_ends_at_its_bound() {
        let read =
            |text: &str| super::list::<_, u8, 2>(&mut Deserializer::from_str(text)).map_err(|why| why.to_string());
        assert_eq!(read("[]").unwrap(), [0; 0]);
        assert_eq!(read("[1, 2]").unwrap(), [1, 2]);
        assert!(read("[1, 2, 3, 4]").unwrap_err().starts_with("invalid length 3, expected a list of at most 2 items"));
        assert!(read("{}").unwrap_err().contains("expected a list of at most 2 items"));
    }
}
