"""Spans in the wire formats, written by hand: protobuf, thrift in both its protocols, and v1 JSON.

Nothing here knows what is valid: the suite needs wrong bodies as much as right ones.
"""

import struct

# protobuf


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def key(field, wire):
    return varint(field << 3 | wire)


def number(field, value):
    return key(field, 0) + varint(value)


def fixed64(field, value):
    return key(field, 1) + struct.pack("<Q", value)


def double(field, value):
    return key(field, 1) + struct.pack("<d", value)


def block(field, content):
    if isinstance(content, str):
        content = content.encode()
    return key(field, 2) + varint(len(content)) + content


def proto_endpoint(name=None, ipv4=None, ipv6=None, port=None):
    out = b""
    if name is not None:
        out += block(1, name)
    if ipv4 is not None:
        out += block(2, ipv4)
    if ipv6 is not None:
        out += block(3, ipv6)
    if port is not None:
        out += number(4, port)
    return out


def proto_span(trace_id, span_id, parent=None, kind=None, name=None, ts=None, duration=None, local=None, remote=None,
               annotations=(), tags=(), debug=None, shared=None, more=b""):
    """A Zipkin v2 span; ids are bytes or hexadecimal digits."""
    raw = lambda value: bytes.fromhex(value) if isinstance(value, str) else value  # noqa: E731
    out = block(1, raw(trace_id))
    if parent is not None:
        out += block(2, raw(parent))
    out += block(3, raw(span_id))
    if kind is not None:
        out += number(4, kind)
    if name is not None:
        out += block(5, name)
    if ts is not None:
        out += fixed64(6, ts)
    if duration is not None:
        out += number(7, duration)
    if local is not None:
        out += block(8, local)
    if remote is not None:
        out += block(9, remote)
    for at, value in annotations:
        out += block(10, fixed64(1, at) + block(2, value))
    for tag, value in tags:
        out += block(11, block(1, tag) + (block(2, value) if value is not None else b""))
    if debug is not None:
        out += number(12, debug)
    if shared is not None:
        out += number(13, shared)
    return out + more


def proto_list(*spans):
    return b"".join(block(1, span) for span in spans)


# thrift: a struct is a list of (field id, type, value); types are the names below

BINARY = {"bool": 2, "byte": 3, "double": 4, "i16": 6, "i32": 8, "i64": 10, "string": 11, "struct": 12, "map": 13, "list": 15}
COMPACT = {"bool": 2, "byte": 3, "i16": 4, "i32": 5, "i64": 6, "double": 7, "string": 8, "list": 9, "struct": 12}


def text(value):
    return value.encode() if isinstance(value, str) else value


def binary_value(kind, value):
    if kind == "bool":
        return bytes([1 if value else 0])
    if kind == "byte":
        return struct.pack(">b", value)
    if kind == "double":
        return struct.pack(">d", value)
    if kind in ("i16", "i32", "i64"):
        size = {"i16": 2, "i32": 4, "i64": 8}[kind]
        return (value & (1 << 8 * size) - 1).to_bytes(size, "big")
    if kind == "string":
        return struct.pack(">i", len(text(value))) + text(value)
    if kind == "struct":
        return binary_struct(value)
    of, items = value
    return struct.pack(">bi", BINARY[of], len(items)) + b"".join(binary_value(of, item) for item in items)


def binary_struct(fields):
    out = b""
    for field, kind, value in fields:
        out += struct.pack(">bh", BINARY[kind], field) + binary_value(kind, value)
    return out + b"\0"


def zigzag(value):
    value &= (1 << 64) - 1
    return varint(value << 1 ^ -(value >> 63))


def compact_value(kind, value):
    if kind == "bool":
        return bytes([1 if value else 2])
    if kind == "byte":
        return struct.pack("b", value)
    if kind == "double":
        return struct.pack("<d", value)
    if kind in ("i16", "i32", "i64"):
        return zigzag(value)
    if kind == "string":
        return varint(len(text(value))) + text(value)
    if kind == "struct":
        return compact_struct(value)
    of, items = value
    head = bytes([len(items) << 4 | COMPACT[of]]) if len(items) < 15 else bytes([0xF0 | COMPACT[of]]) + varint(len(items))
    return head + b"".join(compact_value(of, item) for item in items)


def compact_struct(fields):
    out, last = b"", 0
    for field, kind, value in fields:
        code = COMPACT[kind]
        if kind == "bool":
            code = 1 if value else 2
        step = field - last
        out += bytes([step << 4 | code]) if 0 < step < 16 else bytes([code]) + zigzag(field)
        if kind != "bool":
            out += compact_value(kind, value)
        last = field
    return out + b"\0"


# Zipkin v1: the same spans in thrift and in JSON


def host(service=None, ipv4=None, port=None, ipv6=None):
    return {"service": service, "ipv4": ipv4, "port": port, "ipv6": ipv6}


def thrift_host(of):
    fields = []
    if of["ipv4"] is not None:
        fields.append((1, "i32", int.from_bytes(bytes(map(int, of["ipv4"].split("."))), "big")))
    if of["port"] is not None:
        fields.append((2, "i16", of["port"]))
    if of["service"] is not None:
        fields.append((3, "string", of["service"]))
    if of["ipv6"] is not None:
        fields.append((4, "string", of["ipv6"]))
    return fields


TYPES = {"bool": 0, "bytes": 1, "i16": 2, "i32": 3, "i64": 4, "double": 5, "string": 6}


def thrift_fields(trace_id, span_id, name="", parent=None, annotations=(), binary=(), debug=None, ts=None, duration=None,
                  high=None, more=()):
    """A v1 span's fields. Annotations are (time, value, host); binary ones (key, type, bytes, host); hosts may be None."""
    fields = [(1, "i64", trace_id), (3, "string", name), (4, "i64", span_id)]
    if parent is not None:
        fields.append((5, "i64", parent))
    if annotations:
        fields.append((6, "list", ("struct", [
            [(1, "i64", at), (2, "string", value)] + ([(3, "struct", thrift_host(at_host))] if at_host else [])
            for at, value, at_host in annotations
        ])))
    if binary:
        fields.append((8, "list", ("struct", [
            [(1, "string", tag), (2, "string", value), (3, "i32", TYPES[kind])]
            + ([(4, "struct", thrift_host(at_host))] if at_host else [])
            for tag, kind, value, at_host in binary
        ])))
    if debug is not None:
        fields.append((9, "bool", debug))
    if ts is not None:
        fields.append((10, "i64", ts))
    if duration is not None:
        fields.append((11, "i64", duration))
    if high is not None:
        fields.append((12, "i64", high))
    return fields + list(more)


def thrift_list(*spans, element=12, count=None):
    """A list of structs in the binary protocol; `element` and `count` may lie."""
    head = struct.pack(">bi", element, len(spans) if count is None else count)
    return head + b"".join(binary_struct(span) for span in spans)


def v1_json(trace_id, span_id, name="", parent=None, annotations=(), binary=(), debug=None, ts=None, duration=None):
    """The same span as a JSON object. Binary annotations are (key, value, host)."""

    def endpoint(of):
        if of is None:
            return {}
        return {"endpoint": {{"service": "serviceName"}.get(k, k): v for k, v in of.items() if v is not None}}

    span = {"traceId": trace_id, "id": span_id, "name": name}
    if parent is not None:
        span["parentId"] = parent
    if ts is not None:
        span["timestamp"] = ts
    if duration is not None:
        span["duration"] = duration
    if annotations:
        span["annotations"] = [{"timestamp": at, "value": value, **endpoint(of)} for at, value, of in annotations]
    if binary:
        span["binaryAnnotations"] = [{"key": tag, "value": value, **endpoint(of)} for tag, value, of in binary]
    if debug is not None:
        span["debug"] = debug
    return span
