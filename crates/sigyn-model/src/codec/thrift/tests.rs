//! Both protocols against the `thrift` crate: what it writes we read, and what we write it reads.

use proptest::collection::vec;
use proptest::prelude::*;
use thrift::protocol::{
    TBinaryInputProtocol, TBinaryOutputProtocol, TCompactInputProtocol, TCompactOutputProtocol,
    TFieldIdentifier, TInputProtocol, TListIdentifier, TMapIdentifier, TMessageIdentifier,
    TMessageType, TOutputProtocol, TSetIdentifier, TStructIdentifier, TType,
};

use super::reader::Message;
use super::*;

const PROTOCOLS: [Protocol; 2] = [Protocol::Binary, Protocol::Compact];

/// A value with all that it holds.
#[derive(Clone, Debug)]
enum Node {
    Bool(bool),
    Byte(i8),
    I16(i16),
    I32(i32),
    I64(i64),
    Double(f64),
    Bytes(Vec<u8>),
    Struct(Vec<(i16, Node)>),
    List(Type, Vec<Node>),
    Set(Type, Vec<Node>),
    Map(Type, Type, Vec<(Node, Node)>),
}

/// As [`Node`]s are compared: doubles by their bits, sets as the lists that they are on the wire,
/// types of what is empty not at all.
fn text(node: &Node) -> String {
    let list = |nodes: &[Node]| nodes.iter().map(text).collect::<Vec<_>>().join(",");
    match node {
        Node::Double(value) => format!("Double({:x})", value.to_bits()),
        Node::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(number, node)| format!("{number}={}", text(node))).collect();
            format!("{{{}}}", fields.join(","))
        }
        Node::List(_, nodes) | Node::Set(_, nodes) => format!("[{}]", list(nodes)),
        Node::Map(_, _, entries) => {
            let entries: Vec<String> =
                entries.iter().map(|(key, value)| text(key) + ":" + &text(value)).collect();
            format!("<{}>", entries.join(","))
        }
        scalar => format!("{scalar:?}"),
    }
}

fn kind(node: &Node) -> Type {
    match node {
        Node::Bool(_) => Type::Bool,
        Node::Byte(_) => Type::Byte,
        Node::I16(_) => Type::I16,
        Node::I32(_) => Type::I32,
        Node::I64(_) => Type::I64,
        Node::Double(_) => Type::Double,
        Node::Bytes(_) => Type::Bytes,
        Node::Struct(_) => Type::Struct,
        Node::List(..) => Type::List,
        Node::Set(..) => Type::Set,
        Node::Map(..) => Type::Map,
    }
}

/// The `thrift` crate's word for a type.
fn their(kind: Type) -> TType {
    match kind {
        Type::Bool => TType::Bool,
        Type::Byte => TType::I08,
        Type::I16 => TType::I16,
        Type::I32 => TType::I32,
        Type::I64 => TType::I64,
        Type::Double => TType::Double,
        Type::Bytes => TType::String,
        Type::Struct => TType::Struct,
        Type::Map => TType::Map,
        Type::Set => TType::Set,
        Type::List => TType::List,
        Type::Uuid => TType::Uuid,
    }
}

fn write_theirs(out: &mut dyn TOutputProtocol, node: &Node) -> thrift::Result<()> {
    let count = |nodes: usize| i32::try_from(nodes).unwrap();
    match node {
        Node::Bool(value) => out.write_bool(*value),
        Node::Byte(value) => out.write_i8(*value),
        Node::I16(value) => out.write_i16(*value),
        Node::I32(value) => out.write_i32(*value),
        Node::I64(value) => out.write_i64(*value),
        Node::Double(value) => out.write_double(*value),
        Node::Bytes(bytes) => out.write_bytes(bytes),
        Node::Struct(fields) => {
            out.write_struct_begin(&TStructIdentifier::new(""))?;
            for (number, node) in fields {
                out.write_field_begin(&TFieldIdentifier::new("", their(kind(node)), *number))?;
                write_theirs(out, node)?;
                out.write_field_end()?;
            }
            out.write_field_stop()?;
            out.write_struct_end()
        }
        Node::List(kind, nodes) => {
            out.write_list_begin(&TListIdentifier::new(their(*kind), count(nodes.len())))?;
            nodes.iter().try_for_each(|node| write_theirs(out, node))
        }
        Node::Set(kind, nodes) => {
            out.write_set_begin(&TSetIdentifier::new(their(*kind), count(nodes.len())))?;
            nodes.iter().try_for_each(|node| write_theirs(out, node))
        }
        Node::Map(keys, values, entries) => {
            let head = TMapIdentifier::new(their(*keys), their(*values), count(entries.len()));
            out.write_map_begin(&head)?;
            for (key, value) in entries {
                write_theirs(out, key)?;
                write_theirs(out, value)?;
            }
            Ok(())
        }
    }
}

fn encode_theirs(protocol: Protocol, node: &Node) -> Vec<u8> {
    let mut bytes = Vec::new();
    match protocol {
        Protocol::Binary => {
            write_theirs(&mut TBinaryOutputProtocol::new(&mut bytes, true), node).unwrap();
        }
        Protocol::Compact => {
            write_theirs(&mut TCompactOutputProtocol::new(&mut bytes), node).unwrap();
        }
    }
    bytes
}

fn read_theirs(input: &mut dyn TInputProtocol, kind: TType, depth: u32) -> thrift::Result<Node> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(thrift::Error::from("too deep"));
    };
    // Their types of empty lists are of no interest.
    let any = Type::Bool;
    Ok(match kind {
        TType::Bool => Node::Bool(input.read_bool()?),
        TType::I08 => Node::Byte(input.read_i8()?),
        TType::I16 => Node::I16(input.read_i16()?),
        TType::I32 => Node::I32(input.read_i32()?),
        TType::I64 => Node::I64(input.read_i64()?),
        TType::Double => Node::Double(input.read_double()?),
        TType::String => Node::Bytes(input.read_bytes()?),
        TType::Struct => {
            let mut fields = Vec::new();
            input.read_struct_begin()?;
            loop {
                let field = input.read_field_begin()?;
                if field.field_type == TType::Stop {
                    break;
                }
                let number = field.id.unwrap_or_default();
                fields.push((number, read_theirs(input, field.field_type, depth)?));
                input.read_field_end()?;
            }
            input.read_struct_end()?;
            Node::Struct(fields)
        }
        TType::List => {
            let list = input.read_list_begin()?;
            let nodes = (0..list.size).map(|_| read_theirs(input, list.element_type, depth));
            Node::List(any, nodes.collect::<Result<_, _>>()?)
        }
        TType::Set => {
            let set = input.read_set_begin()?;
            let nodes = (0..set.size).map(|_| read_theirs(input, set.element_type, depth));
            Node::Set(any, nodes.collect::<Result<_, _>>()?)
        }
        TType::Map => {
            let map = input.read_map_begin()?;
            let stop = TType::Stop;
            let (keys, values) = (map.key_type.unwrap_or(stop), map.value_type.unwrap_or(stop));
            let mut entries = Vec::new();
            for _ in 0..map.size {
                entries
                    .push((read_theirs(input, keys, depth)?, read_theirs(input, values, depth)?));
            }
            Node::Map(any, any, entries)
        }
        other => return Err(thrift::Error::from(format!("no value has type {other}"))),
    })
}

fn decode_theirs(protocol: Protocol, bytes: &[u8]) -> thrift::Result<Node> {
    match protocol {
        Protocol::Binary => {
            read_theirs(&mut TBinaryInputProtocol::new(bytes, true), TType::Struct, DEPTH_MAX)
        }
        Protocol::Compact => {
            read_theirs(&mut TCompactInputProtocol::new(bytes), TType::Struct, DEPTH_MAX)
        }
    }
}

fn read_ours<'a>(reader: &mut Reader<'a>, value: Value<'a>) -> Result<Node, ThriftError> {
    Ok(match value {
        Value::Bool(value) => Node::Bool(value),
        Value::Byte(value) => Node::Byte(value),
        Value::I16(value) => Node::I16(value),
        Value::I32(value) => Node::I32(value),
        Value::I64(value) => Node::I64(value),
        Value::Double(value) => Node::Double(value),
        Value::Bytes(bytes) => Node::Bytes(bytes.to_vec()),
        Value::Uuid(bytes) => Node::Bytes(bytes.to_vec()),
        Value::Struct => {
            let mut fields = Vec::new();
            reader.fields(|reader, number, value| {
                fields.push((number, read_ours(reader, value)?));
                Ok(())
            })?;
            Node::Struct(fields)
        }
        Value::List(list) | Value::Set(list) => {
            let mut nodes = Vec::new();
            reader.elements(list, |reader, value| {
                nodes.push(read_ours(reader, value)?);
                Ok(())
            })?;
            Node::List(list.element, nodes)
        }
        // Maps are only skipped.
        Value::Map(keys, values, _) => Node::Map(keys, values, Vec::new()),
    })
}

fn decode_ours(protocol: Protocol, bytes: &[u8]) -> Result<Node, ThriftError> {
    read_ours(&mut Reader::new(protocol, bytes), Value::Struct)
}

/// The same without what is in maps, as we read it.
fn without_maps(node: Node) -> Node {
    let all = |nodes: Vec<Node>| nodes.into_iter().map(without_maps).collect();
    match node {
        Node::Struct(fields) => Node::Struct(
            fields.into_iter().map(|(number, node)| (number, without_maps(node))).collect(),
        ),
        Node::List(kind, nodes) => Node::List(kind, all(nodes)),
        Node::Set(kind, nodes) => Node::Set(kind, all(nodes)),
        Node::Map(keys, values, _) => Node::Map(keys, values, Vec::new()),
        scalar => scalar,
    }
}

fn scalar() -> BoxedStrategy<Node> {
    prop_oneof![
        any::<bool>().prop_map(Node::Bool),
        any::<i8>().prop_map(Node::Byte),
        any::<i16>().prop_map(Node::I16),
        any::<i32>().prop_map(Node::I32),
        any::<i64>().prop_map(Node::I64),
        any::<f64>().prop_map(Node::Double),
        vec(any::<u8>(), 0..4).prop_map(Node::Bytes),
    ]
    .boxed()
}

/// Lists of one type: the first node says which, and those of others are left out.
fn of_one_type(nodes: Vec<Node>) -> (Type, Vec<Node>) {
    let first = nodes.first().map_or(Type::I64, kind);
    (first, nodes.into_iter().filter(|node| kind(node) == first).collect())
}

/// The `thrift` crate's writer cannot take steps that leave 16 bits.
fn number() -> impl Strategy<Value = i16> {
    prop_oneof![1..20i16, 1..20i16, -16_000..16_000i16]
}

fn structure() -> impl Strategy<Value = Node> {
    let node = scalar().prop_recursive(4, 40, 5, |inner| {
        let list = prop_oneof![
            3 => vec(inner.clone(), 0..5),
            1 => vec(any::<bool>().prop_map(Node::Bool), 0..40),
            1 => vec(any::<i64>().prop_map(Node::I64), 0..40),
        ];
        prop_oneof![
            vec((number(), inner.clone()), 0..5).prop_map(Node::Struct),
            list.clone().prop_map(of_one_type).prop_map(|(kind, nodes)| Node::List(kind, nodes)),
            list.prop_map(of_one_type).prop_map(|(kind, nodes)| Node::Set(kind, nodes)),
            (vec(inner.clone(), 0..4), vec(inner, 0..4)).prop_map(|(keys, values)| {
                let ((keys_kind, keys), (values_kind, values)) =
                    (of_one_type(keys), of_one_type(values));
                Node::Map(keys_kind, values_kind, keys.into_iter().zip(values).collect())
            }),
        ]
    });
    vec((number(), node), 0..6).prop_map(Node::Struct)
}

/// Writes what our writer can write: no maps, sets, bytes or doubles.
fn write_ours(writer: &mut Writer, fields: &[(i16, Node)]) {
    for (number, node) in fields {
        match node {
            Node::Bool(value) => writer.bool_field(*number, *value),
            Node::I16(value) => writer.i16_field(*number, *value),
            Node::I32(value) => writer.i32_field(*number, *value),
            Node::I64(value) => writer.i64_field(*number, *value),
            Node::Bytes(bytes) => writer.bytes_field(*number, bytes),
            Node::Struct(fields) => {
                writer.struct_field(*number, |writer| write_ours(writer, fields))
            }
            Node::List(Type::Struct, nodes) => {
                writer.list_field(*number, Type::Struct, nodes.len(), |writer| {
                    for node in nodes {
                        let Node::Struct(fields) = node else { continue };
                        writer.structure(|writer| write_ours(writer, fields));
                    }
                });
            }
            _ => {}
        }
    }
}

fn writable(fields: Vec<(i16, Node)>) -> Vec<(i16, Node)> {
    let keep = |(number, node)| {
        let node = match node {
            Node::Struct(fields) => Node::Struct(writable(fields)),
            Node::List(Type::Struct, nodes) => {
                let nodes = nodes.into_iter().map(|node| match node {
                    Node::Struct(fields) => Node::Struct(writable(fields)),
                    other => other,
                });
                Node::List(Type::Struct, nodes.collect())
            }
            Node::List(..) | Node::Set(..) | Node::Map(..) | Node::Byte(_) | Node::Double(_) => {
                return None;
            }
            node => node,
        };
        Some((number, node))
    };
    fields.into_iter().filter_map(keep).collect()
}

proptest! {
    #[test]
    fn what_others_write_is_read(node in structure()) {
        for protocol in PROTOCOLS {
            let bytes = encode_theirs(protocol, &node);
            let read = decode_ours(protocol, &bytes).unwrap();
            prop_assert_eq!(text(&read), text(&without_maps(node.clone())), "{:?}", protocol);
            // Skipped as a whole, it ends where it ended.
            let field = Node::Struct(vec![(7, node.clone()), (8, Node::Bool(true))]);
            let bytes = encode_theirs(protocol, &field);
            let mut reader = Reader::new(protocol, &bytes);
            let mut seen = Vec::new();
            reader.fields(|_, number, _| { seen.push(number); Ok(()) }).unwrap();
            prop_assert_eq!((seen, reader.rest()), (vec![7, 8], &[][..]));
        }
    }

    #[test]
    fn others_read_what_is_written(node in structure()) {
        let Node::Struct(fields) = node else { return Ok(()) };
        let fields = writable(fields);
        for protocol in PROTOCOLS {
            let mut writer = Writer::new(protocol);
            writer.structure(|writer| write_ours(writer, &fields));
            let bytes = writer.into_bytes();
            let theirs = decode_theirs(protocol, &bytes).unwrap();
            prop_assert_eq!(text(&theirs), text(&Node::Struct(fields.clone())), "{:?}", protocol);
        }
    }
}

proptest! {
    // Each of them is cut at every byte.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn damaged_bytes_are_read_alike_or_refused(
        node in structure(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for protocol in PROTOCOLS {
            let mut bytes = encode_theirs(protocol, &node);
            for length in 0..bytes.len() {
                prop_assert!(decode_ours(protocol, &bytes[..length]).is_err());
            }
            for (at, byte) in &damage {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            if let (Ok(ours), Ok(theirs)) =
                (decode_ours(protocol, &bytes), decode_theirs(protocol, &bytes))
            {
                prop_assert_eq!(text(&ours), text(&without_maps(theirs)), "{:?}", protocol);
            }
        }
    }
}

#[test]
fn a_call_begins_with_its_name() {
    let message = TMessageIdentifier::new("emitBatch", TMessageType::OneWay, -7);
    let expected = |sequence| Message { name: b"emitBatch", kind: 4, sequence };
    for strict in [true, false] {
        let mut bytes = Vec::new();
        TBinaryOutputProtocol::new(&mut bytes, strict).write_message_begin(&message).unwrap();
        let mut reader = Reader::new(Protocol::Binary, &bytes);
        assert_eq!(reader.message(), Ok(expected(-7)), "strict: {strict}");
        assert!(reader.rest().is_empty());
    }
    let mut bytes = Vec::new();
    TCompactOutputProtocol::new(&mut bytes).write_message_begin(&message).unwrap();
    let mut reader = Reader::new(Protocol::Compact, &bytes);
    assert_eq!(reader.message(), Ok(expected(-7)));
    assert!(reader.rest().is_empty());
    for (protocol, bytes) in [
        (Protocol::Compact, [0x81, 0x21, 0, 0, 0, 0, 0, 0]),
        (Protocol::Compact, [0x82, 0x22, 0, 0, 0, 0, 0, 0]),
        (Protocol::Binary, [0x80, 2, 0, 1, 0, 0, 0, 0]),
        (Protocol::Binary, [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
    ] {
        assert_eq!(Reader::new(protocol, &bytes).message(), Err(ThriftError::Message));
    }
}

#[test]
fn what_is_no_struct_is_refused() {
    let check = |protocol, bytes: &[u8], expected: &str| {
        let mut reader = Reader::new(protocol, bytes);
        let error = reader.fields(|_, _, _| Ok(())).unwrap_err();
        assert_eq!(error.to_string(), expected, "{bytes:?}");
    };
    let binary = |bytes: &[u8], expected| check(Protocol::Binary, bytes, expected);
    let compact = |bytes: &[u8], expected| check(Protocol::Compact, bytes, expected);
    binary(&[], "Truncated: length 1 > bytes available 0");
    binary(&[10, 0], "Truncated: length 2 > bytes available 1");
    binary(&[10, 0, 1, 0], "Truncated: length 8 > bytes available 1");
    binary(&[11, 0, 1, 0, 0, 0, 9, 1], "Truncated: length 9 > bytes available 1");
    binary(&[11, 0, 1, 255, 255, 255, 255], "Malformed: length -1");
    // Elements are looked for until there are none.
    binary(&[15, 0, 1, 12, 127, 255, 255, 255, 0], "Truncated: length 1 > bytes available 0");
    binary(&[13, 0, 1, 12, 12, 0, 0, 0, 2, 0], "Truncated: length 1 > bytes available 0");
    binary(&[15, 0, 1, 1, 0, 0, 0, 1, 0], "Malformed: no type has number 1");
    binary(&[9, 0, 1], "Malformed: no type has number 9");
    compact(&[0x19, 0xfc, 0xff, 0x7f, 0], "Truncated: length 1 > bytes available 0");
    compact(
        &[0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x1f, 0],
        "Malformed: 8589934591 where a smaller number belongs",
    );
    compact(&[0x1e], "Malformed: no type has number 14");
    compact(&[0x14, 0x80, 0x80, 0x04], "Malformed: 32768 where a smaller number belongs");
    let long = [&[0x16][..], &[0xff; 9], &[2]].concat();
    compact(&long, "Malformed: a varint of more than 64 bits");
    // Lists in lists, structs in structs.
    binary(&[15, 0, 0, 0, 1].repeat(100)[..3 + 5 * 90], "Malformed: no type has number 0");
    let deep = [&[15, 0, 1][..], &[15, 0, 0, 0, 1].repeat(100)].concat();
    binary(&deep, "Malformed: values nested too deep");
    compact(&[0x1c; 100], "Malformed: values nested too deep");
}

#[test]
fn what_holds_nothing_has_no_type() {
    // An empty map, with zeros for the types of its keys and values.
    let bytes = [13, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0, 2, 1, 0];
    let mut reader = Reader::new(Protocol::Binary, &bytes);
    let mut seen = Vec::new();
    reader
        .fields(|_, number, value| {
            seen.push((number, value));
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, [(1, Value::Map(Type::Bool, Type::Bool, 0)), (2, Value::Bool(true))]);
}
