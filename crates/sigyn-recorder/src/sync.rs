//! Locks and atomics of the path that every span takes: the standard library's, or those of loom, which tries every order.

#[cfg(not(sigyn_loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicUsize};
#[cfg(not(sigyn_loom))]
pub(crate) use std::sync::{Mutex, MutexGuard};

#[cfg(sigyn_loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicUsize};
#[cfg(sigyn_loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard};
