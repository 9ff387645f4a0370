//! Asking about all names, and what becomes of the answers.

use std::path::PathBuf;
use std::sync::Arc;
use std::{fs, io};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RData;
use tokio::task::{self, JoinSet};

use super::ask::{Answer, ask};
use super::resolv::Resolv;
use super::{Config, Kind};
use crate::error_chain::chain;
use crate::group::TargetGroup;
use crate::labels::{Labels, host_port};
use crate::mechanism::refresh::{self, Refresh, RefreshError};
use crate::mechanism::{Context, Find, Part, StartError, Whose};
use crate::metrics::Metrics;

const PREFIX: &str = "__meta_dns_";

impl Find for Config {
    async fn run(self, context: Context) -> Result<(), StartError> {
        let every = refresh::interval_of(self.refresh_interval);
        let asking = Asking {
            config: self,
            resolver: Arc::new(Resolver {
                file: PathBuf::from("/etc/resolv.conf"),
                port: 53,
                whose: Arc::clone(&context.whose),
            }),
            metrics: Arc::clone(&context.metrics),
        };
        refresh::run(asking, every, context).await;
        Ok(())
    }
}

/// Where it stands whom to ask, which is read each time.
#[derive(Debug)]
pub(super) struct Resolver {
    pub(super) file: PathBuf,
    pub(super) port: u16,
    /// For log lines.
    pub(super) whose: Arc<Whose>,
}

/// Several names, asked about at the same time.
pub(super) struct Asking {
    pub(super) config: Config,
    pub(super) resolver: Arc<Resolver>,
    pub(super) metrics: Arc<Metrics>,
}

/// Why nothing is known about a name.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookupError {
    #[error("could not load resolv.conf")]
    Resolv(#[source] io::Error),
    #[error(
        "could not resolve {0:?}: all servers responded with errors to at least one search domain"
    )]
    NoAnswer(String),
    #[error("none of the names could be resolved")]
    All,
}

impl Refresh for Asking {
    /// A name that could not be asked about keeps what it had.
    const COMPLETE: bool = false;

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let mut lookups = JoinSet::new();
        for name in &self.config.names {
            let (resolver, name, kind) =
                (Arc::clone(&self.resolver), name.clone(), self.config.kind);
            lookups.spawn(async move { (resolver.look_up(&name, kind).await, name) });
        }
        let mut groups = Vec::new();
        while let Some(ended) = lookups.join_next().await {
            let (records, name) = ended?;
            self.metrics.dns_lookups.increment();
            match records {
                Ok(records) => {
                    groups.push(group(&name, self.config.port, &records));
                    self.resolver.whose.works(&Part::Named(name));
                }
                Err(error) => {
                    self.metrics.dns_lookup_failures.increment();
                    let error = chain(&error);
                    tracing::warn!(config = %self.resolver.whose, discovery = "dns", name, error, "cannot look up a name");
                    self.resolver.whose.failed(Part::Named(name), error);
                }
            }
        }
        if groups.is_empty() {
            return Err(LookupError::All.into());
        }
        Ok(groups)
    }
}

impl Resolver {
    /// What is known about a name, in the first of the search domains that has it. If all say that
    /// there is no such name, there is nothing.
    pub(super) async fn look_up(&self, name: &str, kind: Kind) -> Result<Vec<RData>, LookupError> {
        let file = self.file.clone();
        let read = task::spawn_blocking(move || fs::read_to_string(file)).await;
        // Only the runtime's end gets in the way.
        let text = read.unwrap_or_else(|error| Err(io::Error::other(error)));
        let resolv = Resolv::parse(&text.map_err(LookupError::Resolv)?);
        let mut all_answered = true;
        for name in resolv.names(name) {
            match self.any(&resolv, &name, kind).await {
                Some(Answer { code: ResponseCode::NoError, records }) => return Ok(records),
                Some(_) => {}
                None => all_answered = false,
            }
        }
        if all_answered {
            return Ok(Vec::new());
        }
        Err(LookupError::NoAnswer(name.to_owned()))
    }

    /// The first answer that says something about the name, be it that there is none.
    async fn any(&self, resolv: &Resolv, name: &str, kind: Kind) -> Option<Answer> {
        for server in &resolv.servers {
            match ask((*server, self.port).into(), name, kind).await {
                Ok(answer)
                    if matches!(answer.code, ResponseCode::NoError | ResponseCode::NXDomain) =>
                {
                    return Some(answer);
                }
                Ok(answer) => {
                    tracing::debug!(config = %self.whose, discovery = "dns", %server, name, code = %answer.code, "a name server refuses");
                }
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(config = %self.whose, discovery = "dns", %server, name, error, "a name server does not answer");
                }
            }
        }
        None
    }
}

/// The targets of one name. Records of other kinds, such as those that lead to the name's own, are
/// passed over.
pub(super) fn group(name: &str, port: u64, records: &[RData]) -> TargetGroup {
    let mut targets = Vec::new();
    for record in records {
        let mut labels = Labels::from_iter([(format!("{PREFIX}name"), name)]);
        // The final dot of a name is not usual in addresses.
        let mut named = |kind: &str, target: &hickory_proto::rr::Name| {
            let target = target.to_ascii();
            labels.set(format!("{PREFIX}{kind}_record_target"), target.as_str());
            target.trim_end_matches('.').to_owned()
        };
        let address = match record {
            RData::A(address) => host_port(&address.0.to_string(), port),
            RData::AAAA(address) => host_port(&address.0.to_string(), port),
            RData::MX(mx) => host_port(&named("mx", &mx.exchange), port),
            RData::NS(ns) => host_port(&named("ns", &ns.0), port),
            RData::SRV(srv) => {
                let host = named("srv", &srv.target);
                labels.set(format!("{PREFIX}srv_record_port"), srv.port.to_string());
                host_port(&host, srv.port)
            }
            _ => continue,
        };
        labels.set("__address__", address);
        targets.push(labels);
    }
    TargetGroup { source: name.to_owned(), targets, ..TargetGroup::default() }
}
