//! Unicode's normal forms, for what is compared as text.

use tokenizers::NormalizedString;

/// Compatibility characters and accents taken apart: NFKD.
pub(crate) fn decomposed(text: &str) -> String {
    normal(text, |text| {
        text.nfkd();
    })
}

/// Compatibility characters taken apart, and accents put together: NFKC.
pub(crate) fn composed(text: &str) -> String {
    normal(text, |text| {
        text.nfkc();
    })
}

fn normal(text: &str, form: impl Fn(&mut NormalizedString)) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let mut text = NormalizedString::from(text);
    form(&mut text);
    text.get().to_owned()
}
