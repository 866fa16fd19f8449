#!/usr/bin/env python3
"""ringtape audit: clean runs hold; running and interrupted ones too; whatever is tampered with is named, exit code 3."""
import atexit, concurrent.futures, re, sqlite3, struct
from lib import *

SERVERS = re.compile("/(redis|postgres|kafka)(/|$)")
SOURCE = "sim:symbols=40,seed=5,start=2026-03-02T09:25:00-05:00,minutes=15,rate=100"
RULES = EVERYTHING + [{"id": "dark", "mode": "shadow", "trigger": "cross", "cooldown": 5, "expr": "price > vwap(session)"}]
file = rules("r.json", *RULES)
d, sink, db = new_dir(), path("sink.jsonl"), path("sink.db")
redis = None
if shutil.which("redis-server"):
    atexit.register(lambda: os.path.exists(path("redis")) and subprocess.run([os.path.join(ROOT, "scripts/redis.sh"), "stop", path("redis")], stderr=subprocess.DEVNULL))
    redis = int(subprocess.run([os.path.join(ROOT, "scripts/redis.sh"), "start", path("redis")], capture_output=True, text=True).stdout.split()[-1])


# PostgreSQL and Kafka, where they can be had
def script(name, command, *args):
    return subprocess.run([os.path.join(ROOT, f"scripts/{name}.sh"), command, path(name), *args], capture_output=True, text=True)


def begin(name):
    """The port of a server of one's own; None where there is none."""
    atexit.register(lambda: os.path.exists(path(name)) and script(name, "kill"))
    p = script(name, "start")
    if p.returncode:
        print(f"ok - {name} # SKIP {p.stderr.strip().splitlines()[-1]}")
        return None
    return int(p.stdout.split()[-1])


os.chmod(tmp, 0o711)  # PostgreSQL runs as another user
with concurrent.futures.ThreadPoolExecutor() as both:  # Kafka takes seconds
    pg, kafka = both.map(begin, ("postgres", "kafka"))
PG, KAFKA = f"postgresql://ringtape@127.0.0.1:{pg}/ringtape", f"127.0.0.1:{kafka}"


def options(to, *more):
    o = ["--set", f"sinks.jsonl={to}"] + [w for s in more for w in ("--set", s)]
    return o


def start(directory, speed, *sinks):
    return subprocess.Popen([BIN, "run", "--source", SOURCE, "--rules", file, "--dir", directory, "--speed", speed, "--until-end",
                             "--scanners", "2", *sinks], stderr=open(directory + ".log", "a"), start_new_session=True)


def audit(directory, *more):
    p = ringtape("audit", "--dir", directory, "--json", *more, code=None)
    return p.returncode, json.loads(p.stdout) if p.stdout else {"findings": [], "stages": [], "stderr": p.stderr}


def stage(report, name):
    return next(s for s in report["stages"] if s["stage"] == name)


def clean(what, got, state):
    code, r = got
    balanced = all(s["produced"] == s["delivered"] + sum(s["reasons"].values()) for s in r["stages"])
    return ok(code == 0 and r["holds"] and balanced and r["state"] == state and not r["findings"], what, f"exit {code}: {r}")


def named(what, got, name, *words):
    """The audit fails, and a finding of the stage has all the words."""
    code, r = got
    hit = any(f["stage"] == name and all(w in f["what"] for w in words) for f in r["findings"])
    ok(code == 3 and hit, what, f"exit {code}: {r['findings']} {r.get('stderr')}")


def copy(name, *files):
    """A copy of the instance to spoil, and of the files of its jsonl sink."""
    to = path(name)
    shutil.copytree(d, to, symlinks=True)
    for end in ("", ".cursor"):
        shutil.copy(sink + end, to + ".jsonl" + end)
    return to, options(to + ".jsonl")


def patch(name, at, data):
    with open(name, "r+b") as f:
        f.seek(at)
        f.write(data)


# a whole run, with all the sinks that there are
want = options(sink, f"sinks.sqlite={db}", *([f"sinks.redis=redis://127.0.0.1:{redis}/0"] if redis else []),
               *([f"sinks.postgres={PG}"] if pg else []), *([f"sinks.kafka={KAFKA}"] if kafka else []))
p = start(d, "max", "--set", "journal.segment_mb=1", *want)
ok(p.wait() == 0, "a run", open(d + ".log").read()[-800:])
if not os.path.exists(db):
    want = [w for w in want if "sqlite" not in w and w != "--set"]
    want = [x for w in want for x in ("--set", w)]
code, r = audit(d, *want)
clean("a clean run holds", (code, r), "ended")
replayed = path("replayed.jsonl")
ringtape("replay", f"capture:{d}/capture", "--alerts", replayed, "--shadows", path("shadows.jsonl"))
n, shadows = len(open(replayed).readlines()), open(path("shadows.jsonl")).readlines()
of_shadows = {s["stage"]: s["delivered"] for s in r["stages"] if "shadow" in s["stage"]}
ok(len(shadows) > 10 and set(of_shadows.values()) == {len(shadows)}, f"alerts in shadow too, where they are recorded: {of_shadows}", len(shadows))
ok(set(of_shadows) == {"outbox shadow alerts", *(["sqlite shadow alerts"] if os.path.exists(db) else []), *(["postgres shadow alerts"] if pg else [])},
   "and nowhere else", of_shadows)
ok(n > 100 and all(stage(r, s)["delivered"] == n for s in ("outbox alerts", "jsonl alerts")), f"it says how many: {n} alerts", r)
ok(stage(r, "journal")["delivered"] == r["last_seq"] == sum(r["messages"].values()), "and all messages of the journal by type", r)
text = ringtape("audit", "--dir", d, *want).stdout
ok("DOES NOT" not in text and text.count("holds") == len(r["stages"]), "the table says so too", text)
before = {f: os.stat(os.path.join(w, f)).st_mtime_ns for w, _, fs in os.walk(tmp) if not SERVERS.search(w) for f in fs}
audit(d, *want)
after = {f: os.stat(os.path.join(w, f)).st_mtime_ns for w, _, fs in os.walk(tmp) if not SERVERS.search(w) for f in fs}
ok(before == after, "an audit writes nothing", set(before.items()) ^ set(after.items()))

# running, killed, brought to its end
k = new_dir()
p = start(k, "100", *options(k + ".sink"))
wait_for(lambda: os.path.exists(k + ".sink") and os.path.getsize(k + ".sink") > 2000)
for i in range(3):
    clean(f"a running instance holds ({i + 1})", audit(k, *options(k + ".sink")), "running")
os.killpg(p.pid, signal.SIGKILL)
p.wait()
time.sleep(0.3)
got = audit(k, *options(k + ".sink"))
clean("a killed one too", got, "interrupted")
ok(stage(got[1], "outbox alerts")["produced"] > 0, "and it had begun", got)
k2 = new_dir()
p = start(k2, "100", *options(k2 + ".sink"), "--set", "journal.interval_ms=60000")
wait_for(lambda: os.path.exists(k2 + ".sink") and os.path.getsize(k2 + ".sink") > 2000)
os.killpg(p.pid, signal.SIGKILL)
p.wait()
time.sleep(0.3)
got = audit(k2, *options(k2 + ".sink"))
clean("one whose journal is still in its workspace", got, "interrupted")
ok(stage(got[1], "journal")["reasons"].get("staged", 0) > 0, "under that name", got)
ok(ringtape("backup", k2, k2 + ".b").returncode == 0 and ringtape("restore", k2 + ".b", k2 + ".r").returncode == 0, "it can be copied")
again = audit(k2 + ".r")
clean("and the copy has it in its journal", again, "interrupted")
ok(stage(again[1], "journal")["delivered"] == got[1]["last_seq"] and not stage(again[1], "journal")["reasons"], "all of it", again)
real = os.path.realpath(k2 + "/workspace")
os.rename(real, real + ".gone")
got = audit(k2)
ok(got[0] == 3 and "journal ends before it" in str(got) or got[0] == 2 and "no capture there" in str(got), "without the workspace it does not hold", got)
os.remove(real + ".gone")
ok(start(k, "max", *options(k + ".sink")).wait() == 0, "it goes on", open(k + ".log").read()[-500:])
got = audit(k, *options(k + ".sink"))
clean("and holds at its end", got, "ended")
ok(stage(got[1], "outbox alerts")["delivered"] == n, "with the same alerts", got)

# the outbox
s, o = copy("tail")
segment, committed = os.path.join(s, "outbox", "0" * 20 + ".rto"), os.path.join(s, "outbox", "committed")
batches, at = [], 32 + 1026 * 16
raw = open(segment, "rb").read()
while at < len(raw):
    _, _, size, count, first, _ = struct.unpack_from("<IIIIQQ", raw, at)
    batches.append((at, size, count, first))
    at += 32 + size
at, size, count, first = batches[-1]
os.truncate(segment, at)
named("a cut outbox", audit(s, *o), "outbox alerts", f"event {first}", "0.rto", f"offset {at}")
patch(committed, 8, struct.pack("<Q", first))
got = audit(s, *o)
hit = [f for f in got[1]["findings"] if "missing at the end of the outbox" in f["what"] and "start it again" in f["what"]]
ok(got[0] == 3 and hit, "events dropped from its tail", got)
named("and the sink's cursor is ahead of it", got, "jsonl alerts", "its cursor is at", f"outbox ends at {first}")
s, o = copy("flip")
at, size, count, first = batches[len(batches) // 2]
patch(os.path.join(s, "outbox", "0" * 20 + ".rto"), at + 32 + size // 2, b"\xff")
named("a flipped byte in the outbox", audit(s, *o), "outbox alerts", "damaged", f"offset {at}", "checksum")
s, o = copy("id")
write(os.path.join(s, "outbox", "id"), "0" * 32 + "\n")
named("a cursor of another outbox", audit(s, *o), "jsonl alerts", "its cursor is of outbox")

# the journal
segments = sorted(f for f in os.listdir(os.path.join(d, "capture")) if f.endswith(".rtj"))
ok(len(segments) > 2, "several segments", segments)
s, o = copy("journal-flip")
name = os.path.join(s, "capture", segments[1])
patch(name, os.path.getsize(name) // 2, b"\xff\xfe\xfd")
got = audit(s, *o)
named("a flipped byte in the journal", got, "journal", segments[1], "damaged")
s, o = copy("journal-gone")
os.remove(os.path.join(s, "capture", segments[1]))
named("a segment that is gone", audit(s, *o), "journal", segments[1], "missing")
os.remove(os.path.join(s, "capture", segments[0]))
code, r = audit(s, *o)
ok(code == 1 and stage(r, "journal")["verdict"] == "not checked", "a journal that begins later proves nothing, and says so", r)

# what another engine gives: the same events under another name, and other events
other = [dict(x, name="other") if x["id"] == "day" else dict(x, cooldown=600) if x["id"] == "live" else x for x in RULES]
e = new_dir()
ringtape("run", "--source", SOURCE, "--rules", rules("o.json", *other), "--dir", e, "--speed", "max", "--until-end")
got = audit(d, "--capture", os.path.join(e, "capture"))
named("other JSON", got, "outbox alerts", "differs from what the engine gives", "expected 'other")
named("events that the journal does not give", got, "outbox alerts", "the journal does not give it")
named("events that the outbox lacks", audit(e, "--capture", os.path.join(d, "capture")), "outbox alerts", "missing in the outbox before event", '"rule_id":"live"')

# the file of alerts
lines = open(sink, "rb").readlines()
s, o = copy("again")
open(s + ".jsonl", "ab").write(lines[3])
named("a line that is there twice, at the end", audit(s, *o), "jsonl alerts", f"line {n + 1}", "there already")
s, o = copy("inside")
open(s + ".jsonl", "wb").writelines(lines[:5] + lines[4:])
named("a line that is there twice, inside", audit(s, *o), "jsonl alerts", "line 6 ", "there already")
s, o = copy("gone")
open(s + ".jsonl", "wb").writelines(lines[:7] + lines[8:])
got = audit(s, *o)
named("a line that is gone", got, "jsonl alerts", f"(seq {json.loads(lines[7])['seq']}, {json.loads(lines[7])['symbol']}) is missing")
named("and the file is shorter than its cursor says", got, "jsonl alerts", "it was cut or replaced")
s, o = copy("changed")
open(s + ".jsonl", "wb").writelines(lines[:9] + [lines[9].replace(b'"price":', b'"price":1', 1)[:-3] + lines[9][-2:]] + lines[10:])
named("a line that was changed", audit(s, *o), "jsonl alerts", "line 10 ", "is no event of the outbox")
s, o = copy("swapped")
open(s + ".jsonl", "wb").writelines(lines[:2] + [lines[3], lines[2]] + lines[4:])
named("two lines that were swapped", audit(s, *o), "jsonl alerts", "line 4 ", "which is later")
cursor = open(sink + ".cursor").read()
offset, length = (int(cursor.split(x)[1].split()[0]) for x in ("offset=", "length="))
s, o = copy("back")
open(s + ".jsonl.cursor", "w").write(cursor.replace(f"offset={offset}", f"offset={offset // 2}"))
named("a cursor that was moved back", audit(s, *o), "jsonl alerts", f"the cursor is at {offset // 2}")
open(s + ".jsonl.cursor", "w").write(cursor.replace(f"offset={offset}", f"offset={offset + 5}"))
named("or on", audit(s, *o), "jsonl alerts", f"its cursor is at {offset + 5}")
open(s + ".jsonl.cursor", "w").write(cursor.replace(f"length={length}", f"length={length - 10}"))
named("or into a line", audit(s, *o), "jsonl alerts", f"line {n} ", "cut by the cursor")
open(s + ".jsonl.cursor", "w").write("nonsense")
named("or is none", audit(s, *o), "jsonl alerts", "nonsense")
s, o = copy("letter")
os.mkdir(s + "/dead-letters")
open(s + ".jsonl", "wb").writelines(lines[:-1])
ringtape("audit", "--dir", s, *o, code=3)
missing = next(f["what"] for f in audit(s, *o)[1]["findings"] if "is missing" in f["what"])
number = int(missing.split()[1])
write(s + "/dead-letters/jsonl.jsonl", '{"outbox":"%s","offset":%d,"symbol":"x"}\n' % (cursor.split("outbox=")[1][:32], number))
open(s + ".jsonl.cursor", "w").write(cursor.replace(f"length={length}", f"length={length - len(lines[-1])}"))
got = audit(s, *o)
clean("a dead letter is counted as such", got, "ended")
ok(stage(got[1], "jsonl alerts")["reasons"] == {"dead letter": 1}, "under its name", got)

# SQLite and Redis
if os.path.exists(db):
    con = sqlite3.connect(db)
    con.execute("CREATE TABLE keep AS SELECT * FROM alert_history")
    con.execute("DELETE FROM alert_history WHERE rowid = 5")
    con.execute("INSERT INTO alert_history SELECT * FROM keep WHERE rowid = 8")
    con.execute("UPDATE alert_history SET price = price + 0.01 WHERE rowid = 12")
    con.execute("UPDATE bars_1m SET volume = volume + 1 WHERE symbol = (SELECT max(symbol) FROM bars_1m) AND start = (SELECT max(start) FROM bars_1m)")
    con.execute("DELETE FROM bars_1m WHERE symbol = (SELECT min(symbol) FROM bars_1m)")
    con.commit()
    con.close()
    got = audit(d, "--set", f"sinks.sqlite={db}")
    named("a row that is gone", got, "sqlite alerts", f"(seq {json.loads(lines[4])['seq']}", "is missing")
    named("a row that is there twice", got, "sqlite alerts", "has 2 rows")
    named("a price that was changed", got, "sqlite alerts", f"the row of event", f"(seq {json.loads(lines[11])['seq']}", "price is", "expected")
    named("bars that are gone", got, "sqlite bars", "is missing")
    named("a bar that was changed", got, "sqlite bars", "was changed: volume is", "expected")
else:
    print("ok - SQLite # SKIP the run wrote none")
if redis:
    def cli(*args):
        return subprocess.run(["redis-cli", "-p", str(redis), *map(str, args)], capture_output=True, text=True).stdout.split("\n")[:-1]
    url = ["--set", f"sinks.redis=redis://127.0.0.1:{redis}/0"]
    key = cli("KEYS", "ringtape:cursor:*")[0]
    ids = [x for x in cli("XRANGE", "alerts", "-", "+") if x[0] != "{" and x != "alert"]
    value = cli("GET", key)[0]
    cli("SET", key, value.split()[0] + " 20")
    named("Redis: a cursor that was moved back", audit(d, *url), "redis alerts", "the cursor is at 20")
    cli("SET", key, value)
    cli("XDEL", "alerts", ids[6])
    named("Redis: an entry that is gone", audit(d, *url), "redis alerts", f"(seq {json.loads(lines[6])['seq']}", "is missing")
    cli("XTRIM", "alerts", "MAXLEN", 50)
    got = audit(d, *url, "--set", "redis.alerts_maxlen=50")
    clean("Redis: what the stream no longer keeps is counted", got, "ended")
    ok(stage(got[1], "redis alerts")["reasons"] == {"trimmed": n - 50}, "under its name", got)
    cli("XADD", "alerts", "*", "alert", "{}")
    named("Redis: an entry that is none of ours", audit(d, *url), "redis alerts", "entry", "is no event of the outbox")
    subprocess.run([os.path.join(ROOT, "scripts/redis.sh"), "stop", path("redis")])
    code, r = audit(d, *url)
    ok(code == 1 and stage(r, "redis bars")["verdict"] == "not checked", "a server that is away is no proof, and said", r)
else:
    print("ok - Redis # SKIP no redis-server")

# PostgreSQL
if pg:
    url = ["--set", f"sinks.postgres={PG}"]

    def sql(*texts):
        p = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", PG, *[w for t in texts for w in ("-c", t)]], capture_output=True, text=True)
        if p.returncode:
            ok(False, f"SQL {texts}", p.stderr)
        return p.stdout.splitlines()

    alert = lambda i: f"(seq {json.loads(lines[i])['seq']}, {json.loads(lines[i])['symbol']})"
    of = lambda i: f"id = '{json.loads(lines[i])['id']}'"
    total = stage(audit(d, *url)[1], "postgres bars")["delivered"]
    ok([int(x) for x in sql("SELECT count(*) FROM alert_history", "SELECT count(*) FROM bars_1m")] == [n, total], "PostgreSQL: as many as the tables have")
    cursor = int(sql("SELECT next_offset FROM ringtape_cursor")[0])
    sql("CREATE TABLE keep AS SELECT * FROM alert_history", "CREATE TABLE keep_bars AS SELECT * FROM bars_1m")
    sql(f"DELETE FROM alert_history WHERE {of(4)}", f"INSERT INTO alert_history SELECT * FROM keep WHERE {of(7)}",
        f"UPDATE alert_history SET price = price + 0.00000001 WHERE {of(9)}", f"UPDATE alert_history SET metadata = metadata || '{{\"x\":1}}' WHERE {of(11)}",
        f"UPDATE alert_history SET event_ns = event_ns + 1 WHERE {of(13)}",
        "DELETE FROM bars_1m WHERE (symbol, start) = (SELECT symbol, start FROM bars_1m ORDER BY 1, 2 LIMIT 1)",
        "UPDATE bars_1m SET vwap = vwap * 2 WHERE (symbol, start) = (SELECT symbol, start FROM bars_1m ORDER BY 1 DESC, 2 LIMIT 1)")
    got = audit(d, *url)
    named("PostgreSQL: a row that is gone", got, "postgres alerts", alert(4), "is missing")
    named("PostgreSQL: a row that is there twice", got, "postgres alerts", alert(7), "has 2 rows, expected one")
    named("PostgreSQL: a price that was changed", got, "postgres alerts", alert(9), "was changed: price is", "expected")
    named("PostgreSQL: metadata that was changed", got, "postgres alerts", alert(11), 'was changed: metadata is {"x": 1')
    named("PostgreSQL: a nanosecond", got, "postgres alerts", alert(13), "was changed: event_ns is")
    named("PostgreSQL: a bar that is gone", got, "postgres bars", "is missing")
    named("PostgreSQL: a bar that was changed", got, "postgres bars", "was changed: vwap is")
    s = stage(got[1], "postgres alerts")
    ok((s["produced"], s["delivered"], s["difference"], s["unexpected"], s["findings"]) == (n, n - 1, 1, 1, 5), "PostgreSQL: counted, and nothing else is named", s)
    sql("CREATE TABLE keep_shadows AS SELECT * FROM shadow_alerts")
    sql(f"DELETE FROM shadow_alerts WHERE id = '{json.loads(shadows[2])['id']}'",
        f"UPDATE shadow_alerts SET price = price + 0.00000001 WHERE id = '{json.loads(shadows[4])['id']}'")
    got = audit(d, *url)
    named("PostgreSQL: an alert in shadow that is gone", got, "postgres shadow alerts", f"(seq {json.loads(shadows[2])['seq']}, ", "is missing")
    named("PostgreSQL: one that was changed", got, "postgres shadow alerts", f"(seq {json.loads(shadows[4])['seq']}, ", "was changed: price is")
    sql("TRUNCATE shadow_alerts", "INSERT INTO shadow_alerts SELECT * FROM keep_shadows")
    sql("TRUNCATE alert_history", "INSERT INTO alert_history SELECT * FROM keep", "TRUNCATE bars_1m", "INSERT INTO bars_1m SELECT * FROM keep_bars")
    sql("INSERT INTO alert_history SELECT \"timestamp\", event_ns, gen_random_uuid(), rule_id, rule_name, rule_version, symbol, price, message, metadata, seq, kind, revision FROM keep LIMIT 3")
    clean("PostgreSQL: put right it holds, with rows of others beside it", audit(d, *url), "ended")
    sql("UPDATE ringtape_cursor SET next_offset = 20")
    named("PostgreSQL: a cursor that was moved back", audit(d, *url), "postgres alerts", "has a row, but the cursor is at 20")
    sql(f"UPDATE ringtape_cursor SET next_offset = {cursor + 5}")
    named("PostgreSQL: or beyond the outbox", audit(d, *url), "postgres alerts", f"its cursor is at {cursor + 5}, but the outbox ends at {cursor}")
    sql(f"UPDATE ringtape_cursor SET next_offset = {cursor}, outbox_id = repeat('0', 32)")
    named("PostgreSQL: or of another outbox", audit(d, *url), "postgres alerts", "its cursor is of outbox 0000")
    script("postgres", "stop")
    code, r = audit(d, *url)
    ok(code == 1 and stage(r, "postgres bars")["verdict"] == "not checked" and "refused" in str(r["findings"]), "PostgreSQL: a server that is away is no proof, and said", r)

# Kafka
if kafka:
    url = ["--set", f"sinks.kafka={KAFKA}"]

    def cat(topic):
        return subprocess.run([os.path.join(ROOT, "build/kafka_cat"), KAFKA, topic], capture_output=True, text=True, check=True).stdout.splitlines()

    def put(*rows):
        subprocess.run([os.path.join(ROOT, "build/kafka_put"), KAFKA], input="".join(r + "\n" for r in rows), text=True, check=True)

    records, bars, halts, moved = cat("alerts"), cat("bars"), cat("events"), cat("ringtape.cursors")[-1]
    at = lambda i: "seq %d, %s" % tuple(json.loads(records[i].split("\t")[3])["payload"][f] for f in ("seq", "symbol"))
    cursor = int(moved.split()[-1])
    put(records[5], records[6].replace('"price":', '"price":1', 1), records[7].replace("\t" + records[7].split("\t")[2] + "\t", "\tNOBODY\t"),
        bars[5], bars[6].replace('"open":', '"open":1', 1))
    got = audit(d, *url)
    named("Kafka: a record that is there twice", got, "kafka alerts", "record", "of alerts, partition", at(5), "which is there already")
    named("Kafka: one that was changed", got, "kafka alerts", "is no event of the outbox", json.loads(records[6].split("\t")[3])["payload"]["id"])
    named("Kafka: one with another key", got, "kafka alerts", at(7), "its key is 'NOBODY'")
    named("Kafka: a bar that is there twice", got, "kafka bars", "record", "which is there already")
    named("Kafka: a bar that was changed", got, "kafka bars", "is no event of the outbox", '"open":1')
    s = stage(got[1], "kafka alerts")
    ok((s["produced"], s["delivered"], s["difference"], s["unexpected"]) == (n, n, 0, 3), "Kafka: counted", s)
    put(moved.replace(str(cursor), "20"))
    named("Kafka: a cursor that was moved back", audit(d, *url), "kafka alerts", "but the cursor is at 20")
    put(moved.replace(str(cursor), str(cursor + 5)))
    named("Kafka: or beyond the outbox", audit(d, *url), "kafka alerts", f"its cursor is at {cursor + 5}, but the outbox ends at {cursor}")
    script("kafka", "kill")
    shutil.rmtree(path("kafka"))
    KAFKA = f"127.0.0.1:{begin('kafka')}"
    url = ["--set", f"sinks.kafka={KAFKA}"]
    put(*records[:8], *records[9:], *bars[:3], *bars[4:], *halts, moved)
    got = audit(d, *url)
    named("Kafka: a record that is gone", got, "kafka alerts", f"({at(8)}) is missing; the cursor is at {cursor}")
    named("Kafka: a bar that is gone", got, "kafka bars", "is missing")
    s = stage(got[1], "kafka alerts")
    ok((s["delivered"], s["difference"], s["findings"]) == (n - 1, 1, 1), "Kafka: nothing else is", s)
    put(records[8], bars[3])
    got = audit(d, *url)
    later = [f for f in got[1]["findings"] if "which is later" not in f["what"]]
    ok(got[0] == 3 and got[1]["findings"] and not later, "Kafka: put back behind the others they are out of order, and that is all", got)
    partition = records[8].split("\t")[1]
    subprocess.run([os.path.join(ROOT, "build/kafka_put"), KAFKA, "--delete", "alerts", partition, "3"], check=True)
    got = audit(d, *url)
    ok(stage(got[1], "kafka alerts")["reasons"] == {"trimmed": 3} and stage(got[1], "kafka alerts")["difference"] == 0, "Kafka: what its retention has deleted is counted under its name", got)
    script("kafka", "kill")
    code, r = audit(d, *url)
    ok(code == 1 and stage(r, "kafka bars")["verdict"] == "not checked", "Kafka: a broker that is away is no proof, and said", r)

# usage
ok("no --dir" in ringtape("audit", code=2).stderr, "without --dir")
ok("outbox" in ringtape("audit", "--dir", path("nothing"), code=2).stderr, "a directory that is none")
done()
