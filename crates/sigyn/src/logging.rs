//! Where log lines go: standard error, as logfmt or JSON.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{FmtSpan, Writer};
use tracing_subscriber::fmt::time::FormatTime;

use crate::cli::{LogFormat, LogLevel};

/// Sets up logging for the whole process; a second call changes nothing.
pub(crate) fn start(level: LogLevel, format: LogFormat) {
    let filter = match level {
        // Below that, h2 tells of every frame.
        LogLevel::Debug => "debug,h2=info",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::NONE)
        .with_timer(Rfc3339);
    let set = match format {
        LogFormat::Json => {
            tracing::subscriber::set_global_default(builder.json().flatten_event(true).finish())
        }
        LogFormat::Logfmt => {
            tracing::subscriber::set_global_default(builder.event_format(Logfmt).finish())
        }
    };
    // Only the first subscriber of a process counts: the demo starts a tracer in its own process.
    let _ = set;
}

/// Wall-clock time with milliseconds, in UTC.
struct Rfc3339;

impl FormatTime for Rfc3339 {
    fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
        write!(w, "{:.3}", jiff::Timestamp::now())
    }
}

/// `time=… level=… msg="…" key=value …`, as Prometheus writes it.
struct Logfmt;

impl<S, N> tracing_subscriber::fmt::FormatEvent<S, N> for Logfmt
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    N: for<'a> tracing_subscriber::fmt::FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &tracing_subscriber::fmt::FmtContext<'_, S, N>,
        mut w: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> std::fmt::Result {
        let meta = event.metadata();
        write!(
            w,
            "time={:.3} level={} component={}",
            jiff::Timestamp::now(),
            meta.level().as_str().to_lowercase(),
            component(meta.target())
        )?;
        let mut fields = LogfmtFields { out: String::new() };
        event.record(&mut fields);
        writeln!(w, "{}", fields.out)
    }
}

/// `sigyn_scrape::pool` is the component `scrape`.
fn component(target: &str) -> &str {
    let krate = target.split("::").next().unwrap_or(target);
    krate.strip_prefix("sigyn_").unwrap_or(krate)
}

/// Writes each field as ` key=value`, the message first as `msg`.
struct LogfmtFields {
    out: String,
}

impl LogfmtFields {
    fn put(&mut self, key: &str, value: &str) {
        let item = if value.is_empty()
            || value.contains(|c: char| c.is_whitespace() || c == '"' || c == '=' || c.is_control())
        {
            format!(" {key}={value:?}")
        } else {
            format!(" {key}={value}")
        };
        if key == "msg" {
            self.out.insert_str(0, &item);
        } else {
            self.out.push_str(&item);
        }
    }
}

impl tracing::field::Visit for LogfmtFields {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        self.put(field_name(field), value);
    }

    fn record_error(
        &mut self,
        field: &tracing::field::Field,
        error: &(dyn std::error::Error + 'static),
    ) {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        self.put(field_name(field), &text);
    }

    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.put(field_name(field), &format!("{value:?}"));
    }
}

fn field_name(field: &tracing::field::Field) -> &str {
    if field.name() == "message" { "msg" } else { field.name() }
}
