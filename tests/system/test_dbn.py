#!/usr/bin/env python3
"""Databento's files: the bars of trades are the provider's own; counts and symbols of every sample as the provider's library
reads them (databento-dbn, from PyPI into build/venv-dbn)."""
import collections, glob
from lib import *

DBN = os.path.join(DATA, "wire", "databento")
LARGER = os.path.join(DBN, "dbn-larger")
TRADES = os.path.join(LARGER, "futures_trades_2024-07-01T23-58_2024-07-02T00-02.dbn.zst")
MBP1 = os.path.join(LARGER, "futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02.dbn.zst")
MINUTES = os.path.join(LARGER, "futures_ohlcv-1m_2024-07-01T23-40_2024-07-02T00-10.dbn.zst")
VENV = os.path.join(ROOT, "build", "venv-dbn")
READER = """
import json, subprocess, sys, databento_dbn as dbn
for file in sys.argv[1:]:
    data = open(file, "rb").read()
    if data[:4] == b"\\x28\\xb5\\x2f\\xfd":
        data = subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, check=True).stdout
    decoder = dbn.DBNDecoder(upgrade_policy=dbn.VersionUpgradePolicy.AS_IS)
    decoder.write(data)
    meta, *records = decoder.decode()
    rows = []
    for r in records:
        row = {k: getattr(r, k, None) for k in ("instrument_id", "ts_event", "ts_recv", "price", "size", "open", "high", "low", "close", "volume")}
        row["kind"] = str(r.rtype.name if hasattr(r.rtype, "name") else r.rtype).lower().replace("_", "-")
        row["action"] = str(r.action) if hasattr(r, "action") else ""
        row["flags"] = int(getattr(r, "flags", 0) or 0)
        row["book"] = [r.levels[0].bid_px, r.levels[0].ask_px] if getattr(r, "levels", None) else []
        row["name"] = getattr(r, "stype_out_symbol", "")
        row["action_name"] = getattr(r.action, "name", "") if hasattr(r, "action") else ""
        rows.append(row)
    maps = {s: [[str(i["start_date"]), str(i["end_date"]), i["symbol"]] for i in v] for s, v in meta.mappings.items()}
    print(json.dumps({"start": meta.start, "end": meta.end, "maps": maps, "records": rows}))
"""

need_data(TRADES, MBP1, MINUTES)
python = os.path.join(VENV, "bin", "python")
if not os.path.exists(python):
    subprocess.run([sys.executable, "-m", "venv", VENV], capture_output=True)
if subprocess.run([python, "-c", "import databento_dbn"], capture_output=True).returncode:
    subprocess.run([python, "-m", "pip", "install", "-q", "databento-dbn==0.72.0"], capture_output=True)
if subprocess.run([python, "-c", "import databento_dbn"], capture_output=True).returncode:
    print("ok - Databento's library # SKIP databento-dbn could not be installed from PyPI")
    sys.exit(0)
none = rules("none.json", {"id": "none", "expr": "price < 0"})


def theirs(*files):
    p = subprocess.run([python, "-c", READER, *files], capture_output=True, text=True)
    ok(p.returncode == 0, f"the library reads {len(files)} files", p.stderr)
    return [json.loads(line) for line in p.stdout.splitlines()]


def e9(text):
    whole, _, part = text.partition(".")
    return int(whole) * 10**9 + int(part.ljust(9, "0"))


def bars(file, *args):
    ringtape("replay", f"dbn:{file}", "--rules", none, "--bars", path("bars.csv"), "--summary", path("s.json"), *args)
    return [{k: e9(v) if k in ("open", "high", "low", "close") else v if k == "symbol" else int(v) for k, v in row.items() if k != "vwap"}
            for row in csv.DictReader(open(path("bars.csv")))]


# The minutes wholly within what was asked for of the trades, by the provider and by us: every field, and no other.
trades, minutes = theirs(TRADES, MINUTES)
names = {int(i[2]): s for s, v in minutes["maps"].items() for i in v}
covered = {int(i[2]) for v in trades["maps"].values() for i in v}
want = [{"bar_start_ns": r["ts_event"], "symbol": names[r["instrument_id"]], **{k: r[k] for k in ("open", "high", "low", "close", "volume")}}
        for r in minutes["records"] if r["instrument_id"] in covered and trades["start"] <= r["ts_event"] and r["ts_event"] + 60 * 10**9 <= trades["end"]]
counts = collections.Counter(r["ts_event"] // (60 * 10**9) * 60 * 10**9 for r in trades["records"])
for row in want:
    row["trades"] = counts[row["bar_start_ns"]]
ok(len(want) == 4 and len(trades["records"]) == 120, "the trades cover four of the provider's minutes", want)
got = bars(TRADES)
ok(got == want, "our bars are the provider's, in every field", f"{got}\n{want}")
ok(json.load(open(path("s.json")))["messages"]["trade"] == 120, "of 120 trades")
got = bars(MBP1)
ok(got == want, "so are those of the trades in mbp-1", f"{got}\n{want}")
s = json.load(open(path("s.json")))
ok(s["messages"]["trade"] == 120 and s["messages"]["quote"] == 2288 - 120, "which gives 2,168 quotes beside", s)
plain = write("plain.dbn", subprocess.run(["zstd", "-dcq", TRADES], stdout=subprocess.PIPE).stdout)
ok(bars(plain) == want, "and of the file decompressed")
ringtape("run", "--source", f"dbn:{TRADES}", "--rules", none, "--dir", new_dir(), "--speed", "max", "--until-end", "--bars", path("run.csv"))
ok(open(path("run.csv")).read() == open(path("bars.csv")).read(), "run writes the same bars")


def expected(file):
    """What the library's records should become: messages, skipped, symbols of messages."""
    undefined = 2**63 - 1
    ticks, skipped, symbols, live = collections.Counter(), collections.Counter(), set(), {}
    for r in file["records"]:
        kind, action = r["kind"], r["action"][:1]
        if kind == "symbol-mapping":
            live[r["instrument_id"]] = r["name"]
        kind = "definition" if kind == "instrument-def" else kind  # the schema's name
        used = kind in ("mbp-0", "mbp-1", "cmbp-1", "tcbbo", "bbo-1s", "bbo-1m", "cbbo-1s", "cbbo-1m")
        if kind == "status":
            status = r["action_name"].lower().replace("_", "-")
            status = next((short for short in ("new-price", "not-available") if status.startswith(short)), status)
            used = status in ("halt", "pause", "suspend", "trading")
            kind = f"status {status}"
        if not used:
            skipped[kind] += 1
            continue
        if not kind.startswith("status") and action != "T" and (undefined in r["book"]):
            skipped[f"{kind} one-sided"] += 1
            continue
        ticks["status" if kind.startswith("status") else "trade" if action == "T" else "quote"] += 1
        day = time.strftime("%Y-%m-%d", time.gmtime(r["ts_recv"] // 10**9))
        symbols |= {live.get(r["instrument_id"]) or next(s for s, v in file["maps"].items() for a, b, i in v if a <= day < b and int(i) == r["instrument_id"])}
    return ticks, dict(skipped), symbols


def symbol_names(file):
    """The names in the SYMBOL messages (type 6; core/message.h) of raw 64-byte slots."""
    raw = open(file, "rb").read()
    slots = [raw[i:i + 64] for i in range(0, len(raw), 64)]
    starts = [i for i, m in enumerate(slots) if m[12] == 6 and not m[15] & 0x40]
    return {(slots[i + 1][16:] + (slots[i + 2][16:] if i + 2 < len(slots) else b""))[:slots[i][36]].decode() for i in starts}


samples = sorted(f for f in glob.glob(os.path.join(DBN, "**", "*"), recursive=True) if f.endswith((".dbn", ".dbn.zst")))
ok(len(samples) > 60, "there are samples of every version and schema", len(samples))
wrong, records, kinds = [], 0, set()
for file, have in zip(samples, theirs(*samples)):
    ticks, skipped, symbols = expected(have)
    p = ringtape("replay", f"dbn:{file}", "--rules", none, "--messages", path("m.raw"), "--summary", path("s.json"), code=None)
    s = json.load(open(path("s.json"))) if p.returncode == 0 else {}
    found = symbol_names(path("m.raw")) if s else None
    records += len(have["records"])
    kinds |= set(skipped) | set(ticks)
    if not s or (s["rows"], s["messages"]["trade"], s["messages"]["quote"], s["messages"].get("status", 0), s["skipped"], s["rejected"], found) != \
            (len(have["records"]), ticks["trade"], ticks["quote"], ticks["status"], skipped, {}, symbols):
        wrong.append(f"{os.path.basename(file)}: {s or p.stderr}\n   {ticks} {skipped} {symbols} {found}")
ok(not wrong, f"{len(samples)} samples, {records} records: every one is a tick or skipped by kind, as the library reads them", "\n".join(wrong))
ok({"trade", "quote", "mbo", "mbp-10", "definition", "ohlcv-1m", "symbol-mapping", "statistics", "status", "status pre-open", "imbalance"} <= kinds, "of every kind", kinds)

# Halts: every action and reason of the library, written by it.
WRITER = """
import sys, databento_dbn as dbn
at = 1609163400 * 10**9
meta = dbn.Metadata(dataset="XNAS.ITCH", start=at, stype_in=dbn.SType.RAW_SYMBOL, stype_out=dbn.SType.INSTRUMENT_ID, schema=dbn.Schema.STATUS,
                    symbols=["ESH1"], partial=[], not_found=[], mappings=[])
out = open(sys.argv[1], "wb")
out.write(meta.encode())
out.write(bytes(dbn.SymbolMappingMsg(1, 5482, at, dbn.SType.RAW_SYMBOL, "ESH1", dbn.SType.RAW_SYMBOL, "ESH1", at, at)))
out.write(bytes(dbn.TradeMsg(1, 5482, at, 100 * 10**9, 5, dbn.Action.TRADE, dbn.Side.NONE, 0, at)))
for action in sorted(dbn.StatusAction.variants(), key=lambda a: a == dbn.StatusAction.TRADING):
    for reason in dbn.StatusReason.variants():
        at += 10**9
        out.write(bytes(dbn.StatusMsg(1, 5482, at, at + 7, action, reason, dbn.TradingEvent.NONE)))
        print(at, action.name, reason.name)
"""
written = subprocess.run([python, "-c", WRITER, path("halts.dbn")], capture_output=True, text=True)
ok(written.returncode == 0, "the library writes a file of halts", written.stderr)
halted, want, said = False, [], {}
for line in written.stdout.splitlines():
    at, action, reason = line.split()
    now = True if action in ("HALT", "PAUSE", "SUSPEND") else False if action == "TRADING" else halted
    if now != halted:
        want.append((int(at), "halted" if now else "resumed", action, reason))
    halted = now
ringtape("replay", f"dbn:{path('halts.dbn')}", "--rules", none, "--halts", path("halts.jsonl"), "--summary", path("s.json"))
got = [json.loads(line) for line in open(path("halts.jsonl"))]
stamp = lambda ns: time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(ns // 10**9)) + f"{ns % 10**9:09}Z"
ok([(h["symbol"], h["timestamp"], h["type"]) for h in got] == [("ESH1", stamp(at), kind) for at, kind, _, _ in want] and [h["reason"] for h in got] == ["halt", ""],
   "a halt and its end are events", got)
s, each = json.load(open(path("s.json"))), len(written.stdout.splitlines()) // 16
ok(s["messages"]["status"] == 4 * each and sum(s["skipped"].values()) == 12 * each + 1 and len(s["skipped"]) == 13 and not s["rejected"],
   f"of {16 * each} records of 16 actions four become a message, the others are skipped by name", s)

# What has no metadata, or is of before DBN, is refused by name.
for ending, says in ((".dbz", "legacy DBZ"), (".frag", "a fragment"), (".frag.zst", "a fragment")):
    files = glob.glob(os.path.join(DBN, "**", "*" + ending), recursive=True)
    said = [(p := ringtape("replay", f"dbn:{f}", "--rules", none, code=None)).returncode == 2 and says in p.stderr and f in p.stderr for f in files]
    ok(said and all(said), f"{len(said)} files {ending} are refused: {says}", said)
cut = write("cut.dbn", open(plain, "rb").read()[:-11])
p = ringtape("replay", f"dbn:{cut}", "--rules", none, "--summary", path("s.json"), code=3)
ok("record 120 at byte" in p.stderr and json.load(open(path("s.json")))["messages"]["trade"] == 119, "a file cut short: its 119 whole trades are used, the place is said", p.stderr)
done()
