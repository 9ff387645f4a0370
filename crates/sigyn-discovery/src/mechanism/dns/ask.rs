//! One question to one name server.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::Kind;

/// How long a server has for an answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The largest datagram that we say we can take.
const DATAGRAM_BYTES_MAX: u16 = 4096;

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("not a name that can be asked about")]
    Name(#[source] hickory_proto::ProtoError),
    #[error("cannot ask")]
    Io(#[from] io::Error),
    #[error("no answer in time")]
    Timeout,
    #[error("the answer is not DNS")]
    Malformed(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the answer is about something else")]
    Foreign,
    #[error("got truncated message on TCP (64kiB limit exceeded?)")]
    Truncated,
}

/// What a server knows of a name.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: ResponseCode,
    pub(super) records: Vec<RData>,
}

impl Kind {
    fn record_type(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
            Self::Mx => RecordType::MX,
            Self::Ns => RecordType::NS,
            Self::Srv => RecordType::SRV,
        }
    }
}

/// Asks over UDP, and once more over TCP where the answer does not fit. `name` ends with a dot.
pub(super) async fn ask(server: SocketAddr, name: &str, kind: Kind) -> Result<Answer, AskError> {
    let name = Name::from_ascii(name).map_err(AskError::Name)?;
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name, kind.record_type()));
    let plain = question.clone();
    let mut edns = Edns::new();
    edns.set_max_payload(DATAGRAM_BYTES_MAX).set_version(0);
    question.set_edns(edns);
    let mut answer = timeout(TIMEOUT, over_udp(server, &question)).await.map_err(timed_out)??;
    if answer.metadata.truncation {
        answer = timeout(TIMEOUT, over_tcp(server, &plain)).await.map_err(timed_out)??;
        if answer.metadata.truncation {
            return Err(AskError::Truncated);
        }
    }
    let records = answer.answers.into_iter().map(|record| record.data).collect();
    Ok(Answer { code: answer.metadata.response_code, records })
}

fn timed_out(_: tokio::time::error::Elapsed) -> AskError {
    AskError::Timeout
}

async fn over_udp(server: SocketAddr, question: &Message) -> Result<Message, AskError> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    // Then only this server's datagrams come in.
    socket.connect(server).await?;
    socket.send(&bytes(question)?).await?;
    let mut datagram = vec![0; usize::from(DATAGRAM_BYTES_MAX)];
    loop {
        let read = socket.recv(&mut datagram).await?;
        // A late answer to another question, or one that somebody made up: the right one may come.
        match message(question, &datagram[..read]) {
            Err(AskError::Foreign) => {}
            answer => return answer,
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &Message) -> Result<Message, AskError> {
    let mut stream = TcpStream::connect(server).await?;
    let question_bytes = bytes(question)?;
    let length = u16::try_from(question_bytes.len()).unwrap_or(u16::MAX);
    stream.write_all(&[&length.to_be_bytes()[..], &question_bytes].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    message(question, &answer)
}

fn bytes(question: &Message) -> Result<Vec<u8>, AskError> {
    question.to_vec().map_err(|error| AskError::Malformed(error.into()))
}

/// The answer to `question`, if it is one.
fn message(question: &Message, bytes: &[u8]) -> Result<Message, AskError> {
    let id = question.metadata.id.to_be_bytes();
    if bytes.get(..2) != Some(&id[..]) {
        return Err(AskError::Foreign);
    }
    let answer = Message::from_vec(bytes).map_err(|error| AskError::Malformed(error.into()))?;
    let is_answer = answer.metadata.message_type == MessageType::Response;
    // A server that cannot read the question may leave it out.
    if !is_answer || (!answer.queries.is_empty() && answer.queries != question.queries) {
        return Err(AskError::Foreign);
    }
    Ok(answer)
}
