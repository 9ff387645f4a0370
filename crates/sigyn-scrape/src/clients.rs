//! One client for all jobs that ask in the same way, so that they share connections.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sigyn_discovery::http::{Client, ClientError, Config, Options};

/// Clients by what the configuration says of them.
#[derive(Debug, Default)]
pub(crate) struct Clients(Mutex<HashMap<Config, Client>>);

impl Clients {
    /// The client of a job.
    pub(crate) fn of(&self, config: &Config) -> Result<Client, ClientError> {
        if let Some(client) = self.lock().get(config) {
            return Ok(client.clone());
        }
        let client = Client::new(config, Options::default())?;
        self.lock().insert(config.clone(), client.clone());
        Ok(client)
    }

    /// Forgets clients that no job has any more. Their connections end with the last scrape.
    pub(crate) fn retain(&self, is_used: impl Fn(&Config) -> bool) {
        self.lock().retain(|config, _| is_used(config));
    }

    /// A map is whole after every statement, so a panic elsewhere does no harm to it.
    fn lock(&self) -> MutexGuard<'_, HashMap<Config, Client>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_equal_is_shared_and_what_is_unused_goes() {
        let clients = Clients::default();
        let other = Config { follow_redirects: false, ..Config::default() };
        for config in [Config::default(), other.clone(), Config::default()] {
            clients.of(&config).unwrap();
        }
        assert_eq!(clients.lock().len(), 2);
        clients.retain(|config| *config == other);
        assert_eq!(clients.lock().keys().collect::<Vec<_>>(), [&other]);
    }
}
