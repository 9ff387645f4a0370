//! Asks one thing after the other, and says how long answers took.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::http::Connection;

/// Reads paths, a line each; says of their answers how many there were, how many had something in them,
/// how many were none, and how long they took, in milliseconds. After `at_most` no more are asked.
pub(crate) fn run(
    to: SocketAddr,
    at_most: Duration,
    paths: impl Iterator<Item = io::Result<String>>,
) -> Result<String, Box<dyn Error + Send + Sync>> {
    let mut connection = Connection::open(to)?;
    let (mut took, mut found, mut failed, mut bytes) = (Vec::new(), 0, 0, 0);
    let began = Instant::now();
    for path in paths {
        let path = path?;
        if began.elapsed() > at_most {
            break;
        }
        let asked = Instant::now();
        let answer = connection.get(&path)?;
        took.push(asked.elapsed().as_secs_f64() * 1e3);
        match answer.status {
            200 => found += usize::from(answer.body.len() > 2),
            // Not in time, or more than may be held.
            500.. => failed += 1,
            status => {
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                return Err(format!("{path}: {status}: {body}").into());
            }
        }
        bytes += answer.body.len();
    }
    took.sort_by(f64::total_cmp);
    let at = |share: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place in it"
        )]
        let place = (took.len().saturating_sub(1) as f64 * share).round() as usize;
        took.get(place).copied().unwrap_or(f64::NAN)
    };
    let (count, p50, p99, most) = (took.len(), at(0.5), at(0.99), at(1.0));
    Ok(format!(
        "asked={count} found={found} failed={failed} bytes={bytes} p50_ms={p50:.3} p99_ms={p99:.3} max_ms={most:.3}"
    ))
}
