//! Sections, `resolv.conf`, and lookups against name servers of our own.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NS, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

use super::find::{Asking, Resolver, group};
use super::resolv::Resolv;
use super::*;
use crate::error_chain::chain;
use crate::mechanism::refresh::Refresh as _;
use crate::metrics::Metrics;
use crate::yaml;

fn checked(text: &str) -> Result<Config, String> {
    let written: DnsConfig = yaml::section(text).map_err(|error| error.message)?;
    Config::check(&written, Path::new("/"))
}

#[test]
fn sections_that_are_refused() {
    let check = |text: &str, expected: &str| assert_eq!(checked(text).unwrap_err(), expected);
    check("{}", "DNS-SD config must contain at least one SRV record name");
    check("{names: []}", "DNS-SD config must contain at least one SRV record name");
    check("{names: [a], type: TXT}", "invalid DNS-SD records type TXT");
    check("{names: [a], type: ~}", "invalid DNS-SD records type ");
    let port = "a port is required in DNS-SD configs for all record types except SRV";
    for kind in ["A", "aaaa", "MX", "Ns"] {
        check(&format!("{{names: [a], type: {kind}}}"), port);
    }
    check("{names: [a], bogus: 1}", "field bogus not found in type dns.plain");
}

#[test]
fn what_is_not_written_has_its_default() {
    let config = checked("{names: [a, b]}").unwrap();
    assert_eq!((config.kind, config.port), (Kind::Srv, 0));
    assert_eq!(config.refresh_interval, Duration::from_secs(30));
    let config = checked("{names: [a], type: aaaa, port: 80, refresh_interval: 5s}").unwrap();
    assert_eq!((config.kind, config.port), (Kind::Aaaa, 80));
}

#[test]
fn names_in_the_order_in_which_they_are_asked_about() {
    let check = |text: &str, name: &str, expected: &[&str]| {
        assert_eq!(Resolv::parse(text).names(name), expected, "{text:?} {name}");
    };
    let search = "; a comment\nsearch x.test y.test.\n";
    check(search, "a.b.", &["a.b."]);
    check(search, "a.b", &["a.b.", "a.b.x.test.", "a.b.y.test."]);
    check(search, "a", &["a.x.test.", "a.y.test.", "a."]);
    check("search x\noptions rotate ndots:2 timeout:1", "a.b", &["a.b.x.", "a.b."]);
    check("search x\noptions ndots:0", "a", &["a.", "a.x."]);
    check("search x\noptions ndots:99", "a.b", &["a.b.x.", "a.b."]);
    check("search x y\ndomain z", "a", &["a.z.", "a."]);
    check("domain z\nsearch .", "a", &["a."]);
    check("", "a", &["a."]);
    let servers = Resolv::parse(
        "nameserver 127.0.0.2\n#nameserver 127.0.0.3\nnameserver\nnameserver ::1 x\nnameserver y\n",
    )
    .servers;
    assert_eq!(servers, ["127.0.0.2".parse::<std::net::IpAddr>().unwrap(), "::1".parse().unwrap()]);
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn a(last: u8) -> RData {
    RData::A(A(Ipv4Addr::new(127, 0, 0, last)))
}

/// Records in, a group out: the cases of `tests/data/mechanisms/dns.yml`. `~` stands for
/// `__meta_dns_`, and all ports that are no record's are 80.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    asked: String,
    records: Vec<String>,
    targets: Vec<BTreeMap<String, String>>,
}

fn record(text: &str) -> RData {
    let words: Vec<&str> = text.split(' ').collect();
    match words[..] {
        ["A", address] => RData::A(A(address.parse().unwrap())),
        ["AAAA", address] => RData::AAAA(AAAA(address.parse().unwrap())),
        ["SRV", port, target] => RData::SRV(SRV::new(1, 2, port.parse().unwrap(), name(target))),
        ["MX", target] => RData::MX(MX::new(1, name(target))),
        ["NS", target] => RData::NS(NS(name(target))),
        ["CNAME", target] => RData::CNAME(CNAME(name(target))),
        ["TXT", text] => RData::TXT(TXT::new(vec![text.to_owned()])),
        _ => panic!("{text} is no record"),
    }
}

#[test]
fn what_records_become() {
    let table = include_str!("../../../tests/data/mechanisms/dns.yml");
    let cases: Vec<Case> = yaml::from_yaml(table).unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let records: Vec<_> = case.records.iter().map(|text| record(text)).collect();
        let group = group(&case.asked, 80, &records);
        assert_eq!(group.source, case.asked, "{}", case.name);
        assert!(group.labels.is_empty(), "{}", case.name);
        let short =
            |(name, value): (&str, &str)| (name.replacen("__meta_dns_", "~", 1), value.to_owned());
        let targets: Vec<BTreeMap<_, _>> =
            group.targets.iter().map(|target| target.iter().map(short).collect()).collect();
        assert_eq!(targets, case.targets, "{}", case.name);
    }
}

/// What a name server does with a question.
#[derive(Clone)]
enum Reply {
    Records(Vec<RData>),
    Code(ResponseCode),
    /// Over UDP the answer does not fit, and over TCP it is this.
    TooLong(Vec<RData>),
    /// The answer is cut off over TCP, too.
    Endless,
    Nothing,
    Garbage,
    /// First an answer to some other question, with this address, then the right one.
    Forged(u8, u8),
}

/// A name server at 127.0.0.x; all of a test have the same port.
struct Server {
    asked: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start(
        address: SocketAddr,
        reply: impl Fn(&str) -> Reply + Clone + Send + Sync + 'static,
    ) -> (Self, u16) {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind(address).await.unwrap();
            // Whoever has the port on the other side makes us look for another.
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
            assert_eq!(address.port(), 0, "{address} is taken");
        };
        let port = udp.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let mut tasks = JoinSet::new();
        let (log, over_tcp) = (Arc::clone(&asked), reply.clone());
        tasks.spawn(async move {
            let mut datagram = [0; 4096];
            loop {
                let (read, from) = udp.recv_from(&mut datagram).await.unwrap();
                let question = Message::from_vec(&datagram[..read]).unwrap();
                assert_eq!(question.max_payload(), 4096);
                let name = question.queries[0].name().to_string();
                log.lock().unwrap().push(format!("udp {name}"));
                for answer in answers(&question, reply(&name), false) {
                    udp.send_to(&answer, from).await.unwrap();
                }
            }
        });
        let log = Arc::clone(&asked);
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                let mut bytes = vec![0; usize::from(stream.read_u16().await.unwrap())];
                stream.read_exact(&mut bytes).await.unwrap();
                let question = Message::from_vec(&bytes).unwrap();
                assert!(question.edns.is_none());
                let name = question.queries[0].name().to_string();
                log.lock().unwrap().push(format!("tcp {name}"));
                for answer in answers(&question, over_tcp(&name), true) {
                    stream.write_u16(u16::try_from(answer.len()).unwrap()).await.unwrap();
                    stream.write_all(&answer).await.unwrap();
                }
            }
        });
        (Self { asked, _tasks: tasks }, port)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answers(question: &Message, reply: Reply, is_tcp: bool) -> Vec<Vec<u8>> {
    let mut answer = Message::response(question.metadata.id, OpCode::Query);
    answer.add_queries(question.queries.clone());
    let owner = question.queries[0].name().clone();
    let mut add = |records: Vec<RData>| {
        for record in records {
            answer.add_answer(Record::from_rdata(owner.clone(), 60, record));
        }
    };
    match reply {
        Reply::Records(records) => add(records),
        Reply::Code(code) => answer.metadata.response_code = code,
        Reply::TooLong(records) if is_tcp => add(records),
        Reply::TooLong(_) | Reply::Endless => answer.metadata.truncation = true,
        Reply::Nothing => return Vec::new(),
        Reply::Garbage => {
            let id = question.metadata.id.to_be_bytes();
            return vec![vec![id[0], id[1], 0xff]];
        }
        Reply::Forged(forged, right) => {
            let mut other = answer.clone();
            other.metadata.id = question.metadata.id.wrapping_add(1);
            other.add_answer(Record::from_rdata(owner.clone(), 60, a(forged)));
            answer.add_answer(Record::from_rdata(owner, 60, a(right)));
            return vec![other.to_vec().unwrap(), answer.to_vec().unwrap()];
        }
    }
    vec![answer.to_vec().unwrap()]
}

fn resolver(dir: &TempDir, port: u16, text: &str) -> Resolver {
    let file = dir.path().join("resolv.conf");
    std::fs::write(&file, text).unwrap();
    Resolver { file, port, whose: Arc::default() }
}

/// What a lookup of `name` comes to with one server: addresses, or the error.
async fn look_up(
    name: &str,
    reply: impl Fn(&str) -> Reply + Clone + Send + Sync + 'static,
) -> (Result<String, String>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let (server, port) = Server::start(([127, 0, 0, 1], 0).into(), reply).await;
    let resolver = resolver(&dir, port, "nameserver 127.0.0.1\nsearch x.test y.test\n");
    let told = resolver.look_up(name, Kind::A).await.map_err(|error| chain(&error));
    let told = told.map(|records| {
        let targets = group(name, 80, &records).targets;
        targets.iter().map(|target| target.value("__address__")).collect::<Vec<_>>().join(",")
    });
    (told, server.asked())
}

#[tokio::test]
async fn the_first_domain_that_has_the_name_answers() {
    let (told, asked) = look_up("web", |name| match name {
        "web.x.test." => Reply::Code(ResponseCode::NXDomain),
        "web.y.test." => {
            Reply::Records(vec![RData::CNAME(CNAME(Name::from_ascii("z.").unwrap())), a(2), a(3)])
        }
        _ => Reply::Code(ResponseCode::ServFail),
    })
    .await;
    assert_eq!(told.unwrap(), "127.0.0.2:80,127.0.0.3:80");
    assert_eq!(asked, ["udp web.x.test.", "udp web.y.test."]);
}

#[tokio::test]
async fn a_name_that_exists_without_records_is_an_answer() {
    let (told, asked) = look_up("web.test", |_| Reply::Records(Vec::new())).await;
    assert_eq!(told.unwrap(), "");
    assert_eq!(asked, ["udp web.test."]);
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_an_answer() {
    let (told, asked) = look_up("web", |_| Reply::Code(ResponseCode::NXDomain)).await;
    assert_eq!(told.unwrap(), "");
    assert_eq!(asked, ["udp web.x.test.", "udp web.y.test.", "udp web."]);
}

#[tokio::test]
async fn one_refusal_among_unknown_names_is_no_answer() {
    for refusal in [
        Reply::Code(ResponseCode::ServFail),
        Reply::Code(ResponseCode::Refused),
        Reply::Garbage,
        Reply::Endless,
    ] {
        let (told, _) = look_up("web", move |name| match name {
            "web.y.test." => refusal.clone(),
            _ => Reply::Code(ResponseCode::NXDomain),
        })
        .await;
        assert_eq!(
            told.unwrap_err(),
            "could not resolve \"web\": all servers responded with errors to at least one search domain"
        );
    }
}

#[tokio::test]
async fn what_does_not_fit_is_asked_for_again_over_tcp() {
    let (told, asked) = look_up("web.", |_| Reply::TooLong((1..=250).map(a).collect())).await;
    assert_eq!(told.unwrap().split(',').count(), 250);
    assert_eq!(asked, ["udp web.", "tcp web."]);
}

#[tokio::test]
async fn an_answer_to_another_question_is_passed_over() {
    let (told, _) = look_up("web.", |_| Reply::Forged(66, 2)).await;
    assert_eq!(told.unwrap(), "127.0.0.2:80");
}

#[tokio::test]
async fn the_next_server_is_asked_where_one_does_not_answer() {
    let dir = tempfile::tempdir().unwrap();
    let (silent, port) = Server::start(([127, 0, 0, 1], 0).into(), |_| Reply::Nothing).await;
    let (refusing, _) =
        Server::start(([127, 0, 0, 2], port).into(), |_| Reply::Code(ResponseCode::Refused)).await;
    let (good, _) =
        Server::start(([127, 0, 0, 3], port).into(), |_| Reply::Records(vec![a(9)])).await;
    let servers = "nameserver 127.0.0.1\nnameserver 127.0.0.2\nnameserver 127.0.0.3\n";
    let resolver = resolver(&dir, port, servers);
    let begun = Instant::now();
    assert_eq!(resolver.look_up("web.", Kind::A).await.unwrap(), [a(9)]);
    assert!(begun.elapsed() >= Duration::from_secs(2));
    for server in [silent, refusing, good] {
        assert_eq!(server.asked(), ["udp web."]);
    }
}

#[tokio::test]
async fn a_name_that_cannot_be_looked_up_does_not_hold_up_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, port) = Server::start(([127, 0, 0, 1], 0).into(), |name| match name {
        "good.test." => Reply::Records(vec![a(2)]),
        "none.test." => Reply::Code(ResponseCode::NXDomain),
        _ => Reply::Code(ResponseCode::ServFail),
    })
    .await;
    let metrics = Arc::new(Metrics::default());
    let mut asking = Asking {
        config: checked("{names: [good.test, bad.test, none.test], type: A, port: 80}").unwrap(),
        resolver: Arc::new(resolver(&dir, port, "nameserver 127.0.0.1")),
        metrics: Arc::clone(&metrics),
    };
    let mut groups = asking.refresh().await.unwrap();
    groups.sort_by(|one, other| one.source.cmp(&other.source));
    let found: Vec<_> =
        groups.iter().map(|group| (group.source.as_str(), group.targets.len())).collect();
    assert_eq!(found, [("good.test", 1), ("none.test", 0)]);
    let counted = metrics.snapshot();
    assert_eq!((counted.dns_lookups_total, counted.dns_lookup_failures_total), (3, 1));
    // Where nothing is known of any, there is no answer at all.
    asking.config.names = vec!["bad.test".to_owned()];
    assert!(asking.refresh().await.is_err());
    std::fs::remove_file(dir.path().join("resolv.conf")).unwrap();
    let error = asking.resolver.look_up("good.test", Kind::A).await.unwrap_err();
    assert!(chain(&error).starts_with("could not load resolv.conf: "));
}
