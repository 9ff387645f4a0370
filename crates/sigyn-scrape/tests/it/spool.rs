//! Targets that share a spool: a restart loses nothing and is none whose end is unknown, and one address serves all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex};

use sigyn_model::Losses;
use sigyn_recorder::{Options, SpoolOptions};
use sigyn_scrape::TargetStatus;
use tokio::net::TcpListener;

use crate::fake::{Scraper, eventually, group, job};
use crate::recorder::{Service, options};

fn spooled(dir: &Path) -> Options {
    Options { spool: Some(SpoolOptions::at(dir.join("spool"))), ..options() }
}

/// A thread keeps the recorder that it used, so another one does it.
fn record(service: &Service, count: u64) {
    std::thread::scope(|scope| scope.spawn(|| service.record(count)).join().unwrap());
}

/// Ends it like a process that is killed, as far as that can be done to part of one.
async fn end(service: Service, dir: &Path) {
    let epoch = service.recorder.epoch();
    drop(service);
    let file = File::open(dir.join(format!("spool/{epoch:016x}.spool"))).unwrap();
    eventually("its lock", || file.try_lock_shared().ok()).await;
}

async fn received(scraper: &Scraper, spans: u64) -> TargetStatus {
    scraper.target("all spans", |target| target.account.received == spans).await
}

fn scraper(of: &Service) -> Scraper {
    Scraper::start(vec![job("api")], BTreeMap::from([("api".to_owned(), group(&[of.address]))]))
}

fn check(scraper: &Scraper, status: &TargetStatus, spans: usize) {
    let ids: BTreeSet<_> = scraper.store.ids().into_iter().collect();
    assert_eq!((ids.len(), scraper.store.ids().len()), (spans, spans));
    assert_eq!((status.account.restarts, status.account.lost), (0, Losses::default()));
    assert_eq!(status.last_problem, None);
}

#[tokio::test]
async fn a_restart_loses_nothing_and_its_end_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let first = Service::start(spooled(dir.path())).await;
    record(&first, 10);
    let scraper = scraper(&first);
    received(&scraper, 10).await;
    let mut service = first;
    let mut expected = 10;
    for _ in 0..3 {
        let address = service.address;
        record(&service, 7);
        end(service, dir.path()).await;
        let listener = Arc::new(Mutex::new(None));
        eventually("the address again", || {
            let socket = tokio::net::TcpSocket::new_v4().ok()?;
            socket.set_reuseaddr(true).ok()?;
            socket.bind(address).ok()?;
            *listener.lock().unwrap() = Some(socket.listen(16).ok()?);
            Some(())
        })
        .await;
        let listener: TcpListener = listener.lock().unwrap().take().unwrap();
        service = Service::on(listener, address, spooled(dir.path()));
        record(&service, 5);
        expected += 12;
        let status = received(&scraper, expected).await;
        check(&scraper, &status, usize::try_from(expected).unwrap());
    }
    scraper.stop().await;
}

#[tokio::test]
async fn one_of_several_processes_is_asked_and_all_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let asked = Service::start(spooled(dir.path())).await;
    let others =
        [Service::start(spooled(dir.path())).await, Service::start(spooled(dir.path())).await];
    let scraper = scraper(&asked);
    record(&asked, 3);
    others.iter().for_each(|other| record(other, 10));
    let status = received(&scraper, 23).await;
    check(&scraper, &status, 23);

    // One ends, and another one begins.
    let [one, two] = others;
    record(&one, 4);
    end(one, dir.path()).await;
    let three = Service::start(spooled(dir.path())).await;
    for service in [&asked, &two, &three] {
        record(service, 20);
    }
    let status = received(&scraper, 87).await;
    check(&scraper, &status, 87);

    // The tracer restarts: the processes know how far it was.
    let store = scraper.store.clone();
    scraper.stop().await;
    for service in [&asked, &two, &three] {
        record(service, 1);
    }
    let groups = BTreeMap::from([("api".to_owned(), group(&[asked.address]))]);
    let again = Scraper::restart(vec![job("api")], groups, store.progress(), store);
    let status = received(&again, 90).await;
    let status = again
        .target("a scrape more", |target| target.scrapes_total > status.scrapes_total + 2)
        .await;
    check(&again, &status, 90);
    again.stop().await;
}
