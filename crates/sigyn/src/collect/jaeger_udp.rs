//! Jaeger's agent over UDP: datagrams of `emitBatch`, in thrift's compact or binary protocol.
//!
//! Nobody is told what becomes of a datagram, so what is lost here is on the books and nowhere else.

use std::net::SocketAddr;
use std::time::Duration;

use sigyn_model::codec::{DecodeError, jaeger_thrift};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::body::Arrived;
use super::reading::Reading;
use super::{Cause, Intake, Transport};

/// No datagram is larger.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;
/// Datagrams that wait to be decoded. Full means that further ones are dropped, and counted.
const WAITING_MAX: usize = 1024;
/// Datagrams that wait for the store; it groups them into one write.
const AT_ONCE: usize = 64;

/// Takes datagrams until `shutdown`, then stores what has arrived.
pub(crate) async fn run(intake: Intake, socket: UdpSocket, shutdown: CancellationToken) {
    let (arrived_tx, arrived) = mpsc::channel(WAITING_MAX);
    let receiving = receive(intake.clone(), socket, arrived_tx, shutdown);
    tokio::join!(receiving, store(intake, arrived));
}

/// Does nothing else, so that the kernel's buffer, whose losses nobody counts here, is emptied soon.
async fn receive(
    intake: Intake,
    socket: UdpSocket,
    arrived: mpsc::Sender<Arrived>,
    shutdown: CancellationToken,
) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = shutdown.cancelled() => return,
        };
        match received {
            Ok((length, peer)) => {
                wait(&intake, &buffer[..length], peer, &arrived);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot receive a datagram");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Puts a datagram in line, if there is room.
fn wait(intake: &Intake, datagram: &[u8], peer: SocketAddr, arrived: &mpsc::Sender<Arrived>) {
    let Ok(place) = arrived.try_reserve() else {
        tracing::debug!(%peer, "dropped a datagram: too many wait");
        return intake.dropped(Transport::JaegerUdp, Cause::Queue);
    };
    match intake.try_datagram(datagram) {
        Some(datagram) => place.send(datagram),
        None => {
            tracing::debug!(%peer, "dropped a datagram: no memory is left");
            intake.dropped(Transport::JaegerUdp, Cause::Arriving);
        }
    }
}

async fn store(intake: Intake, mut arrived: mpsc::Receiver<Arrived>) {
    let mut storing = JoinSet::new();
    while let Some(datagram) = arrived.recv().await {
        if storing.len() >= AT_ONCE {
            storing.join_next().await;
        }
        let intake = intake.clone();
        storing.spawn(async move {
            let keeping = intake.keep(Transport::JaegerUdp, datagram, read);
            // Whatever comes of it is counted.
            let _ = intake.message(Transport::JaegerUdp, keeping).await;
        });
    }
    while storing.join_next().await.is_some() {}
}

fn read(datagram: &[u8], reading: &mut Reading) -> Result<(), DecodeError> {
    jaeger_thrift::read_agent_message(datagram, reading)
}
