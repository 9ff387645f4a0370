//! Traces that are asked for although nobody sampled them: in a header, and as the body of `POST /traces/collect`.

use super::PullError;
use crate::TraceId;
use crate::codec::json::{JsonError, Scanner};

/// Ids in one header ([`KEPT`](super::KEPT), [`COLLECT`](super::COLLECT)).
pub const TRACE_IDS_MAX: usize = 128;
/// Ids in one body.
pub const COLLECT_IDS_MAX: usize = 1_000;
const ID: &str = "the id of a trace (1 to 32 hexadecimal digits)";

/// Reads ids of traces, separated by commas. What is none is left out, and so is what is too much.
pub fn parse_trace_ids(text: &str) -> Vec<TraceId> {
    text.split(',').filter_map(|id| read(id.trim())).take(TRACE_IDS_MAX).collect()
}

/// Writes ids of traces as [`parse_trace_ids`] reads them.
pub fn trace_ids(ids: &[TraceId]) -> String {
    let ids = ids.iter().take(TRACE_IDS_MAX).map(|id| format!("{:032x}", id.as_u128()));
    ids.collect::<Vec<_>>().join(",")
}

/// Reads `{"ids":["4bf92f3577b34da6a3ce929d0e0e4736"]}`. Other members are left out.
pub fn parse_collect(body: &str) -> Result<Vec<TraceId>, PullError> {
    let mut ids = Vec::new();
    let (mut bad, mut is_named) = (None, false);
    let mut json = Scanner::new(body);
    let all = json.object(|json, key| {
        if key != "ids" {
            return json.skip();
        }
        is_named = true;
        json.list(|json, _| {
            let text = json.text()?.map(|text| text.read().into_owned()).unwrap_or_default();
            let Some(id) = read(&text) else {
                bad = Some(text);
                return Err(JsonError::new("no id"));
            };
            ids.push(id);
            if ids.len() > COLLECT_IDS_MAX {
                return Err(JsonError::new("too many"));
            }
            Ok(())
        })
    });
    match all {
        Ok(()) if is_named && json.peek().is_none() => Ok(ids),
        _ => Err(match bad {
            Some(id) => PullError::new(ID, &id),
            None => PullError::new(
                "ids of traces ({\"ids\":[\"1 to 32 hexadecimal digits\"]}, 1000 at most)",
                body,
            ),
        }),
    }
}

/// Reads ids between commas with the same care: what is no id is refused, and so is what is too much.
pub fn parse_collect_query(ids: &str) -> Result<Vec<TraceId>, PullError> {
    let one = |id: &str| read(id.trim()).ok_or_else(|| PullError::new(ID, id));
    // One more than there may be is read, and not all of a text that is far too long.
    let read: Vec<_> =
        ids.split(',').take(COLLECT_IDS_MAX + 1).map(one).collect::<Result<_, _>>()?;
    match read.len() > COLLECT_IDS_MAX {
        true => Err(PullError::new("ids of traces (1000 at most)", ids)),
        false => Ok(read),
    }
}

/// The body that [`parse_collect`] reads.
pub fn collect_body(ids: &[TraceId]) -> String {
    let ids = ids.iter().map(|id| format!("\"{:032x}\"", id.as_u128()));
    format!("{{\"ids\":[{}]}}", ids.collect::<Vec<_>>().join(","))
}

fn read(id: &str) -> Option<TraceId> {
    TraceId::parse(&id.to_ascii_lowercase()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_as_written() {
        let ids = [TraceId::new(1).unwrap(), TraceId::new(u128::MAX).unwrap()];
        assert_eq!(trace_ids(&ids), format!("{:032x},{:032x}", 1, u128::MAX));
        assert_eq!(parse_trace_ids(&trace_ids(&ids)), ids);
        assert_eq!(parse_trace_ids(&format!("x, 01,,{} ", "F".repeat(32))), ids);
        assert_eq!(parse_trace_ids(&"1,".repeat(1_000)).len(), TRACE_IDS_MAX);
        assert_eq!(parse_collect(&collect_body(&ids)).unwrap(), ids);
        assert_eq!(parse_collect(" {\"why\": [{}], \"ids\": [ \"1\" ] } ").unwrap(), [ids[0]]);
        assert_eq!(parse_collect("{\"ids\":[]}").unwrap(), []);
    }

    #[test]
    fn what_names_no_traces_is_refused() {
        let many = format!("{{\"ids\":[{}\"1\"]}}", "\"1\",".repeat(COLLECT_IDS_MAX));
        for text in [
            "",
            "[]",
            "{}",
            "{\"id\":[]}",
            "{\"ids\":[\"0\"]}",
            "{\"ids\":[\"x\"]}",
            "{\"ids\":\"1\"}",
            "{} {}",
            &many,
        ] {
            assert!(parse_collect(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_id_is_named_and_does_no_harm_to_terminals() {
        let long = format!("z\u{1b}[2J{}", "x".repeat(1_000));
        let named =
            r#"cannot read the id of a trace (1 to 32 hexadecimal digits) from "z\u{1b}[2Jxx"#;
        let in_body = serde_free_body(&long);
        for error in [
            parse_collect_query(&format!("1,{long},2")).unwrap_err().to_string(),
            parse_collect(&in_body).unwrap_err().to_string(),
        ] {
            assert!(error.starts_with(named) && error.len() < 300, "{error}");
        }
        for text in ["", "x", "1,", ",1", "0", "1,,2", &"f".repeat(33)] {
            assert!(parse_collect_query(text).is_err(), "{text}");
        }
        let ids = [TraceId::new(1).unwrap(), TraceId::new(0xAB).unwrap()];
        assert_eq!(parse_collect_query("1, aB").unwrap(), ids);
        let as_many = |n: usize| vec!["1"; n].join(",");
        assert_eq!(parse_collect_query(&as_many(COLLECT_IDS_MAX)).unwrap().len(), COLLECT_IDS_MAX);
        assert!(parse_collect_query(&as_many(COLLECT_IDS_MAX + 1)).is_err());
    }

    fn serde_free_body(id: &str) -> String {
        format!("{{\"ids\":[\"{}\"]}}", id.replace('\u{1b}', "\\u001b"))
    }
}
