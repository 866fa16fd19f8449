#!/usr/bin/env python3
"""The tape into a real Kafka; the publisher killed twice, the broker once: every alert, bar and trade exactly once."""
import calendar
from lib import *

need_data(TAPE)
os.environ["RINGTAPE_BARS_ELIGIBILITY"] = "all"  # the numbers below are of every print
KAFKA = os.path.join(ROOT, "scripts/kafka.sh")
CAT = os.path.join(ROOT, "build", "kafka_cat")
OUTAGE_S = 5


def broker(command):
    p = subprocess.run([KAFKA, command, path("kafka")], capture_output=True, text=True)
    if p.returncode == 77:
        print("ok - kafka # SKIP " + p.stderr.strip().splitlines()[-1])
        sys.exit(0)
    if p.returncode:
        print(f"not ok - scripts/kafka.sh {command}: {p.stderr.strip()}")
        sys.exit(1)
    return p.stdout.strip()


def read(address, topic):
    """The committed records of a topic: (partition, key, value) in the order of each partition."""
    p = subprocess.run([CAT, address, topic], capture_output=True, text=True, timeout=60 * PATIENCE)
    ok(p.returncode == 0, f"topic {topic} can be read", p.stderr)
    return [tuple(line.split("\t")[1:]) for line in p.stdout.splitlines()]


def cursors(address):
    """How far the sinks have come: "kafka" in events, "trades" in messages of the journal."""
    time.sleep(0.2)
    p = subprocess.run([CAT, address, "ringtape.cursors"], capture_output=True, text=True, timeout=60 * PATIENCE)
    at = {"kafka": 0, "trades": 0}
    for line in p.stdout.splitlines() if p.returncode == 0 else []:
        _, _, key, value = line.split("\t")
        at["trades" if key.endswith("/trades") else "kafka"] = int(value.split()[1])
    return at


# A tick in its envelope, member for member: there are too many to parse them all as JSON.
TICK = re.compile(r'{"eventId":"(?P<journal>[0-9a-f]{32})-(?P<seq>[0-9]+)","eventTimestamp":"(?P<time>[^"]+)","sourceService":"ringtape",'
                  r'"schemaVersion":1,"payload":{"symbol":"(?P<symbol>[^"]+)","price":(?P<price>[0-9.]+),"size":(?P<size>[0-9.]+),'
                  r'"timestamp":"(?P<timestamp>[^"]+)","type":"trade","bid":null,"ask":null}}')


def check_trades(address):
    """Every trade of the tape is in market_data, each symbol's in their order. Prices and sizes are compared as text."""
    plain = lambda number: number.rstrip("0").rstrip(".") if "." in number else number
    want, got, ids, last, wrong = {}, {}, set(), {}, []
    for line in list(zstd_lines(TAPE))[1:]:
        ts, symbol, price, size = line.split(",")[:4]
        seconds, ns = divmod(int(ts), 10**9)
        want.setdefault(symbol, []).append((time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{ns:09}Z", plain(price), plain(size)))
    reader = subprocess.Popen([CAT, address, "market_data"], stdout=subprocess.PIPE, text=True)
    for n, line in enumerate(reader.stdout):
        _, partition, key, value = line.rstrip("\n").split("\t")
        t = TICK.fullmatch(value)
        if not t or t["symbol"] != key or t["time"] != t["timestamp"] or int(t["seq"]) <= last.get((key, t["journal"]), 0) or (
                n % 1000 == 0 and json.loads(value)["payload"]["symbol"] != key):
            wrong.append(line)
            continue
        last[key, t["journal"]] = int(t["seq"])
        ids.add((t["journal"], t["seq"]))
        got.setdefault(key, []).append((t["timestamp"], t["price"], t["size"]))
    ok(reader.wait() == 0, "topic market_data can be read")
    ok(not wrong, "topic market_data: each value is the envelope of a tick, each key the symbol, seqs ascend per symbol", "".join(wrong[:3]))
    n = sum(map(len, want.values()))
    ok(n == 654140 and len(ids) == n, f"… {n:,} trades, each with an eventId of its own", len(ids))
    ok(got == want, "… and every trade of the tape exactly once, in order per symbol", {s: (len(got.get(s, [])), len(want[s])) for s in want})


def check_prices(address):
    """Latest prices: the last one of each symbol is the tape's last trade."""
    want, got, wrong = {}, {}, []
    for line in list(zstd_lines(TAPE))[1:]:
        _, symbol, price, size = line.split(",")[:4]
        want[symbol] = (float(price), float(size))
    for _, key, value in read(address, "prices"):
        e = json.loads(value)
        t = e["payload"]
        if (list(e) != ["eventId", "eventTimestamp", "sourceService", "schemaVersion", "payload"] or key != t["symbol"] or
                list(t) != ["symbol", "price", "size", "timestamp"] or e["eventTimestamp"] != t["timestamp"] or
                not e["eventId"].startswith(f"{key}@{t['timestamp']}/{t['price']:g}"[:len(key) + 35])):
            wrong.append(value)
        got[key] = (t["price"], t["size"])
    ok(not wrong, "topic prices: each value is the envelope of a price, each key the symbol", "\n".join(wrong[:3]))
    ok(got == want, "… and the last one of each symbol its last trade", (got, want))


def per_symbol(rows):
    """The rows' texts by symbol, each list in its order."""
    by = {}
    for symbol, text in rows:
        by.setdefault(symbol, []).append(text)
    return by


p = None
port = broker("start")
try:
    address = f"127.0.0.1:{port}"
    file = rules("r.json", *EVERYTHING)
    ringtape("replay", f"csv:{TAPE}", "--rules", file, "--alerts", path("want.jsonl"), "--bars", path("want.csv"))
    # a new broker may need long for its first transaction: a run without a tick waits for that
    ringtape("run", "--source", f"csv:{write('none.csv', 'ts_ns,symbol,price,size' + chr(10))}", "--dir", new_dir(), "--until-end",
             "--set", f"sinks.kafka={address}", "--set", "kafka.trades=true")
    p = subprocess.Popen([BIN, "run", "--source", f"csv:{TAPE}", "--rules", file, "--dir", new_dir(), "--speed", "1000",
                          "--until-end", "--scanners", "2", "--alerts", path("run.jsonl"), "--bars", path("run.csv"),
                          "--set", f"sinks.kafka={address}", "--set", "kafka.batch=200", "--set", "kafka.trades=true",
                          "--set", "kafka.trades_batch=2000", "--drain-timeout", str(60 * PATIENCE)], stderr=open(path("err"), "w"))

    killed, at_kill = set(), [0]
    def under_way(events):
        c = cursors(address)
        return c["kafka"] > events and c["trades"] > at_kill[-1]
    for least in (500, 3000):
        wait_for(lambda: under_way(least), 60)
        at_kill.append(cursors(address)["trades"])
        pid = role_pid(p, "publisher")
        if pid and pid not in killed and p.poll() is None:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
            wait_for(lambda: role_pid(p, "publisher") not in (None, pid), 20)
    wait_for(lambda: under_way(5000), 60)
    before = cursors(address)
    broker("kill")
    time.sleep(OUTAGE_S)
    alive = p.poll() is None
    broker("start")
    ok(alive and wait_for(lambda: cursors(address)["kafka"] > before["kafka"], 60), "the broker was killed in mid-run, the sink went on after it")
    p.wait(timeout=240 * PATIENCE)
    with open(path("err")) as f:
        err = f.read()
    ok(len(killed) == 2, "the publisher was killed twice in mid-run", err)
    ok(p.returncode == 0, "the run ends in good order", f"{p.returncode}\n{err}")
    ok("%3|" not in err, "librdkafka's own lines are in our log's form", err)

    want = [l.rstrip("\n") for l in open(path("want.jsonl"))]
    records = read(address, "alerts")
    got = [(key, value) for _, key, value in records]
    envelopes = [json.loads(v) for _, v in got]
    ok(all(list(e) == ["eventId", "eventTimestamp", "sourceService", "schemaVersion", "payload"] and
           e["eventId"] == e["payload"]["id"] and e["eventTimestamp"] == e["payload"]["timestamp"] for e in envelopes),
       "topic alerts: each value is the envelope, eventId the alert's id")
    ok(all(k == e["payload"]["symbol"] for (k, _), e in zip(got, envelopes)), "… and each key the symbol")
    ok(at_kill[0] < at_kill[1] < at_kill[2] < before["trades"] <= cursors(address)["trades"], "raw trades were under way at each kill",
       (at_kill, before, cursors(address)))
    check_trades(address)
    check_prices(address)
    payload = lambda v: v.split('"payload":', 1)[1][:-1]
    ok(sorted(payload(v) for _, v in got) == sorted(want), f"topic alerts: each of {len(want)} exactly once, as replay writes it",
       f"{len(got)} records, {len({e['eventId'] for e in envelopes})} ids")
    ok(len({(k, q) for q, k, _ in records}) == len({k for _, k, _ in records}), "a symbol has one partition")
    order = {s: [json.loads(t)["seq"] for t in rows] for s, rows in per_symbol((k, payload(v)) for k, v in got).items()}
    ok(len(order) > 1 and all(v == sorted(v) for v in order.values()), "order per symbol is kept")

    bars = [(key, json.loads(value)) for _, key, value in read(address, "bars")]
    times = per_symbol((k, b["payload"]["timestamp"]) for k, b in bars)
    ok(len(bars) == 2254 and len({b["eventId"] for _, b in bars}) == 2254, "topic bars: 2,254 bars, each once, by its eventId", len(bars))
    ok(all(k == b["payload"]["symbol"] and b["eventId"] == f"{k}@{b['payload']['timestamp']}" for k, b in bars), "… with key and eventId")
    ok(all(v == sorted(v) for v in times.values()), "… in order per symbol")
    columns = ("open", "high", "low", "close", "volume", "trades")
    start = lambda t: calendar.timegm(time.strptime(t[:19], "%Y-%m-%dT%H:%M:%S")) * 10**9
    got = sorted((start(b["payload"]["timestamp"]), k, *(float(b["payload"][c]) for c in columns)) for k, b in bars)
    with open(path("want.csv")) as f:
        rows = sorted((int(r["bar_start_ns"]), r["symbol"], *(float(r[c]) for c in columns)) for r in csv.DictReader(f))
    ok(got == rows, "… as replay has them", next(((g, r) for g, r in zip(got, rows) if g != r), ""))
    ok(alerts(path("run.jsonl")) == alerts(path("want.jsonl")), "--alerts is what replay writes")
finally:
    if p:
        p.kill()
    subprocess.run([KAFKA, "kill", path("kafka")], capture_output=True)
done()
