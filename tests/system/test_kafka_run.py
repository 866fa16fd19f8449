#!/usr/bin/env python3
"""The tape into a real Kafka, whose broker is killed once: keys, envelopes, and every alert and bar exactly once."""
import calendar
from lib import *

need_data(TAPE)
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
    p = subprocess.run([CAT, address, topic], capture_output=True, text=True, timeout=60)
    ok(p.returncode == 0, f"topic {topic} can be read", p.stderr)
    return [tuple(line.split("\t")[1:]) for line in p.stdout.splitlines()]


def cursor(address):
    """How many events the sink has confirmed."""
    time.sleep(0.2)
    p = subprocess.run([CAT, address, "ringtape.cursors"], capture_output=True, text=True, timeout=60)
    return int(p.stdout.split()[-1]) if p.returncode == 0 and p.stdout else 0


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
    p = subprocess.Popen([BIN, "run", "--source", f"csv:{TAPE}", "--rules", file, "--dir", new_dir(), "--speed", "2500",
                          "--until-end", "--scanners", "2", "--alerts", path("run.jsonl"), "--bars", path("run.csv"),
                          "--set", f"sinks.kafka={address}", "--set", "kafka.batch=200"], stderr=open(path("err"), "w"))
    wait_for(lambda: cursor(address) > 5000, 60)
    before = cursor(address)
    broker("kill")
    time.sleep(OUTAGE_S)
    alive = p.poll() is None
    broker("start")
    ok(alive and wait_for(lambda: cursor(address) > before, 30), "the broker was killed in mid-run, the sink went on after it")
    p.wait(timeout=120)
    with open(path("err")) as f:
        err = f.read()
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
