#!/usr/bin/env python3
"""Bad input: a clear message naming what, where, what was expected; nothing crashes; good rows beside bad ones count."""
import random
from lib import *

HEAD = "ts_ns,symbol,price,size\n"
T = 1381239000000000000
none = rules("none.json", {"id": "none", "expr": "price > 1e9"})


def row(i, price="10.00", size="100", symbol="ABC"):
    return f"{T + i * 10**9},{symbol},{price},{size}\n"


def replay(what, content, code, says, *args, counts=None, name=None, kind="csv"):
    """Replays content as a file; checks exit code, the message, and the summary's numbers."""
    file = write(name or "input.csv", content) if content is not None else name
    p = ringtape("replay", f"{kind}:{file}", "--rules", none, "--summary", path("s.json"), *args, code=None)
    good = p.returncode == code and all(w in p.stderr for w in says)
    detail = f"exit {p.returncode}, expected {code}; says: {p.stderr}"
    if good and counts is not None:
        s = json.load(open(path("s.json")))
        have = {"trade": s["messages"]["trade"], **s["rejected"]}
        good, detail = have == counts, f"{have}, expected {counts}"
    ok(good, what, detail)


good = HEAD + "".join(row(i) for i in range(1000))
zst = subprocess.run(["zstd", "-q", "-c", "--no-check", write("good.csv", HEAD + "".join(row(i, size=str(random.Random(i).randint(1, 10**6))) for i in range(50000)))], capture_output=True).stdout
replay("a truncated .zst", zst[: len(zst) // 2], 3, ["cut.csv.zst", "truncated"], name="cut.csv.zst")
replay("a CSV with a missing column", "ts_ns,symbol,size\n1,A,1\n", 2, ["input.csv", "price"])
replay("an empty file", "", 2, ["input.csv"])
bad_rows = [("a negative price", row(1, price="-1"), "price_sign"), ("a price of 0", row(1, price="0"), "price_sign"),
            ("an empty price", row(1, price=""), "price_missing"), ("a price that is no number", row(1, price="ten"), "price_format"),
            ("a price that overflows", row(1, price="99999999999999"), "price_range"),
            ("an empty size", row(1, size=""), "size_missing"), ("a size that is no number", row(1, size="1x"), "size_format"),
            ("a negative size", row(1, size="-5"), "size_format"), ("a size that overflows", row(1, size="99999999999999999999999"), "size_range"),
            ("no symbol", row(1, symbol=""), "symbol_missing"), ("a row cut short", f"{T},ABC\n", "columns"),
            ("a time that is no number", "noon,ABC,10,1\n", "time_format")]
for what, bad, reason in bad_rows:
    replay(f"{what}: counted, the rows beside it count", HEAD + row(0) + bad + row(2), 0, [], counts={"trade": 2, reason: 1})
day = f"{T - 86400 * 10**9},ABC,10.00,100\n"
replay("a time that goes back a day, once", HEAD + row(0) + day + row(2), 0, [], counts={"trade": 2, "time_jump": 1})
replay("a time that leaps forward a day, once", HEAD + row(0) + row(86400) + row(2), 0, [], counts={"trade": 2, "time_jump": 1})
replay("a time that leaps forward a day, confirmed", HEAD + row(0) + row(86400) + row(86401), 0, [], counts={"trade": 3})
replay("no such file", None, 2, ["nowhere.csv"], name="/nowhere.csv")
replay("an unknown kind of source", None, 2, ["cvs", "csv"], name="x", kind="cvs")
noise = bytes(random.Random(1).randrange(256) for _ in range(100000))
replay("random bytes as a CSV", noise, 2, ["noise.csv"], name="noise.csv")
replay("random bytes as a capture", noise, 2, ["noise.rtj"], name="noise.rtj", kind="capture")
os.mkdir(path("empty"))
replay("an empty directory as a capture", None, 2, ["empty"], name=path("empty"), kind="capture")
replay("random bytes as Binance lines", noise, 0, [], name="noise.jsonl", kind="binance-jsonl")


def check(what, text, *says):
    p = ringtape("rules", "check", write("bad.json", text), code=None)
    ok(p.returncode == 2 and all(w in p.stderr for w in ("bad.json", *says)), what, f"exit {p.returncode}: {p.stderr}")


check("a rule with an unknown metric", '[{"id":"a","expr":"prise > 1"}]', "column 1", "prise", "'price'")
check("a condition with an unknown metric", '[{"id":"a","conditions":[{"metric":"volum_5m","operator":">","value":1}]}]', "conditions[0]", "volume_5m")
check("broken JSON", '[{"id":"a",]', "1:")
check("20,000 open brackets", json.dumps([{"id": "a", "expr": "(" * 20000 + "price > 1"}]), "'a'")
check("a period of 1e9", '[{"id":"a","expr":"rsi(1000000000) > 1"}]', "rsi", "1 to 400")
check("a number of 1e999", '[{"id":"a","expr":"price > 1e999"}]', "column 9", "1e999")
check("a half expression", '[{"id":"a","expr":"price >"}]', "column", "number")
check("an unknown field", '[{"id":"a","expr":"price > 1","cooldwon":3}]', "cooldwon", "cooldown")
check("two rules of one id", '[{"id":"a","expr":"price > 1"},{"id":"a","expr":"price > 2"}]', "two rules", "'a'")
ok("'trigger'" in ringtape("rules", "check", write("t.json", '[{"id":"a","expr":"price > 1","tigger":"level"}]'), code=2).stderr, "the nearest known name is given")
check("random bytes as rules", noise.decode("latin1"), "")


def config(what, text, *says):
    p = ringtape("config", "--config", write("bad.ini", text), code=None)
    ok(p.returncode == 2 and all(w in p.stderr for w in ("bad.ini", *says)), what, f"exit {p.returncode}: {p.stderr}")


config("an unknown key", "[bars]\nlatness_ms = 5\n", ":2", "latness_ms", "lateness_ms")
config("a number out of range", "[bars]\nlateness_ms = -5\n", ":2", "-5", "0 to 3600000")
config("a value that is none of the names", "[journal]\nsync = sometimes\n", ":2", "sometimes", "interval")

source = f"csv:{write('ok.csv', good)}"
directory = new_dir()
ringtape("run", "--source", source, "--rules", none, "--dir", directory, "--speed", "max", "--until-end")
p = ringtape("run", "--source", source, "--rules", none, "--dir", directory, "--speed", "max", "--until-end", code=None)
ok(p.returncode == 0 and "this run has ended" in p.stderr, "a directory whose run has ended is not run again, and says so", p.stderr)
p = ringtape("run", "--source", source, "--rules", none, "--dir", new_dir(), "--until-end", "--speed", "max", "--set", "shm.pages=huge", code=None)
huge = int(next(l.split()[1] for l in open("/proc/meminfo") if l.startswith("HugePages_Free")))
if huge == 0:
    ok(p.returncode == 2 and "nr_hugepages" in p.stderr, "no huge pages where they are demanded: the command that fixes it", p.stderr)
p = ringtape("run", "--source", source, "--rules", none, "--dir", new_dir(), "--until-end", "--speed", "max", code=None)
ok(p.returncode == 0 and (huge or p.stderr.count("nr_hugepages") == 1), "… where not: one warning, and it runs", p.stderr)
trades = ("--set", "sinks.kafka=127.0.0.1:1", "--set", "kafka.trades=true", "--until-end", "--speed", "max")
p = ringtape("run", "--source", source, "--rules", none, "--dir", new_dir(), *trades, "--set", "journal.enabled=false", code=None)
ok(p.returncode == 1 and "sink kafka-trades: found kafka.trades = true and journal.enabled = false" in p.stderr, "raw trades without a journal", p.stderr)
p = ringtape("run", "--source", f"capture:{directory}/capture", "--rules", none, "--dir", new_dir(), *trades, code=None)
ok(p.returncode == 1 and "of which no journal is written" in p.stderr, "raw trades of a capture", p.stderr)
p = ringtape("rings", "--dir", path("nothing"), code=None)
ok(p.returncode != 0 and "nothing" in p.stderr, "no running instance", p.stderr)

# a workspace of another version: the magic is kept, the version changed, while the instance runs
directory = new_dir()
run = subprocess.Popen([BIN, "run", "--source", "sim:symbols=10,seed=1", "--rules", none, "--dir", directory], stderr=subprocess.PIPE)
try:
    link = os.path.join(directory, "workspace")
    wait_for(lambda: os.path.exists(link) and ringtape("rings", "--dir", directory, code=None).returncode == 0)
    with open(link, "r+b") as f:
        head = f.read(64)
        f.seek(8)
        f.write((int.from_bytes(head[8:12], "little") ^ 0x55).to_bytes(4, "little"))
        f.flush()
        p = ringtape("rings", "--dir", directory, code=None)
        ok(p.returncode != 0 and "version" in p.stderr and "expected" in p.stderr, "a workspace of another version", p.stderr)
        f.seek(0)
        f.write(head)
finally:
    run.send_signal(signal.SIGINT)
    run.wait(20 * PATIENCE)
ok(run.returncode == 0, "and it ends in good order afterwards", run.returncode)
done()
