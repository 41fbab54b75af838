//! Names and texts of a caller in messages: quoted, bounded, and with the name that was meant.

/// The text in quotation marks, or its beginning where it is long.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MOST_QUOTED) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}… ({} bytes)", &text[..end], text.len()),
    }
}

/// `"maxx" is none of cls, max; did you mean "max"?`: what is wrong with a name, for an error.
pub(crate) fn none_of(name: &str, known: &[&str]) -> String {
    format!("{} is none of {}{}", quoted(name), known.join(", "), did_you_mean(name, known))
}

/// `; did you mean "max"?`, or nothing where no known name is near.
pub(crate) fn did_you_mean<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a (impl AsRef<str> + ?Sized + 'a)>,
) -> String {
    let nearest = nearest(name, known.into_iter().map(AsRef::as_ref));
    nearest.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}

/// The known name with the fewest slips between it and `name`, at most one for three letters; else the
/// shortest of which `name` is a part. Case and separators do not count.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = letters(Some(name).filter(|name| name.len() <= LONGEST_NAME)?);
    if name.is_empty() {
        return None;
    }
    let slips = (name.len() / 3).max(1);
    let rank = |known: &str| {
        let known = letters(known);
        let apart = distance(&name, &known);
        let is_part = name.len() > 3 && known.windows(name.len()).any(|part| part == name);
        match apart <= slips {
            true => Some((0, apart)),
            false => is_part.then_some((1, known.len())),
        }
    };
    known
        .filter_map(|known| Some((rank(known)?, known)))
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, known)| known)
}

/// The letters and digits of a name, in lower case.
fn letters(name: &str) -> Vec<char> {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// How many letters are to be put in, left out, changed or swapped with their neighbour to get from one
/// name to the other (optimal string alignment); as many as there are where lengths alone tell them
/// apart.
fn distance(one: &[char], other: &[char]) -> usize {
    if one.len().abs_diff(other.len()) > one.len() {
        return one.len().max(other.len());
    }
    let (mut before, mut last) = (Vec::new(), (0..=other.len()).collect::<Vec<_>>());
    for (i, letter) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, found) in other.iter().enumerate() {
            let mut least =
                (last[j] + usize::from(letter != found)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && letter == &other[j - 1] && found == &one[i - 1] {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[other.len()]
}

/// The most characters of a text in a message.
const MOST_QUOTED: usize = 60;
/// A name of more bytes is no slip of a known one.
const LONGEST_NAME: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_have_their_names() {
        let known = ["text-classification", "text-generation", "question-answering", "top_k"];
        for (name, meant) in [
            ("text-generaton", Some("text-generation")),
            ("Text_Generation", Some("text-generation")),
            ("question-anwsering", Some("question-answering")),
            ("answering", Some("question-answering")),
            ("topk", Some("top_k")),
            ("tpo_k", Some("top_k")),
            ("summarization", None),
            ("", None),
            ("🕯", None),
        ] {
            assert_eq!(nearest(name, known.into_iter()), meant, "{name}");
        }
        assert_eq!(nearest("f12", ["f32", "f16", "bf16"].into_iter()), Some("f32"));
        assert_eq!(nearest(&"top_k".repeat(1000), known.into_iter()), None);
    }

    #[test]
    fn messages_are_bounded() {
        assert_eq!(
            none_of("maxx", &["cls", "max"]),
            "\"maxx\" is none of cls, max; did you mean \"max\"?"
        );
        assert_eq!(did_you_mean("nothing", &["cls", "max"]), "");
        let long = quoted(&"ä".repeat(1_000_000));
        assert!(long.len() < 200 && long.ends_with("… (2000000 bytes)"), "{long}");
    }
}
