#!/usr/bin/env python3
"""Writes tests/fuzz/corpus/dbn: small files of every version and kind of record, and spoilt ones (net/dbn.h has the layout)."""
import os, struct, subprocess

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus", "dbn")
AT, PX, NONE = 1700000000 * 10**9, 100 * 10**9, 2**63 - 1


def metadata(version, mappings, stypes=(1, 0), ts_out=0):
    width = 22 if version == 1 else 71
    name = lambda s: s.encode().ljust(width, b"\0")
    head = struct.pack("<16sHQQQ", b"TEST.SET", 0xFFFF, AT, AT + 10**9, 0) + (struct.pack("<Q", 0) if version == 1 else b"")
    head += bytes((*stypes, ts_out)) + (struct.pack("<H", width) if version > 1 else b"")
    body = head.ljust(100, b"\0") + struct.pack("<IIII", 0, 0, 0, 0) + struct.pack("<I", len(mappings))
    for raw, intervals in mappings:
        body += name(raw) + struct.pack("<I", len(intervals))
        body += b"".join(struct.pack("<II", a, b) + name(s) for a, b, s in intervals)
    return b"DBN" + struct.pack("<BI", version, len(body)) + body


def record(rtype, size, body=b"", id=7, ts=AT, more=0):
    return (struct.pack("<BBHIQ", (size + more) // 4, rtype, 1, id, ts) + body).ljust(size + more, b"\0")


def tick(rtype, action=b"T", flags=0, price=PX, size=3, bid=PX, ask=PX + 10**7, **more):
    body = struct.pack("<qIccBBQiI", price, size, action, b"B", flags, 0, AT + 5, 0, 1)
    return record(rtype, 80 if rtype else 48, body + (struct.pack("<qqIIII", bid, ask, 1, 2, 1, 1) if rtype else b""), **more)


def mapping(version, id, name):
    width = 22 if version == 1 else 71
    body = b"".join((b"" if version == 1 else b"\1") + n.encode().ljust(width, b"\0") for n in ("ASKED", name))
    return record(0x16, 80 if version == 1 else 176, body, id=id)


def status(action, reason=0, ts=AT, id=7):
    return record(0x12, 40, struct.pack("<QHHHccc", AT + 5, action, reason, 0, b"N", b"Y", b"~"), id=id, ts=ts)


names = [("AAA", [(20231101, 20231201, "7")]), ("BBB", [(20231101, 20231114, "8"), (20231114, 20240101, "9")])]
ticks = [tick(0), tick(1), tick(1, b"A"), tick(1, b"R"), tick(1, b"A", bid=NONE), tick(1, b"M", flags=4), tick(0xB1, b"C"),
         tick(0xC0, b"\0"), tick(0xC3, b"\0"), tick(0xC2), tick(0, id=9), tick(0, id=5), tick(0, price=NONE), tick(0, price=-1),
         tick(0, size=2**32 - 1), tick(0, ts=2**64 - 1), tick(0, b"x")]
others = [record(r, 16 + 8 * i) for i, r in enumerate((0x0A, 0x11, 0x12, 0x13, 0x14, 0x15, 0x17, 0x18, 0x20, 0x21, 0xA0, 0x77))]
halts = [status(a, r) for a, r in ((8, 50), (9, 0), (7, 1), (10, 999), (14, 0), (15, 0), (77, 0))] + [status(8, ts=2**64 - 1), status(8, id=5)]
good = metadata(2, names) + b"".join(ticks)
live = [mapping(3, 7, "LIVE"), tick(0), mapping(3, 7, "OTHER"), tick(0), mapping(3, 8, "")]
files = {f"v{v}": metadata(v, names) + b"".join(ticks + others) + mapping(v, 5, "NEW") + tick(0, id=5) for v in (1, 2, 3)}
files |= {
    "live": metadata(3, [], (255, 0)) + b"".join(live),
    "ts_out": metadata(3, names, ts_out=1) + tick(0, more=8) + tick(1, b"A", more=8) + tick(0),
    "status": metadata(3, names) + b"".join(halts) + tick(0) + record(0x12, 48),
    "inverse": metadata(2, [("7", [(20231101, 20231201, "AAA")])], (0, 1)) + tick(0),
    "no_id": metadata(2, names, (1, 1)),
    "cut": good[:-7],
    "cut_metadata": good[:200],
    "length_0": metadata(1, names) + tick(0) + bytes(48),
    "twice": good + good,
    "fragment": b"".join(ticks),
    "many": metadata(1, names)[:8 + 116] + b"\xff" * 400,
    "long": b"DBN\2\xff\xff\xff\x0f" + good[8:],
    "dbz": struct.pack("<II", 0x184D2A50, 12) + b"DBZ\1TEST.SET",
}
pack = lambda b: subprocess.run(["zstd", "-qc"], input=b, stdout=subprocess.PIPE, check=True).stdout
files["zstd"] = pack(good[:100]) + pack(good[100:333]) + pack(good[333:])
files["zstd_cut"] = files["zstd"][:-5]
os.makedirs(OUT, exist_ok=True)
for name, content in files.items():
    with open(os.path.join(OUT, name), "wb") as f:
        f.write(content)
print(len(files), "files,", sum(map(len, files.values())), "bytes")
