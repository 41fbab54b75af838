//! The pickle of a PyTorch checkpoint, read without running it.
//!
//! A pickle is a program for a small stack machine. This one knows the instructions that
//! `torch.save` writes and, of all Python classes, those that make up tensors; any other object is
//! carried along as [`Value::Other`]. Values are copied, never expanded: tuples, lists and dicts are
//! numbers into tables, so neither sharing nor nesting nor cycles cost more than the file's length.
//!
//! Instructions: <https://github.com/python/cpython/blob/3.13/Lib/pickletools.py>. Objects: `_utils.py`
//! and `serialization.py` in PyTorch 2.9.

use std::collections::{HashMap, HashSet};

/// A tensor of a state dict: a strided view of a storage.
#[derive(Debug, Clone)]
pub(crate) struct PickledTensor<'a> {
    pub(crate) storage: Storage<'a>,
    /// In elements.
    pub(crate) offset: usize,
    pub(crate) shape: Vec<usize>,
    /// In elements, from one index to the next in each dimension.
    #[cfg_attr(
        not(feature = "audio"),
        expect(dead_code, reason = "files of Whisper alone need it")
    )]
    pub(crate) strides: Vec<usize>,
    /// Whether its elements lie one after the other in the order of its shape.
    pub(crate) contiguous: bool,
}

/// Elements that one or more tensors are views of.
#[derive(Debug, Clone)]
pub(crate) struct Storage<'a> {
    pub(crate) key: &'a str,
    /// The class of the storage in `torch`, such as `FloatStorage`.
    pub(crate) class: &'a str,
}

/// What one pickle leaves behind.
#[derive(Debug)]
pub(crate) struct Unpickled<'a> {
    machine: Machine<'a>,
    value: Value<'a>,
}

/// Reasons are completed with the file's name by the caller.
pub(crate) type Parsed<T> = std::result::Result<T, String>;

/// Reads the pickle at the beginning of `bytes`, and returns where it ends.
pub(crate) fn unpickle(bytes: &[u8]) -> Parsed<(Unpickled<'_>, usize)> {
    let mut machine = Machine { bytes, ..Machine::default() };
    while machine.step()? {}
    let value = machine.pop()?;
    let end = machine.position;
    Ok((Unpickled { machine, value }, end))
}

impl<'a> Unpickled<'a> {
    /// The tensors of a dict by their names, and those of dicts and of objects in it, as TorchScript has them,
    /// with the name of the dict and a dot before; other values are left out. A tensor alone has no name.
    pub(crate) fn tensors(&self) -> Parsed<Vec<(String, PickledTensor<'a>)>> {
        self.tensors_of(self.value)
    }

    /// The tensors of a dict in the dict.
    #[cfg(feature = "audio")]
    pub(crate) fn tensors_in(&self, name: &str) -> Parsed<Vec<(String, PickledTensor<'a>)>> {
        let inner = self.field(self.value, name).ok_or_else(|| format!("holds no {name:?}"))?;
        self.tensors_of(inner)
    }

    /// A whole number of a dict in the dict.
    #[cfg(feature = "audio")]
    pub(crate) fn size_in(&self, dict: &str, name: &str) -> Option<usize> {
        self.field(self.field(self.value, dict)?, name)?.size().ok()
    }

    #[cfg(feature = "audio")]
    fn field(&self, dict: Value<'a>, name: &str) -> Option<Value<'a>> {
        let Value::Dict(number) = dict else { return None };
        let is_named = |key: Value<'a>| matches!(key, Value::Text(text) if text == name);
        self.machine.dicts[number].iter().find(|(key, _)| is_named(*key)).map(|(_, value)| *value)
    }

    fn tensors_of(&self, value: Value<'a>) -> Parsed<Vec<(String, PickledTensor<'a>)>> {
        let not_tensors = || "holds something other than a dict of tensors".to_owned();
        let top = match value {
            Value::Dict(top) => top,
            Value::Tensor(number) => {
                return Ok(vec![(String::new(), self.machine.tensors[number].clone())]);
            }
            _ => return Err(not_tensors()),
        };
        let (mut tensors, mut seen) = (Vec::new(), HashSet::from([top]));
        let mut rest = vec![(String::new(), top)];
        while let Some((prefix, number)) = rest.pop() {
            for &(key, value) in &self.machine.dicts[number] {
                let Value::Text(name) = key else { continue };
                match value {
                    Value::Tensor(number) => {
                        let tensor = self.machine.tensors[number].clone();
                        tensors.push((format!("{prefix}{name}"), tensor));
                    }
                    // Each once, since they may be shared and may hold each other.
                    Value::Dict(inner) if seen.insert(inner) => {
                        let prefix = format!("{prefix}{name}.");
                        if prefix.len() > LONGEST_PREFIX {
                            return Err(NESTED.to_owned());
                        }
                        rest.push((prefix, inner));
                    }
                    _ => {}
                }
            }
        }
        match tensors.is_empty() && self.machine.objects.contains(&top) {
            true => Err(not_tensors()),
            false => Ok(tensors),
        }
    }

    /// The storages in the order they were met.
    pub(crate) fn storages(&self) -> &[Storage<'a>] {
        &self.machine.storages
    }

    /// The texts of a list.
    pub(crate) fn texts(&self) -> Parsed<Vec<&'a str>> {
        let items = self.machine.items(self.value)?;
        items.iter().map(|item| item.text()).collect()
    }
}

#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Class(&'a str, &'a str),
    Dict(usize),
    Int(i64),
    Other,
    /// A list or a tuple.
    Sequence(usize),
    Storage(usize),
    Tensor(usize),
    Text(&'a str),
}

impl<'a> Value<'a> {
    fn text(self) -> Parsed<&'a str> {
        match self {
            Self::Text(text) => Ok(text),
            other => Err(format!("has {other:?} where a text belongs")),
        }
    }

    fn size(self) -> Parsed<usize> {
        match self {
            Self::Int(value) => usize::try_from(value).map_err(|error| error.to_string()),
            other => Err(format!("has {other:?} where a size belongs")),
        }
    }
}

#[derive(Debug, Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    position: usize,
    stack: Vec<Value<'a>>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    sequences: Vec<Vec<Value<'a>>>,
    dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    /// The dicts that are attributes of objects.
    objects: HashSet<usize>,
    storages: Vec<Storage<'a>>,
    tensors: Vec<PickledTensor<'a>>,
}

impl<'a> Machine<'a> {
    /// Carries out one instruction; `false` after the last.
    fn step(&mut self) -> Parsed<bool> {
        let [code] = self.array()?;
        match code {
            b'.' => return Ok(false),
            // Protocol and frame.
            0x80 => self.skip(1)?,
            0x95 => self.skip(8)?,
            b'(' if self.marks.len() == DEEPEST => return Err(NESTED.to_owned()),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => _ = self.pop()?,
            b'1' => _ = self.pop_mark()?,
            // None, booleans, floats, bytes: nothing a tensor is made of.
            b'N' | 0x88 | 0x89 => self.stack.push(Value::Other),
            b'G' => self.push_other(8)?,
            b'C' => {
                let [length] = self.array()?;
                self.push_other(length.into())?;
            }
            b'B' => {
                let length = self.u32()?;
                self.push_other(length as usize)?;
            }
            b'K' => {
                let [value] = self.array()?;
                self.stack.push(Value::Int(value.into()));
            }
            b'M' => {
                let value = u16::from_le_bytes(self.array()?);
                self.stack.push(Value::Int(value.into()));
            }
            b'J' => {
                let value = i32::from_le_bytes(self.array()?);
                self.stack.push(Value::Int(value.into()));
            }
            0x8a => self.long()?,
            b'U' | 0x8c => {
                let [length] = self.array()?;
                self.push_text(length.into())?;
            }
            b'T' | b'X' => {
                let length = self.u32()?;
                self.push_text(length as usize)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.stack.push(Value::Class(module, name));
            }
            0x93 => {
                let (name, module) = (self.pop()?.text()?, self.pop()?.text()?);
                self.stack.push(Value::Class(module, name));
            }
            b')' | b']' => self.push_sequence(Vec::new()),
            b't' | b'l' => {
                let items = self.pop_mark()?;
                self.push_sequence(items);
            }
            0x85..=0x87 => {
                let length = usize::from(code - 0x84);
                let start = self.stack.len().checked_sub(length).ok_or(UNDERFLOW)?;
                let items = self.stack.split_off(start);
                self.push_sequence(items);
            }
            b'a' => {
                let item = self.pop()?;
                self.extend_list(&[item])?;
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.extend_list(&items)?;
            }
            b'}' => self.push_dict(),
            b'd' => {
                let items = self.pop_mark()?;
                self.push_dict();
                self.extend_dict(&items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.extend_dict(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.extend_dict(&items)?;
            }
            // Calls a class, with `__new__` or without; then sets attributes, which are read where the class
            // is unknown: an object is then the dict of them.
            b'R' | 0x81 => {
                let (arguments, class) = (self.pop()?, self.pop()?);
                let made = self.call(class, arguments)?;
                self.stack.push(made);
            }
            b'b' => {
                let state = self.pop()?;
                if let (Value::Dict(number), Some(object @ Value::Other)) =
                    (state, self.stack.last_mut())
                {
                    *object = state;
                    self.objects.insert(number);
                }
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.stack.push(storage);
            }
            b'h' => {
                let [number] = self.array()?;
                self.recall(number.into())?;
            }
            b'j' => {
                let number = self.u32()?;
                self.recall(number)?;
            }
            b'q' => {
                let [number] = self.array()?;
                self.memorize(number.into())?;
            }
            b'r' => {
                let number = self.u32()?;
                self.memorize(number)?;
            }
            0x94 => self.memorize(self.memo.len() as u32)?,
            other => return Err(format!("has the pickle instruction {other:#04x}, unknown here")),
        }
        Ok(true)
    }

    fn call(&mut self, class: Value<'a>, arguments: Value<'a>) -> Parsed<Value<'a>> {
        let (mut class, mut arguments) = (class, arguments);
        if let Value::Class("torch._tensor", "_rebuild_from_type_v2") = class {
            let &[function, _, inner, ..] = self.items(arguments)? else {
                return Err("rebuilds a tensor from too little".to_owned());
            };
            (class, arguments) = (function, inner);
        }
        Ok(match class {
            Value::Class("collections", "OrderedDict") => {
                self.push_dict();
                self.pop()?
            }
            Value::Class("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => {
                self.tensor(arguments)?
            }
            Value::Class(
                "torch._utils",
                "_rebuild_parameter" | "_rebuild_parameter_with_state",
            ) => self.items(arguments)?.first().copied().unwrap_or(Value::Other),
            _ => Value::Other,
        })
    }

    fn tensor(&mut self, arguments: Value<'a>) -> Parsed<Value<'a>> {
        let &[storage, offset, shape, strides, ..] = self.items(arguments)? else {
            return Err("rebuilds a tensor from too little".to_owned());
        };
        let Value::Storage(storage) = storage else {
            return Err("rebuilds a tensor from something that is not a storage".to_owned());
        };
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        let mut expected = 1_usize;
        let mut contiguous = shape.len() == strides.len();
        for (&length, &stride) in shape.iter().zip(&strides).rev() {
            contiguous &= length <= 1 || stride == expected;
            expected = expected
                .checked_mul(length)
                .ok_or_else(|| format!("has a tensor of the impossible shape {shape:?}"))?;
        }
        let storage = self.storages[storage].clone();
        let offset = offset.size()?;
        self.tensors.push(PickledTensor { storage, offset, shape, strides, contiguous });
        Ok(Value::Tensor(self.tensors.len() - 1))
    }

    /// A persistent id: `("storage", torch.FloatStorage, "0", "cpu", 1024)`, and in old files what
    /// the storage is a view of.
    fn storage(&mut self, id: Value<'a>) -> Parsed<Value<'a>> {
        let items = self.items(id)?;
        let &[kind, class, key, _, _, ref view @ ..] = items else {
            return Err("has a storage without a description".to_owned());
        };
        if kind.text()? != "storage" || matches!(view.first(), Some(Value::Sequence(_))) {
            return Ok(Value::Other);
        }
        let class = match class {
            Value::Class(_, name) => name,
            _ => "unknown",
        };
        self.storages.push(Storage { key: key.text()?, class });
        Ok(Value::Storage(self.storages.len() - 1))
    }

    fn sizes(&self, value: Value<'a>) -> Parsed<Vec<usize>> {
        let items = self.items(value)?;
        if items.len() > MAX_DIMENSIONS {
            return Err(format!("has a tensor of {} dimensions", items.len()));
        }
        items.iter().map(|item| item.size()).collect()
    }

    fn items(&self, value: Value<'a>) -> Parsed<&[Value<'a>]> {
        match value {
            Value::Sequence(number) => Ok(&self.sequences[number]),
            other => Err(format!("has {other:?} where a list or tuple belongs")),
        }
    }

    fn push_sequence(&mut self, items: Vec<Value<'a>>) {
        self.sequences.push(items);
        self.stack.push(Value::Sequence(self.sequences.len() - 1));
    }

    fn push_dict(&mut self) {
        self.dicts.push(Vec::new());
        self.stack.push(Value::Dict(self.dicts.len() - 1));
    }

    fn push_other(&mut self, bytes: usize) -> Parsed<()> {
        self.skip(bytes)?;
        self.stack.push(Value::Other);
        Ok(())
    }

    fn push_text(&mut self, length: usize) -> Parsed<()> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|error| error.to_string())?;
        self.stack.push(Value::Text(text));
        Ok(())
    }

    /// Items for the list, or for an object of an unknown class, on top of the stack.
    fn extend_list(&mut self, items: &[Value<'a>]) -> Parsed<()> {
        if let Value::Sequence(number) = *self.stack.last().ok_or(UNDERFLOW)? {
            self.sequences[number].extend(items);
        }
        Ok(())
    }

    fn extend_dict(&mut self, items: &[Value<'a>]) -> Parsed<()> {
        if let Value::Dict(number) = *self.stack.last().ok_or(UNDERFLOW)? {
            let pairs = items.as_chunks::<2>().0;
            self.dicts[number].extend(pairs.iter().map(|&[key, value]| (key, value)));
        }
        Ok(())
    }

    fn recall(&mut self, number: u32) -> Parsed<()> {
        let value = self.memo.get(&number).ok_or("recalls what it never memorized")?;
        self.stack.push(*value);
        Ok(())
    }

    fn memorize(&mut self, number: u32) -> Parsed<()> {
        let value = *self.stack.last().ok_or(UNDERFLOW)?;
        self.memo.insert(number, value);
        Ok(())
    }

    fn pop(&mut self) -> Parsed<Value<'a>> {
        Ok(self.stack.pop().ok_or(UNDERFLOW)?)
    }

    fn pop_mark(&mut self) -> Parsed<Vec<Value<'a>>> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len()).ok_or(UNDERFLOW)?;
        Ok(self.stack.split_off(mark))
    }

    /// An integer of up to 255 bytes; those beyond 64 bits are only magic numbers.
    fn long(&mut self) -> Parsed<()> {
        let [length] = self.array()?;
        let bytes = self.take(length.into())?;
        self.stack.push(match bytes.last() {
            None => Value::Int(0),
            Some(last) if bytes.len() <= 8 => {
                let mut raw = [if last & 0x80 == 0 { 0 } else { 0xff }; 8];
                raw[..bytes.len()].copy_from_slice(bytes);
                Value::Int(i64::from_le_bytes(raw))
            }
            Some(_) => Value::Other,
        });
        Ok(())
    }

    fn line(&mut self) -> Parsed<&'a str> {
        let rest = &self.bytes[self.position..];
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or(TRUNCATED)?;
        let line = std::str::from_utf8(self.take(length)?).map_err(|error| error.to_string())?;
        self.skip(1)?;
        Ok(line)
    }

    fn u32(&mut self) -> Parsed<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn skip(&mut self, length: usize) -> Parsed<()> {
        self.take(length).map(|_| ())
    }

    fn array<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        Ok(self.take(N)?.try_into().map_err(|_| TRUNCATED)?)
    }

    fn take(&mut self, length: usize) -> Parsed<&'a [u8]> {
        let rest = &self.bytes[self.position..];
        let taken = rest.get(..length).ok_or(TRUNCATED)?;
        self.position += length;
        Ok(taken)
    }
}

const UNDERFLOW: &str = "holds a pickle that takes more off its stack than it put there";
const TRUNCATED: &str = "is truncated: its pickle has no end; download it again";
const NESTED: &str = "has objects within objects within objects";
/// Collections that are open at once. Python's pickler gives up at its recursion limit, which is 1,000 calls.
const DEEPEST: usize = 1000;
/// PyTorch's own limit is 64; weights have at most five, and more would only serve to waste memory.
const MAX_DIMENSIONS: usize = 8;
/// In bytes: names of modules are shorter, and those of hostile files are not to fill the memory.
const LONGEST_PREFIX: usize = 256;
