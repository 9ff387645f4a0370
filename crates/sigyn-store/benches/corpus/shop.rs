//! The shop whose spans these are: its pods, and what its services do.

use fastrand::Rng;
use sigyn_model::{Kind, Resource, Span, Value};

const SERVICES: u32 = 40;
const PODS: u32 = 3;

const THINGS: [&str; 6] = ["orders", "users", "items", "carts", "prices", "invoices"];
const METHODS: [&str; 4] = ["GET", "POST", "GET", "PUT"];
const AGENTS: [&str; 7] = [
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "okhttp/4.12.0",
    "python-requests/2.32.3",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15",
    "Go-http-client/2.0",
    "Java-http-client/21.0.5",
    "kube-probe/1.33",
];

/// One process of a service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pod {
    service: u32,
    number: u32,
}

/// What the spans of a trace have in common.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) user: u32,
    pub(super) order: u64,
}

/// What a span is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    Serve,
    Call,
    Query,
    Publish,
    Compute,
}

impl Pod {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..SERVICES).flat_map(|service| (0..PODS).map(move |number| Self { service, number }))
    }

    pub(super) fn any_of(random: &mut Rng, service: u32) -> Self {
        Self { service: service % SERVICES, number: random.u32(0..PODS) }
    }

    pub(super) fn index(self) -> usize {
        (self.service * PODS + self.number) as usize
    }

    pub(super) fn service(self) -> String {
        service_name(self.service)
    }

    /// A service that this one calls.
    pub(super) fn callee(self, which: u32) -> u32 {
        (self.service * 7 + 3 + which) % SERVICES
    }

    pub(super) fn resource(self) -> Resource {
        let Self { service, number } = self;
        let name = self.service();
        // Something that looks like it came from nowhere, and is the same each time.
        let hash = u64::from(service * PODS + number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let text = |key: &str, value: String| (key.to_owned(), Value::Str(value));
        let tags = vec![
            text("service.name", name.clone()),
            text("service.version", format!("1.{}.{}", service % 9, service % 4)),
            text("service.namespace", "shop".to_owned()),
            text("service.instance.id", format!("{hash:016x}")),
            text("deployment.environment.name", "production".to_owned()),
            text("k8s.pod.name", format!("{name}-{:08x}-{:04x}", hash >> 32, hash & 0xffff)),
            text("k8s.namespace.name", "prod".to_owned()),
            text("k8s.node.name", format!("ip-127-0-{}-{}.internal", service % 7, service % 23)),
            text("k8s.deployment.name", name),
            text("telemetry.sdk.language", "java".to_owned()),
            text("telemetry.sdk.name", "opentelemetry".to_owned()),
            text("telemetry.sdk.version", "1.44.1".to_owned()),
            ("process.pid".to_owned(), Value::Int(1)),
        ];
        let schema_url = "https://opentelemetry.io/schemas/1.28.0".to_owned();
        Resource { tags, dropped_tags: 0, schema_url }
    }
}

fn service_name(service: u32) -> String {
    const WHAT: [&str; 8] =
        ["checkout", "cart", "payment", "catalog", "shipping", "user", "search", "ads"];
    const HOW: [&str; 5] = ["api", "worker", "gateway", "backend", "store"];
    format!("{}-{}", WHAT[service as usize % 8], HOW[service as usize / 8 % 5])
}

impl Operation {
    pub(super) fn choose(random: &mut Rng, is_root: bool) -> Self {
        if is_root {
            return Self::Serve;
        }
        if random.u8(0..100) < 20 {
            return Self::Compute;
        }
        match random.u8(0..7) {
            0 => Self::Serve,
            1 | 2 => Self::Call,
            3..=5 => Self::Query,
            _ => Self::Publish,
        }
    }

    /// Whether it happens in the process that it is asked for in.
    pub(super) fn is_local(self) -> bool {
        matches!(self, Self::Compute)
    }

    /// Gives a span its name, its kind and its tags.
    pub(super) fn describe(
        self,
        random: &mut Rng,
        pod: Pod,
        context: &Context,
        fails: bool,
        span: &mut Span,
    ) {
        let operation = super::rare_more(random, 12);
        let version = 1 + operation % 3;
        let thing = THINGS[((pod.service + operation) % 6) as usize];
        let method = METHODS[(operation % 4) as usize];
        let code = if fails { [500, 503, 404][random.usize(0..3)] } else { 200 };
        let Context { user, order } = context;
        let mut tag = |key: &str, value: Value| span.tags.push((key.to_owned(), value));
        let text = |text: &str| Value::from(text);
        let (name, kind) = match self {
            Self::Serve => {
                let route = format!("/api/v{version}/{thing}/{{id}}");
                let client = [random.u8(0..4), random.u8(0..16), random.u8(0..250)];
                tag("http.request.method", text(method));
                tag("http.route", text(&route));
                tag("url.path", format!("/api/v{version}/{thing}/{order}").into());
                tag("url.scheme", text("https"));
                tag("http.response.status_code", Value::Int(code));
                tag("server.address", address(pod.service));
                tag("server.port", Value::Int(8080));
                let [a, b, c] = client;
                tag("client.address", format!("127.{a}.{b}.{c}").into());
                tag("user_agent.original", text(AGENTS[super::rare_more(random, 7) as usize]));
                tag("network.protocol.version", text("1.1"));
                tag("enduser.id", format!("u-{user:06}").into());
                (format!("{method} {route}"), Some(Kind::Server))
            }
            Self::Call => {
                let callee = (pod.service + operation) % SERVICES;
                let host = format!("{}.prod.svc.cluster.local", service_name(callee));
                let url = format!("https://{host}:8080/api/v{version}/{thing}/{order}?expand=true");
                tag("http.request.method", text(method));
                tag("url.full", url.into());
                tag("server.address", address(callee));
                tag("server.port", Value::Int(8080));
                tag("http.response.status_code", Value::Int(code));
                tag("network.peer.address", format!("127.96.{}.{operation}", callee % 16).into());
                tag("network.protocol.version", text("1.1"));
                (method.to_owned(), Some(Kind::Client))
            }
            Self::Query => {
                let limit = 10 * (1 + operation);
                let query = format!(
                    "SELECT id, name, price, stock, updated_at FROM {thing} WHERE tenant_id = $1 AND status = $2 AND created_at > $3 ORDER BY created_at DESC LIMIT {limit}"
                );
                tag("db.system.name", text("postgresql"));
                tag("db.namespace", text("shop"));
                tag("db.operation.name", text("SELECT"));
                tag("db.collection.name", text(thing));
                tag("db.query.text", query.into());
                tag("server.address", format!("pg-{}.db.internal", pod.service % 5).into());
                tag("server.port", Value::Int(5432));
                let rows = super::rare_more(random, 500);
                tag("db.response.returned_rows", Value::Int(i64::from(rows)));
                (format!("SELECT shop.{thing}"), Some(Kind::Client))
            }
            Self::Publish => {
                tag("messaging.system", text("kafka"));
                tag("messaging.destination.name", format!("{thing}-events").into());
                tag("messaging.operation.type", text("send"));
                tag("messaging.message.id", format!("{:032x}", random.u128(..)).into());
                let partition = random.u8(0..24).to_string();
                tag("messaging.destination.partition.id", partition.into());
                let offset = random.i64(1_000_000..2_000_000);
                tag("messaging.kafka.offset", Value::Int(offset));
                tag("messaging.client.id", format!("producer-{}", pod.index()).into());
                (format!("{thing}-events publish"), Some(Kind::Producer))
            }
            Self::Compute => {
                tag("code.function.name", format!("process{operation}").into());
                tag("code.namespace", format!("com.shop.{thing}.{thing}Service").into());
                let thread = random.u8(0..64);
                tag("thread.name", format!("http-nio-8080-exec-{thread}").into());
                (format!("{thing}Service.process{operation}"), None)
            }
        };
        tag("thread.id", Value::Int(random.i64(20..84)));
        if random.u8(0..10) == 0 {
            tag("feature.flag", text(["a", "b", "control"][random.usize(0..3)]));
        }
        // As it is sent; who reads it puts it in lower case.
        span.name = name;
        span.kind = kind;
    }
}

fn address(service: u32) -> Value {
    format!("{}.prod.svc.cluster.local", service_name(service)).into()
}
