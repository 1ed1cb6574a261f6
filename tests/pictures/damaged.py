#!/usr/bin/env python3
"""Copies of a picture whose recipes say something else, each with one note replaced.
usage: damaged.py PNG FOLDER     prints how many"""
import struct
import sys
import zlib

JUNK = (b"", b"x" * 5000, b"{}", b'{"a":"1"}', b"export png FILE attn layer 99", b"99999999999999999999", b"shell true; quit")


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


data, at, chunks, n = open(sys.argv[1], "rb").read(), 8, [], 0
while at < len(data):
    (length,) = struct.unpack(">I", data[at:at + 4])
    chunks.append((data[at + 4:at + 8], data[at + 8:at + 8 + length]))
    at += 12 + length
for i, (kind, body) in enumerate(chunks):
    if kind != b"tEXt":
        continue
    for junk in JUNK:
        bad = list(chunks)
        bad[i] = (kind, body.split(b"\0", 1)[0] + b"\0" + junk)
        with open("%s/damaged%03d.png" % (sys.argv[2], n), "wb") as out:
            out.write(data[:8] + b"".join(chunk(*c) for c in bad))
        n += 1
print(n)
