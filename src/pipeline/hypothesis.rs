//! Sentences that labels are put into.

use crate::error::{Error, Result};

/// Python's `template.format(label)`, for templates with `{}` or `{0}`.
pub(super) fn formatted(template: &str, label: &str) -> Result<String> {
    let refuse = || {
        let reason = "should have one `{}` for the label; other braces are written `{{` and `}}`";
        Error::option("hypothesis_template", reason)
    };
    let mut text = String::with_capacity(template.len() + label.len());
    let mut rest = template;
    let mut unnumbered = 0;
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let literal = rest.strip_prefix("{{").map(|after| ('{', after));
        if let Some((brace, after)) =
            literal.or_else(|| rest.strip_prefix("}}").map(|after| ('}', after)))
        {
            text.push(brace);
            rest = after;
        } else if let Some(after) = rest.strip_prefix("{}") {
            unnumbered += 1;
            text.push_str(label);
            rest = after;
        } else if let Some(after) = rest.strip_prefix("{0}") {
            text.push_str(label);
            rest = after;
        } else {
            return Err(refuse());
        }
    }
    text.push_str(rest);
    if unnumbered > 1 { Err(refuse()) } else { Ok(text) }
}
