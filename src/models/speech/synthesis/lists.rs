//! Lists of sizes in configs, and of what is heard in each frame.

use serde_json::Value;

use crate::error::Result;
use crate::models::raw_config::RawConfig;

/// A list of sizes, or the default of the reference where there is none.
pub(super) fn sizes(raw: &RawConfig, field: &str, default: &[usize]) -> Result<Vec<usize>> {
    match raw.clone().into_fields().get(field) {
        None | Some(Value::Null) => Ok(default.to_vec()),
        Some(value) => list(value).ok_or_else(|| {
            raw.refuse(field, "it should be a list of some whole numbers from 1 on")
        }),
    }
}

/// As [`sizes`], a list of lists.
pub(super) fn nested_sizes(
    raw: &RawConfig,
    field: &str,
    default: &[&[usize]],
) -> Result<Vec<Vec<usize>>> {
    let lists = |value: &Value| -> Option<Vec<Vec<usize>>> {
        let lists = value.as_array().filter(|lists| (1..=MOST).contains(&lists.len()))?;
        lists.iter().map(list).collect()
    };
    match raw.clone().into_fields().get(field) {
        None | Some(Value::Null) => Ok(default.iter().map(|list| list.to_vec()).collect()),
        Some(value) => lists(value).ok_or_else(|| {
            raw.refuse(field, "it should be a list of lists of some whole numbers from 1 on")
        }),
    }
}

/// The number of the id of each frame, of how many frames each id has.
pub(super) fn of_frames(durations: &[usize]) -> Vec<u32> {
    let ids = (0_u32..).zip(durations);
    ids.flat_map(|(id, &frames)| std::iter::repeat_n(id, frames)).collect()
}

fn list(value: &Value) -> Option<Vec<usize>> {
    let values = value.as_array().filter(|values| (1..=MOST).contains(&values.len()))?;
    let size = |value: &Value| value.as_u64().filter(|size| (1..=LARGEST).contains(size));
    values.iter().map(|value| size(value).map(|size| size as usize)).collect()
}

/// The most entries of a list.
const MOST: usize = 64;
/// The largest size.
const LARGEST: u64 = 1 << 20;
