//! Zipkin's v1, read by others in one encoding and handed to our reader of the *other* encoding: what
//! thrift says is said again in JSON, and the other way round. The conversion to v2 has the contract's
//! tables as its test; here both encodings have to mean the same.

use serde_json::{Map, Number, Value, json};
use sigyn_model::codec::{Format, Limits, decode};

use crate::json::{self, Json, bad, boolean, integer, list, object, string};
use crate::proto::text;
use crate::thrift::{self, Protocol, Thrift};
use crate::{Theirs, Trouble};
use ::thrift::protocol::TType;

fn said_again(format: Format, body: &[u8]) -> Result<Theirs, Trouble> {
    match decode(format, body, Limits::default()) {
        Ok(decoded) => Ok(Theirs { spans: decoded.spans, problems: 0 }),
        Err(error) => Err(Trouble::Bad(error.message)),
    }
}

/// A list of thrift spans.
pub(crate) fn read_thrift(protocol: Protocol, body: &[u8]) -> Result<Theirs, Trouble> {
    // Of what type a list says its elements to be is of no interest to us.
    if body.first().is_none_or(|first| first & 0x0f != 12) {
        return Err(Trouble::Unclear);
    }
    let Thrift::List(kind, spans) = thrift::read(protocol, true, body)? else {
        return Err(Trouble::Unclear);
    };
    if kind != TType::Struct {
        return Err(Trouble::Unclear);
    }
    let spans = spans.iter().map(span_as_json).collect::<Result<Vec<_>, _>>()?;
    said_again(Format::ZipkinJsonV1, Value::Array(spans).to_string().as_bytes())
}

fn hex(id: i64) -> Value {
    Value::String(format!("{id:016x}"))
}

fn span_as_json(span: &Thrift) -> Result<Value, Trouble> {
    let mut out = Map::new();
    let (mut low, mut high, mut id) = (0, 0, 0);
    let (mut annotations, mut binary) = (Vec::new(), Vec::new());
    for (field, value) in span.fields() {
        match (field, value) {
            (1, Thrift::I64(value)) => low = *value,
            (12, Thrift::I64(value)) => high = *value,
            (3, Thrift::Bytes(name)) => drop(out.insert("name".into(), text(name).into())),
            (4, Thrift::I64(value)) => id = *value,
            (5, Thrift::I64(value)) => {
                out.remove("parentId");
                if *value != 0 {
                    out.insert("parentId".into(), hex(*value));
                }
            }
            (6, Thrift::List(kind, values)) => {
                if *kind != TType::Struct && !values.is_empty() {
                    return Err(Trouble::Unclear);
                }
                annotations.extend(values.iter().filter_map(annotation_as_json));
            }
            (8, Thrift::List(kind, values)) => {
                if *kind != TType::Struct && !values.is_empty() {
                    return Err(Trouble::Unclear);
                }
                for value in values {
                    binary.extend(binary_as_json(value)?);
                }
            }
            (9, Thrift::Bool(debug)) => drop(out.insert("debug".into(), (*debug).into())),
            (10, Thrift::I64(us)) => drop(out.insert("timestamp".into(), (*us).into())),
            (11, Thrift::I64(us)) => drop(out.insert("duration".into(), (*us).into())),
            _ => {}
        }
    }
    if low == 0 {
        // With a high half it is an id to JSON, and none to thrift.
        return if high == 0 { bad("traceId == 0") } else { Err(Trouble::Unclear) };
    }
    let high = if high == 0 { String::new() } else { format!("{high:016x}") };
    out.insert("traceId".into(), format!("{high}{low:016x}").into());
    out.insert("id".into(), hex(id));
    out.insert("annotations".into(), annotations.into());
    out.insert("binaryAnnotations".into(), binary.into());
    Ok(Value::Object(out))
}

fn annotation_as_json(annotation: &Thrift) -> Option<Value> {
    let (mut timestamp, mut value, mut endpoint) = (0, String::new(), Value::Null);
    for (field, sent) in annotation.fields() {
        match (field, sent) {
            (1, Thrift::I64(us)) => timestamp = *us,
            (2, Thrift::Bytes(bytes)) => value = text(bytes),
            (3, host @ Thrift::Struct(_)) => endpoint = endpoint_as_json(host),
            _ => {}
        }
    }
    // One without a time is left out of thrift, and makes JSON malformed.
    (timestamp > 0).then(|| json!({"timestamp": timestamp, "value": value, "endpoint": endpoint}))
}

fn binary_as_json(annotation: &Thrift) -> Result<Option<Value>, Trouble> {
    let (mut key, mut bytes, mut kind, mut endpoint) = (String::new(), &[][..], -1, Value::Null);
    for (field, sent) in annotation.fields() {
        match (field, sent) {
            (1, Thrift::Bytes(bytes)) => key = text(bytes),
            (2, Thrift::Bytes(value)) => bytes = value,
            (3, Thrift::I32(number)) => kind = *number,
            (4, host @ Thrift::Struct(_)) => endpoint = endpoint_as_json(host),
            _ => {}
        }
    }
    let value = match kind {
        0 if bytes == [1] && ["sa", "ca", "ma"].contains(&key.as_str()) => Value::Bool(true),
        6 => text(bytes).into(),
        // A value that says nothing of its type.
        -1 => return Err(Trouble::Unclear),
        _ => return Ok(None),
    };
    Ok(Some(json!({"key": key, "value": value, "endpoint": endpoint})))
}

fn endpoint_as_json(host: &Thrift) -> Value {
    let mut out = Map::new();
    for (field, value) in host.fields() {
        match (field, value) {
            (1, Thrift::I32(ip)) => {
                out.remove("ipv4");
                if *ip != 0 {
                    let ip = std::net::Ipv4Addr::from(ip.to_be_bytes());
                    out.insert("ipv4".into(), ip.to_string().into());
                }
            }
            (2, Thrift::I16(port)) => {
                out.insert("port".into(), Number::from(port.cast_unsigned()).into());
            }
            (3, Thrift::Bytes(name)) => drop(out.insert("serviceName".into(), text(name).into())),
            (4, Thrift::Bytes(ip)) => {
                if let Ok(bytes) = <[u8; 16]>::try_from(&ip[..]) {
                    let zeros = bytes[..12].iter().all(|byte| *byte == 0);
                    let loopback = bytes[12..] == [0, 0, 0, 1];
                    if zeros && !loopback {
                        let ip =
                            std::net::Ipv4Addr::new(bytes[12], bytes[13], bytes[14], bytes[15]);
                        out.insert("ipv4".into(), ip.to_string().into());
                    } else {
                        // Spelled without dots, which would make it an IPv4 address.
                        let words: Vec<String> = bytes
                            .chunks(2)
                            .map(|pair| format!("{:x}", u16::from_be_bytes([pair[0], pair[1]])))
                            .collect();
                        out.insert("ipv6".into(), words.join(":").into());
                    }
                } else if let Ok(bytes) = <[u8; 4]>::try_from(&ip[..]) {
                    out.insert("ipv4".into(), std::net::Ipv4Addr::from(bytes).to_string().into());
                }
            }
            _ => {}
        }
    }
    Value::Object(out)
}

/// A list of v1 spans in JSON.
pub(crate) fn read_json(body: &[u8]) -> Result<Theirs, Trouble> {
    if body.is_empty() {
        return Ok(Theirs { spans: Vec::new(), problems: 0 });
    }
    let spans = list(json::first_value(body)?)?;
    let spans = spans.into_iter().map(span_as_thrift).collect::<Result<Vec<_>, _>>()?;
    let bytes = thrift::write(Protocol::Binary, &Thrift::List(TType::Struct, spans));
    said_again(Format::ZipkinThrift, &bytes)
}

fn id(value: Json) -> Result<(u64, u64), Trouble> {
    let text = string(value)?;
    let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if text.is_empty() || text.len() > 32 || !digits {
        return bad(text);
    }
    let low = u64::from_str_radix(&text[text.len().saturating_sub(16)..], 16).expect("digits");
    let high =
        if text.len() == 32 { u64::from_str_radix(&text[..16], 16).expect("digits") } else { 0 };
    Ok((high, low))
}

fn span_as_thrift(span: Json) -> Result<Thrift, Trouble> {
    let mut out = Vec::new();
    let (mut annotations, mut binary) = (Vec::new(), Vec::new());
    let (mut trace_id, mut own_id) = (None, None);
    for (key, value) in object(span)? {
        if value == Json::Null && key != "traceId" && key != "id" {
            continue;
        }
        match key.as_str() {
            "traceId" => trace_id = Some(id(value)?),
            "id" => own_id = Some(id(value)?.1),
            "parentId" => out.push((5, Thrift::I64(id(value)?.1.cast_signed()))),
            "name" => out.push((3, Thrift::Bytes(string(value)?.into_bytes()))),
            "timestamp" => out.push((10, Thrift::I64(integer(value)?))),
            "duration" => out.push((11, Thrift::I64(integer(value)?))),
            "debug" => out.push((9, Thrift::Bool(boolean(value)?))),
            "annotations" => {
                for value in list(value)? {
                    annotations.push(annotation_as_thrift(value)?);
                }
            }
            "binaryAnnotations" => {
                for value in list(value)? {
                    binary.extend(binary_as_thrift(value)?);
                }
            }
            _ => {}
        }
    }
    let (Some((high, low)), Some(own_id)) = (trace_id, own_id) else {
        return bad("an id is missing");
    };
    if low == 0 && high != 0 {
        return Err(Trouble::Unclear);
    }
    let number = |number: u64| Thrift::I64(number.cast_signed());
    out.extend([(1, number(low)), (12, number(high)), (4, number(own_id))]);
    out.push((6, Thrift::List(TType::Struct, annotations)));
    out.push((8, Thrift::List(TType::Struct, binary)));
    Ok(Thrift::Struct(out))
}

fn annotation_as_thrift(annotation: Json) -> Result<Thrift, Trouble> {
    let (mut us, mut text, mut host) = (None, None, None);
    for (key, value) in object(annotation)? {
        match (key.as_str(), value) {
            ("timestamp" | "value" | "endpoint", Json::Null) => {}
            ("timestamp", value) => us = Some(integer(value)?),
            ("value", value) => text = Some(string(value)?),
            ("endpoint", value) => host = Some(endpoint_as_thrift(value)?),
            _ => {}
        }
    }
    let (Some(text), Some(us)) = (text, us) else { return bad("incomplete annotation") };
    let mut fields = vec![(1, Thrift::I64(us)), (2, Thrift::Bytes(text.into_bytes()))];
    fields.extend(host.map(|host| (3, host)));
    Ok(Thrift::Struct(fields))
}

fn binary_as_thrift(annotation: Json) -> Result<Option<Thrift>, Trouble> {
    let (mut key, mut value, mut host) = (None, None, None);
    for (name, sent) in object(annotation)? {
        match (name.as_str(), sent) {
            ("key" | "endpoint", Json::Null) => {}
            ("key", sent) => key = Some(string(sent)?),
            ("value", Json::Str(text)) => value = Some((6, text.into_bytes())),
            ("value", Json::Bool(true)) => value = Some((0, vec![1])),
            ("value", _) => value = None,
            ("endpoint", sent) => host = Some(endpoint_as_thrift(sent)?),
            _ => {}
        }
    }
    let Some(key) = key else { return bad("no key") };
    let Some((kind, bytes)) = value else { return Ok(None) };
    let mut fields = vec![
        (1, Thrift::Bytes(key.into_bytes())),
        (2, Thrift::Bytes(bytes)),
        (3, Thrift::I32(kind)),
    ];
    fields.extend(host.map(|host| (4, host)));
    Ok(Some(Thrift::Struct(fields)))
}

fn endpoint_as_thrift(value: Json) -> Result<Thrift, Trouble> {
    let Some(endpoint) = json::endpoint(value)? else { return Ok(Thrift::Struct(Vec::new())) };
    let mut fields = vec![
        (2, Thrift::I16(endpoint.port.cast_signed())),
        (3, Thrift::Bytes(endpoint.service_name.into_bytes())),
    ];
    // Thrift's zero is no address, and its IPv6 bytes with zeros in front are IPv4.
    match endpoint.ipv4.map(|ip| i32::from_be_bytes(ip.octets())) {
        Some(0) => return Err(Trouble::Unclear),
        Some(ip) => fields.push((1, Thrift::I32(ip))),
        None => {}
    }
    if let Some(ip) = endpoint.ipv6 {
        if ip.octets()[..12].iter().all(|byte| *byte == 0) && !ip.is_loopback() {
            return Err(Trouble::Unclear);
        }
        fields.push((4, Thrift::Bytes(ip.octets().to_vec())));
    }
    Ok(Thrift::Struct(fields))
}
