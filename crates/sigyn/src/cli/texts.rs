//! The flags of `serve` as texts, for whoever asks a running server with which it was started.

use std::collections::BTreeMap;
use std::path::Path;

use clap::ValueEnum;

use super::ServeFlags;

impl ServeFlags {
    /// Each flag by its name, with its value; the empty text is one that was not given and has no
    /// default of its own.
    pub(crate) fn texts(&self) -> BTreeMap<&'static str, String> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let path = |path: &Path| path.display().to_string();
        [
            ("config.auto-reload", self.auto_reload.to_string()),
            ("config.auto-reload-interval", self.auto_reload_interval.clone()),
            ("config.file", self.config_file.as_deref().map(path).unwrap_or_default()),
            ("enable-feature", self.features.join(",")),
            ("jaeger.udp.binary.listen-address", self.jaeger_udp_binary_listen.clone()),
            ("jaeger.udp.compact.listen-address", self.jaeger_udp_compact_listen.clone()),
            ("log.format", name(self.log_format)),
            ("log.level", name(self.log_level)),
            ("otlp.grpc.listen-address", text(&self.otlp_grpc_listen)),
            ("otlp.http.listen-address", text(&self.otlp_http_listen)),
            ("scrape.discovery-reload-interval", self.discovery_reload_interval.clone()),
            ("scrape.long-polls-max", self.long_polls_max.to_string()),
            ("storage.memory", text(&self.storage_memory)),
            ("storage.path", path(&self.storage_path)),
            ("storage.retention.errors", text(&self.retention_errors)),
            ("storage.retention.size", text(&self.retention_size)),
            ("storage.retention.time", text(&self.retention_time)),
            ("web.config.file", self.web_config_file.as_deref().map(path).unwrap_or_default()),
            ("web.cors.origin", text(&self.cors_origin)),
            ("web.enable-admin-api", self.enable_admin_api.to_string()),
            ("web.enable-lifecycle", self.enable_lifecycle.to_string()),
            ("web.external-url", self.external_url.clone()),
            ("web.listen-address", self.listen.join(",")),
            ("web.max-connections", self.max_connections.to_string()),
            ("web.page-title", self.page_title.clone()),
            ("web.read-timeout", self.read_timeout.clone()),
            ("web.route-prefix", text(&self.route_prefix)),
            ("web.ui-dir", self.ui_dir.as_deref().map(path).unwrap_or_default()),
        ]
        .into()
    }
}

fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use crate::cli::{Cli, Command};

    #[test]
    fn no_flag_is_left_out() {
        let command = Cli::command();
        let serve = command.find_subcommand("serve").unwrap();
        let mut all: Vec<&str> = serve.get_arguments().filter_map(|flag| flag.get_long()).collect();
        all.retain(|name| *name != "help");
        all.sort_unstable();
        let Some(Command::Serve(flags)) = Cli::parse_from(["sigyn", "serve"]).command else {
            panic!("serve is a subcommand");
        };
        assert_eq!(flags.texts().into_keys().collect::<Vec<_>>(), all);
    }

    #[test]
    fn a_flag_has_the_text_it_was_given_with() {
        let flags = [
            "sigyn",
            "serve",
            "--config.file=a.yml",
            "--web.listen-address=127.0.0.1:1",
            "--web.listen-address=127.0.0.2:1",
            "--log.level=warn",
            "--web.enable-lifecycle",
            "--storage.retention.time=7d",
        ];
        let Some(Command::Serve(flags)) = Cli::parse_from(flags).command else {
            panic!("serve is a subcommand");
        };
        let texts = flags.texts();
        for (name, expected) in [
            ("config.file", "a.yml"),
            ("web.listen-address", "127.0.0.1:1,127.0.0.2:1"),
            ("log.level", "warn"),
            ("log.format", "logfmt"),
            ("web.enable-lifecycle", "true"),
            ("web.enable-admin-api", "false"),
            ("web.max-connections", "512"),
            ("storage.retention.time", "7d"),
            ("storage.retention.size", ""),
            ("storage.path", "data/"),
        ] {
            assert_eq!(texts[name], expected, "{name}");
        }
    }
}
