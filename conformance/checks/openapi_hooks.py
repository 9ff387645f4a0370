"""How the generator of openapi.py makes bodies that are not JSON: bytes that are nothing, and now and then a message that is."""

import schemathesis
from hypothesis import strategies as st

# One span in each binary format: trace 1, span 2.
PROTO3 = bytes.fromhex("0a170a0800000000000000011a0800000000000000022a0161")
THRIFT = bytes.fromhex("0c000000010a000100000000000000010b0003000000000a000400000000000000020f00060c000000000f00080c0000000000")

for media_type, message in {
    "application/x-protobuf": PROTO3,
    "application/x-thrift": THRIFT,
    "application/vnd.apache.thrift.binary": THRIFT,
    "application/vnd.apache.thrift.compact": THRIFT,
}.items():
    schemathesis.openapi.media_type(media_type, st.one_of(st.binary(max_size=200), st.just(message)))
