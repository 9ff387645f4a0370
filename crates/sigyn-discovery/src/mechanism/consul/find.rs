//! Following services: one that asks for the catalog, one for each service, and one that passes on
//! what they hear.

use std::collections::{BTreeMap, BTreeSet};
use std::panic;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until};

use super::Config;
use super::api::{Api, ApiError};
use super::group::group;
use crate::error_chain::chain;
use crate::group::TargetGroup;
use crate::mechanism::{Context, Find, Part, StartError, Whose, refresh};

/// News that wait to be passed on. Who finds the queue full waits.
const NEWS_CAPACITY: usize = 16;

/// How long to leave a server alone that gave no answer of use, at most.
const RETRY_MAX: Duration = Duration::from_secs(15);

/// How long those wait that have answered, at first, for those that have not.
const FIRST_MAX: Duration = Duration::from_secs(5);

impl Find for Config {
    async fn run(self, context: Context) -> Result<(), StartError> {
        let api = Arc::new(Api::new(&self, Arc::clone(&context.metrics))?);
        let shutdown = context.shutdown.clone();
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = follow(self, api, context) => {}
        }
        Ok(())
    }
}

impl Config {
    /// Whether the catalog says which services to follow. Else their names are known.
    fn needs_catalog(&self) -> bool {
        self.services.is_empty() || !self.tags.is_empty() || !self.filter.is_empty()
    }

    /// Whether a service of the catalog is to be followed.
    pub(super) fn wants(&self, name: &str, tags: &[String]) -> bool {
        (self.services.is_empty() || self.services.contains(name))
            && self.tags.iter().all(|tag| tags.contains(tag))
    }
}

/// What those that ask have heard.
enum News {
    /// The catalog: names of services, and their tags.
    Catalog(BTreeMap<String, Vec<String>>),
    /// A service, from the one that follows it.
    Service { follower: u64, group: TargetGroup },
}

async fn follow(config: Config, api: Arc<Api>, context: Context) {
    let datacenter = match config.datacenter.as_str() {
        "" => datacenter(&api, &context.whose, config.refresh_interval).await,
        datacenter => datacenter.to_owned(),
    };
    let (news_tx, mut news) = mpsc::channel(NEWS_CAPACITY);
    let mut following = Following {
        known: context.known.clone(),
        config,
        api,
        datacenter,
        context,
        news: news_tx,
        tasks: JoinSet::new(),
        services: BTreeMap::new(),
        followers: 0,
        first: None,
        catalog_is_known: false,
    };
    following.begin();
    loop {
        let first_until = following.first.as_ref().map(|first| first.until);
        let going_on = tokio::select! {
            Some(heard) = news.recv() => following.hear(heard).await,
            Some(ended) = following.tasks.join_next() => match ended {
                // Followed from here on by the manager, which starts this mechanism anew.
                Err(error) if error.is_panic() => panic::resume_unwind(error.into_panic()),
                _ => true,
            },
            () = sleep_until(first_until.unwrap_or_else(Instant::now)), if first_until.is_some() => {
                following.tell(Vec::new()).await
            }
        };
        if !going_on {
            return;
        }
    }
}

/// Asks until the server tells.
async fn datacenter(api: &Api, whose: &Whose, refresh_interval: Duration) -> String {
    loop {
        match api.datacenter().await {
            Ok(datacenter) => {
                whose.works(&part("agent/self", None));
                return datacenter;
            }
            Err(error) => failed(whose, "agent/self", None, &error, refresh_interval).await,
        }
    }
}

/// Which services are followed, and what the manager was told.
struct Following {
    config: Config,
    api: Arc<Api>,
    datacenter: String,
    context: Context,
    news: mpsc::Sender<News>,
    tasks: JoinSet<()>,
    services: BTreeMap<String, Follower>,
    /// How many there have been.
    followers: u64,
    /// Services that the manager knows from before, though nobody follows them.
    known: BTreeSet<String>,
    first: Option<First>,
    catalog_is_known: bool,
}

struct Follower {
    number: u64,
    task: AbortHandle,
}

/// What is found at first is passed on together: a job whose section was edited would lose what the
/// others will find as soon as one has answered.
struct First {
    groups: Vec<TargetGroup>,
    waiting: BTreeSet<String>,
    until: Instant,
}

impl Following {
    fn begin(&mut self) {
        if self.config.needs_catalog() {
            let (api, news) = (Arc::clone(&self.api), self.news.clone());
            let whose = Arc::clone(&self.context.whose);
            self.tasks.spawn(follow_catalog(api, whose, self.config.refresh_interval, news));
        } else {
            for name in self.config.services.clone() {
                self.start(name);
            }
            self.await_first();
        }
    }

    fn start(&mut self, name: String) {
        let number = self.followers;
        self.followers += 1;
        let following = follow_service(
            Arc::clone(&self.api),
            Arc::clone(&self.context.whose),
            self.config.clone(),
            self.datacenter.clone(),
            name.clone(),
            number,
            self.news.clone(),
        );
        let task = self.tasks.spawn(following);
        self.services.insert(name, Follower { number, task });
    }

    fn await_first(&mut self) {
        let waiting = self.services.keys().cloned().collect();
        self.first = Some(First { groups: Vec::new(), waiting, until: Instant::now() + FIRST_MAX });
    }

    /// `false` if it is time to stop.
    async fn hear(&mut self, news: News) -> bool {
        match news {
            News::Service { follower, group } => {
                let follower_now = self.services.get(&group.source).map(|known| known.number);
                // The last words of one that was stopped are not news.
                follower_now != Some(follower) || self.tell(vec![group]).await
            }
            News::Catalog(catalog) => self.take(&catalog).await,
        }
    }

    /// Follows what is new in the catalog. A service goes when its name does: that it has lost a
    /// tag is told by its instances.
    async fn take(&mut self, catalog: &BTreeMap<String, Vec<String>>) -> bool {
        for (name, tags) in catalog {
            if !self.services.contains_key(name) && self.config.wants(name, tags) {
                self.start(name.clone());
            }
        }
        let mut gone = Vec::new();
        for (name, follower) in self.services.extract_if(.., |name, _| !catalog.contains_key(name))
        {
            follower.task.abort();
            self.context.whose.works(&part("health/service", Some(&name)));
            gone.push(name);
        }
        let known = std::mem::take(&mut self.known);
        gone.extend(known.into_iter().filter(|name| !self.services.contains_key(name)));
        let is_first = !self.catalog_is_known;
        if is_first {
            self.catalog_is_known = true;
            self.await_first();
        }
        let nothing = |source| TargetGroup { source, ..TargetGroup::default() };
        let gone: Vec<TargetGroup> = gone.into_iter().map(nothing).collect();
        // That there is nothing is an answer, too.
        (gone.is_empty() && !is_first) || self.tell(gone).await
    }

    /// Passes groups on, unless there is more to wait for. `false` if it is time to stop.
    async fn tell(&mut self, mut groups: Vec<TargetGroup>) -> bool {
        if let Some(mut first) = self.first.take() {
            for group in &groups {
                first.waiting.remove(&group.source);
            }
            first.groups.append(&mut groups);
            if !first.waiting.is_empty() && Instant::now() < first.until {
                self.first = Some(first);
                return true;
            }
            groups = first.groups;
        }
        self.context.send(groups).await
    }
}

async fn follow_catalog(
    api: Arc<Api>,
    whose: Arc<Whose>,
    every: Duration,
    news: mpsc::Sender<News>,
) {
    let mut questions = Questions::new(every);
    loop {
        let index = questions.next().await;
        let answer = api.services(index).await;
        if answer.is_ok() {
            whose.works(&part("catalog/services", None));
        }
        match answer {
            Ok(answer) if questions.is_new(answer.index) => {
                if news.send(News::Catalog(answer.value)).await.is_err() {
                    return;
                }
            }
            Ok(_) => {}
            Err(error) => failed(&whose, "catalog/services", None, &error, every).await,
        }
    }
}

async fn follow_service(
    api: Arc<Api>,
    whose: Arc<Whose>,
    config: Config,
    datacenter: String,
    name: String,
    follower: u64,
    news: mpsc::Sender<News>,
) {
    let mut questions = Questions::new(config.refresh_interval);
    loop {
        let index = questions.next().await;
        let answer = api.instances(&name, index).await;
        if answer.is_ok() {
            whose.works(&part("health/service", Some(&name)));
        }
        match answer {
            Ok(answer) if questions.is_new(answer.index) => {
                let group = group(&name, &datacenter, &config.tag_separator, &answer.value);
                if news.send(News::Service { follower, group }).await.is_err() {
                    return;
                }
            }
            Ok(_) => {}
            Err(error) => {
                let name = Some(name.as_str());
                failed(&whose, "health/service", name, &error, config.refresh_interval).await;
            }
        }
    }
}

/// Tells of a failure, and leaves the server alone for a while.
async fn failed(
    whose: &Whose,
    call: &'static str,
    service: Option<&str>,
    error: &ApiError,
    refresh_interval: Duration,
) {
    let error = chain(error);
    whose.failed(part(call, service), error.as_str());
    tracing::warn!(
        config = %whose,
        discovery = whose.kind,
        server = whose.server,
        call,
        service,
        kept_targets = whose.kept(),
        error,
        "cannot learn from Consul what there is"
    );
    sleep(RETRY_MAX.min(refresh::interval_of(refresh_interval))).await;
}

/// What fails, as people are told.
fn part(call: &str, service: Option<&str>) -> Part {
    Part::Named(service.map_or_else(|| call.to_owned(), |service| format!("{call}/{service}")))
}

/// When to ask, and from which index on.
pub(super) struct Questions {
    ticks: Interval,
    index: u64,
}

impl Questions {
    pub(super) fn new(refresh_interval: Duration) -> Self {
        let mut ticks = interval(refresh::interval_of(refresh_interval));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self { ticks, index: 0 }
    }

    /// Waits until it is time for the next question, and says which index it names.
    async fn next(&mut self) -> u64 {
        self.ticks.tick().await;
        self.index
    }

    #[cfg(test)]
    pub(super) fn index(&self) -> u64 {
        self.index
    }

    /// Whether an answer has something new. One that goes back comes from a server that has lost
    /// what it knew, and is followed from the beginning.
    pub(super) fn is_new(&mut self, index: u64) -> bool {
        let is_new = index == 0 || index != self.index;
        self.index = if index < self.index { 0 } else { index };
        is_new
    }
}
