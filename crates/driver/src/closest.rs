//! What was probably meant by a name that was mistyped.

/// From here on a name is like another, of at most 1.
const LIKE: f64 = 0.8;

/// Longer than any name that is worth a suggestion: comparing takes time by the product of both lengths.
const LONGEST_BYTES: usize = 256;

/// The name that is most like the one that was typed, if one is like it at all: for a hint.
///
/// Letter case does not count. A name with dots is also known by what follows one of them: `order` is like
/// `public.orders`. Of names that are alike as much it is the first.
pub fn closest<N: AsRef<str>>(typed: &str, names: impl IntoIterator<Item = N>) -> Option<N> {
    if typed.len() > LONGEST_BYTES {
        return None;
    }
    let typed = typed.to_lowercase();
    let mut best = None;
    let mut most = LIKE;
    for name in names {
        let likeness = likeness(&typed, name.as_ref());
        if likeness > most {
            most = likeness;
            best = Some(name);
        }
    }
    best
}

fn likeness(typed: &str, name: &str) -> f64 {
    if name.len() > LONGEST_BYTES {
        return 0.0;
    }
    let name = name.to_lowercase();
    let ends = name.match_indices('.').map(|(dot, _)| &name[dot + 1..]);
    ends.map(|end| strsim::jaro_winkler(typed, end)).fold(strsim::jaro_winkler(typed, &name), f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_is_recognised_by_whatever_it_is_known() {
        let names = ["customers", "public.orders", "Pictures", "shop.main.files"];
        assert_eq!(closest("custmers", names), Some("customers"));
        assert_eq!(closest("order", names), Some("public.orders"));
        assert_eq!(closest("public.odrers", names), Some("public.orders"));
        assert_eq!(closest("PICTURE", names), Some("Pictures"));
        assert_eq!(closest("flies", names), Some("shop.main.files"));
    }

    #[test]
    fn what_is_like_nothing_gets_no_suggestion() {
        assert_eq!(closest("zebra", ["customers", "orders"]), None);
        assert_eq!(closest("orders", Vec::<String>::new()), None);
        assert_eq!(closest(&"a".repeat(300), ["a".repeat(299)]), None);
        assert_eq!(closest("a", ["a".repeat(300)]), None);
    }

    #[test]
    fn of_names_that_are_alike_as_much_the_first_is_taken() {
        assert_eq!(closest("orders_x", ["orders_a", "orders_b"]), Some("orders_a"));
    }
}
