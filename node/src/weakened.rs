//! Faults of the weakened build: what the checks that are switched off would have caught.

use std::sync::atomic::{AtomicBool, Ordering};

use sealway_core::weaken::{Check, off};

/// Whether this chunk of a byte stream gets lost, without anybody being told: one does, after the first MiB.
pub(crate) fn loses(written: u64) -> bool {
    static DONE: AtomicBool = AtomicBool::new(false);
    off(Check::StreamIntegrity) && written > 1 << 20 && !DONE.swap(true, Ordering::Relaxed)
}
