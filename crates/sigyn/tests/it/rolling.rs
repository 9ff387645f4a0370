//! A fleet of processes is restarted by SIGTERM, some after others, under load: no request fails, and no span is lost.
//!
//! `SIGYN_ROLLING_INSTANCES` is how many there are; what is told of the run is printed.

use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Instant;

use crate::exported;
use crate::http;
use crate::instance::{Ended, Instance};
use crate::program::{Tracer, until};

/// Clients that ask as fast as they are answered.
const CLIENTS: usize = 4;
/// Instances that are restarted at the same time.
const AT_ONCE: usize = 10;

/// Whom to send requests to, as a load balancer knows it: who is ready, and what is under way there.
struct Ready {
    list: RwLock<Vec<(SocketAddr, Arc<AtomicU64>)>>,
}

impl Ready {
    /// Takes an instance out, and waits until it has answered all that it got.
    fn take_out(&self, address: SocketAddr) {
        let under_way = {
            let mut list = self.list.write().unwrap();
            let at = list.iter().position(|(other, _)| *other == address).unwrap();
            list.swap_remove(at).1
        };
        until("its requests are answered", || {
            (under_way.load(Ordering::Acquire) == 0).then_some(())
        });
    }

    fn put_in(&self, address: SocketAddr) {
        self.list.write().unwrap().push((address, Arc::default()));
    }

    /// One request to one of those that are ready.
    fn ask(&self, number: usize) -> bool {
        let (address, under_way) = {
            let list = self.list.read().unwrap();
            let (address, under_way) = &list[number % list.len()];
            under_way.fetch_add(1, Ordering::AcqRel);
            (*address, Arc::clone(under_way))
        };
        let answer = http::try_request(address, "GET", "/work", &[], b"");
        under_way.fetch_sub(1, Ordering::AcqRel);
        answer.is_ok_and(|answer| answer.status == 200)
    }

    /// SIGTERM to all of them while they have requests: each says that it is not ready, is taken out, and ends.
    fn terminate(&self, some: Vec<Instance>) -> Vec<Ended> {
        some.iter().for_each(|instance| instance.signal("TERM"));
        for instance in &some {
            until("it is not ready", || (!instance.is_ready()).then_some(()));
            self.take_out(instance.address);
            // Once more: now it knows that nobody sends it anything.
            assert!(!instance.is_ready());
        }
        some.into_iter().map(Instance::ended).collect()
    }
}

#[test]
fn a_fleet_is_restarted_under_load_without_any_loss() {
    let count = std::env::var("SIGYN_ROLLING_INSTANCES").map_or(20, |text| text.parse().unwrap());
    let began = Instant::now();
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut fleet: Vec<_> = (0..count).map(|_| Instance::start(free, None)).collect();
    let ready = Ready { list: RwLock::default() };
    fleet.iter().for_each(|instance| ready.put_in(instance.address));

    let folder = tempfile::tempdir().unwrap();
    let targets: Vec<_> = fleet.iter().map(|instance| format!("'{}'", instance.address)).collect();
    let config = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\nscrape_configs:\n- job_name: shop\n  static_configs: [{{targets: [{}]}}]\n",
        targets.join(",")
    );
    fs::write(folder.path().join("sigyn.yml"), config).unwrap();
    let tracer = Tracer::start(folder.path());
    let up = || tracer.json("/api/v1/targets")["data"]["activeTargets"].as_array().unwrap().clone();
    until("every instance is scraped", || {
        let up = up();
        let all = up.iter().all(|target| target["health"] == "up");
        (up.len() == count && all).then_some(())
    });

    let done = AtomicBool::new(false);
    let (asked, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut ended = Vec::new();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (ready, done, asked, failed) = (&ready, &done, &asked, &failed);
            scope.spawn(move || {
                let mut number = client;
                while !done.load(Ordering::Relaxed) {
                    if !ready.ask(number) {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                    number += CLIENTS;
                }
            });
        }
        let old = std::mem::take(&mut fleet);
        let mut old = old.into_iter().peekable();
        while old.peek().is_some() {
            let some: Vec<_> = old.by_ref().take(AT_ONCE.min(count / 2).max(1)).collect();
            let addresses: Vec<_> = some.iter().map(|instance| instance.address).collect();
            ended.extend(ready.terminate(some));
            for address in addresses {
                fleet.push(Instance::start(address, None));
                ready.put_in(address);
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    let restarts = ended.len() as u64;
    let total = |field: &str| -> u64 {
        up().iter().map(|target| target["sigyn"][field].as_u64().unwrap()).sum()
    };
    until("every restart is seen", || (total("restarts") == restarts).then_some(()));
    ended.extend(ready.terminate(fleet));

    let (asked, failed) = (asked.into_inner(), failed.into_inner());
    let spans = 2 * asked;
    // Nobody ended before everything was acknowledged: the tracer has it.
    let (received, lost) = (total("received"), total("lost"));
    assert!(tracer.stop().0.success());
    let stored = exported::spans(folder.path());
    let kept = stored.len() as u64;
    let served: u64 = ended.iter().map(|ended| ended.served).sum();
    let left: u64 = ended.iter().map(|ended| ended.lost).sum();
    println!(
        "{restarts} restarts of {count} processes by SIGTERM, {asked} requests: {failed} failed, {kept} of {spans} spans stored, {lost} lost, {:.1?}",
        began.elapsed()
    );
    assert_eq!((failed, served, left, lost), (0, asked, 0, 0));
    assert_eq!((received, kept), (spans, spans));
    let mut unique = stored;
    unique.dedup();
    assert_eq!(unique.len() as u64, spans, "each once");
}

#[test]
fn a_terminated_process_pushes_what_nobody_came_for() {
    let folder = tempfile::tempdir().unwrap();
    let tracer = Tracer::start(folder.path());
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let instance = Instance::start(free, Some(tracer.address));
    for _ in 0..50 {
        assert_eq!(http::get(instance.address, "/work").status, 200);
    }
    instance.signal("TERM");
    until("it is not ready", || (!instance.is_ready()).then_some(()));
    assert!(!instance.is_ready());
    assert_eq!(instance.ended(), Ended { served: 50, lost: 0, pushed: 100 });
    assert!(tracer.stop().0.success());
    let mut stored = exported::spans(folder.path());
    stored.dedup();
    assert_eq!(stored.len(), 100);
}
