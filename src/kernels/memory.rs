//! What the C library does with memory that is free again.

use std::hint::black_box;
use std::sync::Once;

/// Has the C library keep memory that is free again, up to 64 MB of each of its arenas, instead of
/// giving it back to the system: every layer needs the same as the one before, and having it mapped
/// and zeroed anew took up to a third of the time of an encoder and a sixth of that of a prompt.
///
/// glibc raises the threshold from which it gives memory back to twice the size of the largest mapped
/// block, of up to 32 MB, that it has seen being freed (mallopt(3), `M_MMAP_THRESHOLD`). So it is shown
/// one, which nobody touches. Thresholds that are set by the user (`MALLOC_TRIM_THRESHOLD_`,
/// `GLIBC_TUNABLES`) stay as they are; other allocators are left alone.
pub(super) fn keep_freed() {
    static KEPT: Once = Once::new();
    if cfg!(all(target_os = "linux", target_env = "gnu")) {
        // With room for what the allocator writes beside a block.
        KEPT.call_once(|| drop(black_box(Vec::<u8>::with_capacity((32 << 20) - (16 << 10)))));
    }
}
