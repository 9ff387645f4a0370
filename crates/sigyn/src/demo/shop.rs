//! What each service of the shop does when it is asked.

use std::time::Duration;

use http::StatusCode;

use super::scene::Scene;
use super::service::{Call, Failed, Outcome};

/// What a stocktake counts, one span a shelf.
const WAREHOUSE_SHELVES: u32 = 400;

/// Answers one request, whatever the service.
pub(super) async fn handle(mut call: Call) -> (Call, Outcome) {
    let outcome = match call.service.name {
        "storefront" => storefront(&mut call).await,
        "cart" => cart(&call).await,
        "catalog" => catalog(&call).await,
        "pricing" => pricing(&call).await,
        "payment" => payment(&mut call).await,
        "inventory" => inventory(&call).await,
        "shipping" => shipping(&call).await,
        "mailer" => mailer(&call).await,
        _ => legacy_auth().await,
    };
    (call, outcome)
}

async fn storefront(call: &mut Call) -> Outcome {
    ask(call, "legacy-auth", "/session").await?;
    match call.path.as_str() {
        "/" => ask(call, "catalog", "/products").await,
        "/checkout" => checkout(call).await,
        path if path.starts_with("/product/") => {
            ask(call, "catalog", "/products/1").await?;
            ask(call, "pricing", "/quote").await
        }
        path if path.starts_with("/cart") => {
            ask(call, "cart", "/cart").await?;
            ask(call, "pricing", "/quote").await
        }
        path => Err(Failed::new(StatusCode::NOT_FOUND, format!("no page {path}"))),
    }
}

async fn checkout(call: &mut Call) -> Outcome {
    ask(call, "cart", "/cart").await?;
    ask(call, "pricing", "/quote").await?;
    ask(call, "inventory", "/reserve").await?;
    // One retry: a failed payment is a lost customer.
    if ask(call, "payment", "/authorize").await.is_err() {
        call.annotate("retry payment");
        call.tag("retry.attempt", "2");
        ask(call, "payment", "/authorize").await?;
    }
    ask(call, "shipping", "/labels").await?;
    // This client forgets the context, as one client always does.
    if let Some(mailer) = Scene::current().and_then(|scene| scene.any("mailer")) {
        let _ = call.get_without_context(mailer, "/send").await;
    }
    Ok(())
}

async fn cart(call: &Call) -> Outcome {
    call.backend("GET", "redis", ("db.statement", "HGETALL cart:4711"), between(300, 1_500)).await
}

async fn catalog(call: &Call) -> Outcome {
    // The replica in eu-1b has lost an index.
    let time =
        if call.service.zone == "eu-1b" { between(18_000, 60_000) } else { between(2_000, 7_000) };
    let statement = "select * from products where shop = $1 order by rank";
    call.backend("select products", "postgres", ("db.statement", statement), time).await?;
    call.work("render.Rows", between(400, 2_000)).await;
    Ok(())
}

async fn pricing(call: &Call) -> Outcome {
    for _ in 0..fastrand::usize(3..9) {
        call.work("rules.Eval", between(300, 2_500)).await;
    }
    call.backend("GET", "redis", ("db.statement", "GET rate:eur"), between(200, 900)).await?;
    call.backend("vat.Lookup", "vat.example", ("http.path", "/v1/rates/de"), between(2_000, 6_000))
        .await
}

async fn payment(call: &mut Call) -> Outcome {
    call.tag("payment.provider", if fastrand::bool() { "adyen-mock" } else { "stripe-mock" });
    call.work("fraud.Score", between(4_000, 18_000)).await;
    let (slow, broken) = if call.service.zone == "eu-1b" { (6, 25) } else { (1, 3) };
    if fastrand::u32(0..100) < broken {
        let time = between(60_000, 110_000);
        return call.failing_backend("psp.Charge", "psp.example", time, "deadline exceeded").await;
    }
    let charge = between(12_000, 40_000) * slow;
    call.backend("psp.Charge", "psp.example", ("http.path", "/charges"), charge).await?;
    call.backend(
        "insert ledger",
        "postgres",
        ("db.statement", "insert into ledger values ($1, $2)"),
        between(900, 4_000),
    )
    .await
}

async fn inventory(call: &Call) -> Outcome {
    for shelf in 0..fastrand::u32(3..8) {
        call.work(&format!("shelf.Count {shelf}"), between(300, 1_500)).await;
    }
    // Now and then somebody counts the whole warehouse: more spans than the log holds.
    if Scene::current().is_some_and(Scene::counts_everything) {
        for _ in 0..WAREHOUSE_SHELVES {
            call.moment("stocktake.Count");
        }
    }
    let statement = "update stock set n = n - 1 where sku = $1";
    call.backend("update stock", "postgres", ("db.statement", statement), between(1_500, 6_000))
        .await
}

async fn shipping(call: &Call) -> Outcome {
    call.work("route.Plan", between(1_000, 5_000)).await;
    call.backend(
        "POST /labels",
        "carrier.example",
        ("http.path", "/labels"),
        between(8_000, 25_000),
    )
    .await
}

async fn mailer(call: &Call) -> Outcome {
    call.backend("smtp.Send", "smtp.example", ("mail.template", "receipt"), between(3_000, 12_000))
        .await
}

async fn legacy_auth() -> Outcome {
    tokio::time::sleep(between(500, 2_500)).await;
    Ok(())
}

async fn ask(call: &Call, name: &str, path: &str) -> Outcome {
    let peer = Scene::current().and_then(|scene| scene.any(name));
    let peer =
        peer.ok_or_else(|| Failed::new(StatusCode::BAD_GATEWAY, format!("{name} is not there")))?;
    call.get(peer, path).await
}

/// A time in microseconds, mostly near the lower end, as real ones are.
fn between(from_us: u64, to_us: u64) -> Duration {
    let chance = fastrand::f64().powi(3);
    Duration::from_micros(from_us) + Duration::from_micros(to_us - from_us).mul_f64(chance)
}
