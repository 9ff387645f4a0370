//! Thrift by Apache's own crate: bytes to a tree, and a tree to bytes.

use ::thrift::protocol::{
    TBinaryInputProtocol, TBinaryOutputProtocol, TCompactInputProtocol, TCompactOutputProtocol,
    TFieldIdentifier, TInputProtocol, TListIdentifier, TOutputProtocol, TStructIdentifier, TType,
};

use crate::Trouble;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Protocol {
    Binary,
    Compact,
}

/// A value, as far as readers of spans tell values apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Thrift {
    Bool(bool),
    I16(i16),
    I32(i32),
    I64(i64),
    Double(f64),
    Bytes(Vec<u8>),
    Struct(Vec<(i16, Thrift)>),
    /// With the type of its elements.
    List(TType, Vec<Thrift>),
    /// What no span holds.
    Other,
}

const DEPTH_MAX: u32 = 30;

/// Reads a struct, or a list that stands alone.
pub(crate) fn read(protocol: Protocol, list: bool, body: &[u8]) -> Result<Thrift, Trouble> {
    let kind = if list { TType::List } else { TType::Struct };
    match protocol {
        Protocol::Binary => value(&mut TBinaryInputProtocol::new(body, false), kind, DEPTH_MAX),
        Protocol::Compact => value(&mut TCompactInputProtocol::new(body), kind, DEPTH_MAX),
    }
}

fn value(input: &mut dyn TInputProtocol, kind: TType, depth: u32) -> Result<Thrift, Trouble> {
    // How deep is too deep is each reader's own affair.
    let depth = depth.checked_sub(1).ok_or(Trouble::Unclear)?;
    // A size below zero is an empty list to us; how long is too long each says for itself.
    let bad = |error: ::thrift::Error| match error.to_string() {
        text if ["negative", "bad data", "too long"].iter().any(|open| text.contains(open)) => {
            Trouble::Unclear
        }
        text => Trouble::Bad(text),
    };
    Ok(match kind {
        TType::Bool => Thrift::Bool(input.read_bool().map_err(bad)?),
        TType::I08 => {
            input.read_i8().map_err(bad)?;
            Thrift::Other
        }
        TType::I16 => Thrift::I16(input.read_i16().map_err(bad)?),
        TType::I32 => Thrift::I32(input.read_i32().map_err(bad)?),
        TType::I64 => Thrift::I64(input.read_i64().map_err(bad)?),
        TType::Double => Thrift::Double(input.read_double().map_err(bad)?),
        TType::String | TType::Utf7 => Thrift::Bytes(input.read_bytes().map_err(bad)?),
        TType::Struct => {
            input.read_struct_begin().map_err(bad)?;
            let mut fields = Vec::new();
            loop {
                let field = input.read_field_begin().map_err(bad)?;
                if field.field_type == TType::Stop {
                    break;
                }
                let value = value(input, field.field_type, depth)?;
                input.read_field_end().map_err(bad)?;
                fields.push((field.id.unwrap_or(0), value));
            }
            input.read_struct_end().map_err(bad)?;
            Thrift::Struct(fields)
        }
        TType::List => {
            let list = input.read_list_begin().map_err(bad)?;
            let values = elements(input, list.element_type, list.size, depth)?;
            Thrift::List(list.element_type, values)
        }
        // A set where a list belongs is a list to us.
        TType::Set => return Err(Trouble::Unclear),
        TType::Map => {
            let map = input.read_map_begin().map_err(bad)?;
            for _ in 0..map.size.max(0) {
                let types = (map.key_type, map.value_type);
                let (Some(key), Some(entry)) = types else { return Err(Trouble::Unclear) };
                value(input, key, depth)?;
                value(input, entry, depth)?;
            }
            Thrift::Other
        }
        // Types that came later, or that nobody writes.
        _ => return Err(Trouble::Unclear),
    })
}

fn elements(
    input: &mut dyn TInputProtocol,
    kind: TType,
    size: i32,
    depth: u32,
) -> Result<Vec<Thrift>, Trouble> {
    (0..size.max(0)).map(|_| value(input, kind, depth)).collect()
}

impl Thrift {
    pub(crate) fn fields(&self) -> &[(i16, Thrift)] {
        match self {
            Self::Struct(fields) => fields,
            _ => &[],
        }
    }
}

/// Writes a struct, or a list that stands alone.
pub(crate) fn write(protocol: Protocol, tree: &Thrift) -> Vec<u8> {
    let mut bytes = Vec::new();
    match protocol {
        Protocol::Binary => put(&mut TBinaryOutputProtocol::new(&mut bytes, true), tree),
        Protocol::Compact => put(&mut TCompactOutputProtocol::new(&mut bytes), tree),
    }
    .expect("memory takes all that is written");
    bytes
}

fn put(output: &mut dyn TOutputProtocol, tree: &Thrift) -> ::thrift::Result<()> {
    match tree {
        Thrift::Bool(value) => output.write_bool(*value),
        Thrift::I16(value) => output.write_i16(*value),
        Thrift::I32(value) => output.write_i32(*value),
        Thrift::I64(value) => output.write_i64(*value),
        Thrift::Double(value) => output.write_double(*value),
        Thrift::Bytes(bytes) => output.write_bytes(bytes),
        Thrift::Struct(fields) => {
            output.write_struct_begin(&TStructIdentifier::new("struct"))?;
            for (id, value) in fields {
                output.write_field_begin(&TFieldIdentifier::new("field", type_of(value), *id))?;
                put(output, value)?;
                output.write_field_end()?;
            }
            output.write_field_stop()?;
            output.write_struct_end()
        }
        Thrift::List(kind, values) => {
            let size = i32::try_from(values.len()).expect("a fuzzer's list is short");
            output.write_list_begin(&TListIdentifier::new(*kind, size))?;
            values.iter().try_for_each(|value| put(output, value))?;
            output.write_list_end()
        }
        Thrift::Other => unreachable!("nothing writes what was not understood"),
    }
}

fn type_of(tree: &Thrift) -> TType {
    match tree {
        Thrift::Bool(_) => TType::Bool,
        Thrift::I16(_) => TType::I16,
        Thrift::I32(_) => TType::I32,
        Thrift::I64(_) => TType::I64,
        Thrift::Double(_) => TType::Double,
        Thrift::Bytes(_) => TType::String,
        Thrift::Struct(_) => TType::Struct,
        Thrift::List(..) => TType::List,
        Thrift::Other => TType::Stop,
    }
}
