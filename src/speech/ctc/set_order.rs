//! The order in which Python goes through a set of small numbers.
//!
//! pyctcdecode tries the letters of a frame in the order of a set, and of beams that become one keeps the frames of
//! the last; so word times depend on it. `set_add_entry`, `set_table_resize` and `set_merge` of CPython 3.

/// The numbers of `set(ids) | {one of them}`, in its order. `ids` ascend.
pub(super) fn set_order(ids: &[u32]) -> Vec<u32> {
    let mut table = Table::of_size(LEAST);
    for (count, &id) in (1..).zip(ids) {
        table.insert(id);
        if table.is_full(count) {
            table = table.resized(4 * count);
        }
    }
    // The union is made of a copy, to which the one is added.
    let count = ids.len();
    let size = if Table::of_size(LEAST).is_full(count) { Table::size(2 * count) } else { LEAST };
    let mut copy = match size == table.slots.len() {
        true => table,
        false => table.moved(size),
    };
    if copy.is_full(count + 1) {
        copy = copy.resized(2 * (count + 1));
    }
    copy.slots.into_iter().flatten().collect()
}

struct Table {
    slots: Vec<Option<u32>>,
}

impl Table {
    fn of_size(size: usize) -> Self {
        Self { slots: vec![None; size] }
    }

    /// The least power of 2 above a number.
    fn size(above: usize) -> usize {
        (above + 1).next_power_of_two().max(LEAST)
    }

    fn is_full(&self, count: usize) -> bool {
        5 * count >= 3 * (self.slots.len() - 1)
    }

    fn resized(self, above: usize) -> Self {
        self.moved(Self::size(above))
    }

    fn moved(self, size: usize) -> Self {
        let mut moved = Self::of_size(size);
        self.slots.into_iter().flatten().for_each(|id| moved.insert(id));
        moved
    }

    fn insert(&mut self, id: u32) {
        let mask = self.slots.len() - 1;
        let mut perturb = id as usize;
        let mut place = perturb & mask;
        loop {
            let probes = if place + PROBES <= mask { PROBES } else { 0 };
            if let Some(free) = (place..=place + probes).find(|&at| self.slots[at].is_none()) {
                self.slots[free] = Some(id);
                return;
            }
            perturb >>= 5;
            place = (place * 5 + 1 + perturb) & mask;
        }
    }
}

const LEAST: usize = 8;
const PROBES: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    /// As `[int(x) for x in set(numpy.array(ids)) | {numpy.int64(ids[0])}]` of Python 3.11 has it.
    #[test]
    fn sets_are_in_pythons_order() {
        for (ids, expected) in CASES {
            assert_eq!(set_order(ids), *expected);
        }
    }

    const CASES: &[(&[u32], &[u32])] = &[
        (&[7], &[7]),
        (&[3, 9], &[9, 3]),
        (&[2, 12, 15], &[2, 12, 15]),
        (&[1, 4, 5], &[1, 4, 5]),
        (&[9, 12, 14, 16], &[16, 9, 12, 14]),
        (&[3, 14, 33, 34], &[33, 34, 3, 14]),
        (&[6, 11, 16, 17, 23], &[16, 17, 6, 23, 11]),
        (&[1, 10, 12, 13, 16, 17, 19], &[16, 1, 17, 19, 10, 12, 13]),
        (&[11, 31, 37, 43, 47, 49, 64, 67], &[64, 67, 37, 43, 11, 47, 49, 31]),
        (
            &[1, 22, 63, 71, 74, 76, 79, 121, 140, 146, 180, 195],
            &[1, 195, 71, 74, 76, 140, 79, 146, 180, 22, 121, 63],
        ),
        (&[3, 7, 8], &[8, 3, 7]),
    ];
}
