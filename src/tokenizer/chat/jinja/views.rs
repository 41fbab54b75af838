//! What Python and Jinja have beside lists and dicts: ranges, the views of dicts, cyclers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::value::{Enumerator, Object, ObjectRepr, Rest};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::value::list;
use super::{Outcome, bytes, fail, text};

pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_function("range", |first: i64, stop: Option<i64>, step: Option<i64>| {
        let (start, stop) = stop.map_or((0, first), |stop| (first, stop));
        Range::new(start, stop, step.unwrap_or(1)).map(Value::from_object)
    });
    environment.add_function("cycler", |items: Rest<Value>| match items.is_empty() {
        true => Err(fail("at least one item has to be provided")),
        false => Ok(Value::from_object(Cycler { items: items.0, place: AtomicUsize::new(0) })),
    });
}

/// Whether the value is a range, bytes or a view: it can be gone through, but is no list.
pub(super) fn is_view(value: &Value) -> bool {
    is_range(value) || bytes::of(value).is_some() || shown(value).is_some()
}

pub(super) fn is_range(value: &Value) -> bool {
    range(value).is_some()
}

/// The range that a value is.
pub(super) fn range(value: &Value) -> Option<&Range> {
    value.downcast_object_ref::<Range>()
}

/// The list that a view shows.
pub(super) fn shown(value: &Value) -> Option<&Value> {
    value.downcast_object_ref::<View>().map(|view| &view.list)
}

/// What `dict.keys`, `dict.values` and `dict.items` return, under Python's name for it.
pub(super) fn view(name: &'static str, items: Vec<Value>) -> Outcome<Value> {
    Ok(Value::from_object(View { name, list: list(items)? }))
}

/// Numbers from `start` on in steps of `step`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    start: i64,
    step: i64,
    length: usize,
    stop: i64,
}

impl Range {
    fn new(start: i64, stop: i64, step: i64) -> Outcome<Self> {
        let distance = match step {
            0 => return Err(fail("range() arg 3 must not be zero")),
            1.. => i128::from(stop) - i128::from(start),
            _ => i128::from(start) - i128::from(stop),
        };
        let step_size = i128::from(step.unsigned_abs());
        let length = (distance.max(0) + step_size - 1) / step_size;
        match usize::try_from(length) {
            Ok(length) if length <= MAX_RANGE => Ok(Self { start, step, length, stop }),
            _ => Err(fail(format!("Range too big: ranges have at most {MAX_RANGE} numbers"))),
        }
    }

    fn at(&self, index: usize) -> i64 {
        self.start + self.step * index as i64
    }

    /// The numbers from one index on to another, in steps.
    pub(super) fn part(&self, first: i64, stop: i64, step: i64) -> Outcome<Value> {
        let place = |index: i64| self.step.checked_mul(index)?.checked_add(self.start);
        let part = (place(first), place(stop), self.step.checked_mul(step));
        let (Some(first), Some(stop), Some(step)) = part else {
            return Err(fail("the numbers of the range are too large"));
        };
        Self::new(first, stop, step).map(Value::from_object)
    }
}

impl Object for Range {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str() {
            Some("start") => Some(Value::from(self.start)),
            Some("stop") => Some(Value::from(self.stop)),
            Some("step") => Some(Value::from(self.step)),
            Some(_) => None,
            None => {
                let index = key.as_usize().filter(|index| *index < self.length)?;
                Some(Value::from(self.at(index)))
            }
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.length)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "range({}, {}", self.start, self.stop)?;
        if self.step != 1 {
            write!(f, ", {}", self.step)?;
        }
        f.write_str(")")
    }
}

#[derive(Debug)]
struct View {
    name: &'static str,
    list: Value,
}

impl Object for View {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    /// A view has no items by number, nor attributes.
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::UNDEFINED)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.list.try_iter() {
            Ok(items) => Enumerator::Values(items.collect()),
            Err(_) => Enumerator::Empty,
        }
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        self.list.len()
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.list.is_true()
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name, text::repr(&self.list).map_err(|_| fmt::Error)?)
    }
}

/// Goes through its items again and again.
#[derive(Debug)]
struct Cycler {
    items: Vec<Value>,
    place: AtomicUsize,
}

impl Object for Cycler {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "current" => self.items.get(self.place.load(Ordering::Relaxed)).cloned(),
            "pos" => Some(Value::from(self.place.load(Ordering::Relaxed))),
            _ => None,
        }
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        _: &[Value],
    ) -> Outcome<Value> {
        let place = self.place.load(Ordering::Relaxed);
        match method {
            "next" => {
                self.place.store((place + 1) % self.items.len(), Ordering::Relaxed);
                Ok(self.items.get(place).cloned().unwrap_or_default())
            }
            "reset" => {
                self.place.store(0, Ordering::Relaxed);
                Ok(Value::from(()))
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}

/// `jinja2.sandbox.MAX_RANGE`.
const MAX_RANGE: usize = 100_000;
