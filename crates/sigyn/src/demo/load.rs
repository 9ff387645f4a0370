//! Visitors of the shop: a steady stream of requests, each of which begins a trace.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::scene::Scene;
use crate::http_client::HttpClient;

/// Visits that are under way at once; a slow shop gets no more.
const VISITS_MAX: usize = 100;

pub(super) fn start(
    tasks: &mut JoinSet<()>,
    scene: &Scene,
    rate: u32,
    shutdown: &CancellationToken,
) {
    let Some(storefront) = scene.any("storefront") else { return };
    let address = storefront.address;
    let shutdown = shutdown.clone();
    let client = HttpClient::new(Duration::from_secs(10));
    tasks.spawn(async move {
        let mut visits = JoinSet::new();
        let mut ticks =
            tokio::time::interval_at(Instant::now(), Duration::from_secs(1) / rate.max(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            while visits.try_join_next().is_some() {}
            if visits.len() < VISITS_MAX {
                let (client, url) = (client.clone(), format!("http://{address}{}", page()));
                visits.spawn(async move {
                    // A failed visit is part of the show: its trace tells why.
                    let _ = client.get(&url).await;
                });
            }
        }
    });
}

/// Mostly looking around, sometimes buying.
fn page() -> &'static str {
    match fastrand::u32(0..10) {
        0..3 => "/",
        3..5 => "/product/1729",
        5..7 => "/cart",
        _ => "/checkout",
    }
}
