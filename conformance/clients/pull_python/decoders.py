"""What Python reads of a target's answers: the bodies at URL/gzip and URL/zstd in every way that its users read bodies."""

import gzip
import hashlib
import io
import json
import sys
import urllib.request
import zlib

import requests
import urllib3
import zstandard
from backports import zstd as standard

URL = sys.argv[1]


def fetch(coding):
    request = urllib.request.Request(f"{URL}/{coding}", headers={"Accept-Encoding": coding})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()


def zlib_loop(packed):
    plain = b""
    while packed:
        decoder = zlib.decompressobj(wbits=31)
        plain += decoder.decompress(packed) + decoder.flush()
        packed = decoder.unused_data
    return plain


def get(coding, library):
    headers = {"Accept-Encoding": coding}
    if library is requests:
        return requests.get(f"{URL}/{coding}", headers=headers, timeout=10).content
    return urllib3.request("GET", f"{URL}/{coding}", headers=headers, timeout=10).data


packed_gzip, packed_zstd = fetch("gzip"), fetch("zstd")
zstd = zstandard.ZstdDecompressor()
WAYS = {
    "gzip.decompress": lambda: gzip.decompress(packed_gzip),
    "gzip.GzipFile": lambda: gzip.GzipFile(fileobj=io.BytesIO(packed_gzip)).read(),
    "zlib.decompressobj": lambda: zlib.decompressobj(wbits=31).decompress(packed_gzip),
    "zlib.decompressobj, in a loop": lambda: zlib_loop(packed_gzip),
    "requests, gzip": lambda: get("gzip", requests),
    "urllib3, gzip": lambda: get("gzip", urllib3),
    "requests, zstd": lambda: get("zstd", requests),
    "urllib3, zstd": lambda: get("zstd", urllib3),
    # What Python has had of its own since 3.14.
    "compression.zstd": lambda: standard.decompress(packed_zstd),
    "compression.zstd, ZstdDecompressor": lambda: standard.ZstdDecompressor().decompress(packed_zstd),
    "zstandard, decompress": lambda: zstd.decompress(packed_zstd),
    "zstandard, stream_reader": lambda: zstd.stream_reader(io.BytesIO(packed_zstd)).read(),
    "zstandard, stream_reader, read_across_frames": lambda: zstd.stream_reader(
        io.BytesIO(packed_zstd), read_across_frames=True
    ).read(),
}

told = []
for name, read in WAYS.items():
    try:
        told.append({"name": name, "sha256": hashlib.sha256(read()).hexdigest()})
    except Exception as error:  # noqa: BLE001: whatever a decoder raises is what it says of the body
        told.append({"name": name, "error": str(error)})
print(json.dumps(told))
