//! `/api/v1/status/store`: what is stored, and what of it is damaged.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;
use sigyn_store::{Damage, Share as OneShare, Stats, Store};

use super::Params;
use crate::reply::{failure, success};

/// What a store is asked for: it, and how durable what it acknowledges is, in the words of the file.
#[derive(Clone)]
struct Asked {
    store: Store,
    durability: Arc<str>,
    shares: Shares,
}

/// Tells everybody's shares of the memory for spans, of which the store knows its own.
pub(crate) type Shares = Arc<dyn Fn(&Stats) -> Vec<OneShare> + Send + Sync>;

pub(crate) fn router(store: Store, durability: String, shares: Shares) -> Router {
    Router::new().route("/api/v1/status/store", get(store_status)).with_state(Asked {
        store,
        durability: durability.into(),
        shares,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StoreStatus<'a> {
    durability: &'a str,
    spans: u64,
    head_spans: u64,
    head_bytes: u64,
    blocks: u64,
    block_bytes: u64,
    wal_bytes: u64,
    memory: Memory,
    /// Why no spans can be stored, if that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusing: Option<&'a str>,
    /// Why no blocks can be made, if that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    unsealable: Option<&'a str>,
    /// Frames of the log that are not read yet.
    unread_frames: u64,
    /// The first hundred files that turned out to be damaged.
    damaged: Vec<DamagedFile>,
}

/// What spans may take, and what shares of that are used.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    max_bytes: u64,
    shares: BTreeMap<&'static str, Share>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Share {
    max_bytes: u64,
    used_bytes: u64,
}

#[derive(Serialize)]
struct DamagedFile {
    file: String,
    cause: String,
}

async fn store_status(
    State(Asked { store, durability, shares }): State<Asked>,
    params: Params,
) -> Response {
    if let Err(error) = params.each_once(&[]) {
        return failure(&error);
    }
    let stats = store.stats();
    let share = |one: OneShare| (one.name, Share { max_bytes: one.max, used_bytes: one.used });
    let shares = shares(&stats).into_iter().map(share).collect();
    let memory = Memory { max_bytes: stats.memory.bytes, shares };
    let damaged = stats.damages.into_iter();
    let refusing = stats.poisoned.or(stats.refusing);
    success(&StoreStatus {
        durability: &durability,
        spans: stats.head_spans + stats.block_spans,
        head_spans: stats.head_spans,
        head_bytes: stats.head_bytes,
        blocks: stats.blocks,
        block_bytes: stats.block_bytes,
        wal_bytes: stats.wal_bytes,
        memory,
        refusing: refusing.as_deref(),
        unsealable: stats.unsealable.as_deref(),
        unread_frames: stats.unread_frames,
        damaged: damaged.map(|Damage { file, cause }| DamagedFile { file, cause }).collect(),
    })
}
