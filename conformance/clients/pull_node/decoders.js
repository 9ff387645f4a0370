// What Node reads of a target's answers: the bodies at URL/gzip and URL/zstd in every way that its users read bodies.
"use strict";

const crypto = require("node:crypto");
const http = require("node:http");
const { promisify } = require("node:util");
const zlib = require("node:zlib");
const fzstd = require("fzstd");

const url = process.argv[2];

function get(coding) {
  return new Promise((resolve, reject) => {
    http.get(`${url}/${coding}`, { headers: { "Accept-Encoding": coding } }, resolve).on("error", reject);
  });
}

async function whole(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

async function main() {
  const packedGzip = await whole(await get("gzip"));
  const packedZstd = await whole(await get("zstd"));
  const fetched = async (coding) => {
    const answer = await fetch(`${url}/${coding}`, { headers: { "Accept-Encoding": coding } });
    return Buffer.from(await answer.arrayBuffer());
  };
  const ways = {
    "zlib.gunzipSync": () => zlib.gunzipSync(packedGzip),
    "zlib.gunzip": () => promisify(zlib.gunzip)(packedGzip),
    "http, zlib.createGunzip": async () => whole((await get("gzip")).pipe(zlib.createGunzip())),
    "fetch, gzip": () => fetched("gzip"),
    "DecompressionStream": () =>
      whole(new Blob([packedGzip]).stream().pipeThrough(new DecompressionStream("gzip"))),
    "fzstd.decompress": () => fzstd.decompress(packedZstd),
  };
  // Newer than the oldest Node that this runs on.
  if (zlib.zstdDecompressSync) {
    ways["zlib.zstdDecompressSync"] = () => zlib.zstdDecompressSync(packedZstd);
  }
  const told = [];
  for (const [name, read] of Object.entries(ways)) {
    try {
      told.push({ name, sha256: crypto.createHash("sha256").update(await read()).digest("hex") });
    } catch (error) {
      told.push({ name, error: String(error) });
    }
  }
  console.log(JSON.stringify(told));
}

main();
