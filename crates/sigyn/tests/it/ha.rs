//! Two tracers on one target, one of which is killed and comes back.

use std::fs;
use std::path::Path;

use crate::exported;
use crate::program::{Tracer, until};
use crate::service::Service;

fn configure(folder: &Path, service: &Service) {
    let config = format!(
        "global: {{scrape_interval: 300ms, scrape_timeout: 300ms}}\nscrape_configs:\n- job_name: shop\n  static_configs: [{{targets: ['{}']}}]\n",
        service.address
    );
    fs::write(folder.join("sigyn.yml"), config).unwrap();
}

/// A number that its API tells of the service.
fn told(tracer: &Tracer, service: &Service, field: &str) -> Option<u64> {
    tracer.target(&service.address.to_string())?["sigyn"][field].as_u64()
}

fn wait_for_all(tracer: &Tracer, service: &Service, spans: u64) {
    until("every span is received", || (told(tracer, service, "received")? == spans).then_some(()));
    assert_eq!(told(tracer, service, "lost"), Some(0));
}

#[test]
fn the_one_that_was_killed_has_in_the_end_what_the_other_has() {
    let service = Service::start("shop");
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let [killed, survivor, alone] = folders.each_ref().map(|folder| folder.path());
    configure(killed, &service);
    configure(survivor, &service);
    let (one, other) = (Tracer::start(killed), Tracer::start(survivor));
    let mut next = 1;
    let mut record = || {
        service.record(next, 5);
        next += 5;
        next - 1
    };
    until("the first has some", || {
        record();
        told(&one, &service, "received").filter(|received| *received > 100)
    });
    one.kill();
    // Two intervals and more, while work goes on.
    let before = told(&other, &service, "scrapes").unwrap();
    until("the survivor has come again and again", || {
        record();
        told(&other, &service, "scrapes").filter(|scrapes| *scrapes >= before + 3)
    });
    let one = Tracer::start(killed);
    until("it is back", || {
        record();
        told(&one, &service, "scrapes").filter(|scrapes| *scrapes > 1)
    });
    let spans = record();
    wait_for_all(&one, &service, spans);
    wait_for_all(&other, &service, spans);
    // One that reads everything at once, with nobody beside it.
    one.stop();
    other.stop();
    configure(alone, &service);
    let single = Tracer::start(alone);
    wait_for_all(&single, &service, spans);
    single.stop();
    let times = exported::times(survivor, spans);
    assert_eq!(times[0], 0);
    assert!(times[1..].iter().all(|times| *times == 1), "each once");
    let expected = exported::spans(alone);
    assert_eq!(expected.len() as u64, spans);
    assert!(exported::spans(survivor) == expected, "the survivor's store is that of a single run");
    assert!(exported::spans(killed) == expected, "the other one's is, too");
}
