#!/usr/bin/env python3
"""The tape into a real PostgreSQL (and SQLite); the publisher killed twice, the server once: every alert and bar exactly
once. Then the schema: two that start together, down and up, a newer one, and what errors say."""
import glob, sqlite3, threading
from decimal import Decimal
from lib import *

need_data(TAPE)
DOWN = sorted(glob.glob(os.path.join(ROOT, "scripts/migrations/postgres/*.down.sql")))  # a migration each
os.environ["RINGTAPE_BARS_ELIGIBILITY"] = "all"  # the numbers below are of every print
if not glob.glob("/usr/lib/postgresql/*/bin/initdb"):
    print("ok - postgres # SKIP no PostgreSQL server is installed")
    sys.exit(0)
os.chmod(tmp, 0o711)  # the server runs as another user


def server(command, *args):
    p = subprocess.run([os.path.join(ROOT, "scripts/postgres.sh"), command, path("pg"), *args], capture_output=True, text=True)
    if p.returncode:
        print(p.stderr)
    return p.stdout


port = int(server("start").split()[-1])
URL = f"postgresql://ringtape@127.0.0.1:{port}/"


def sql(text, db="ringtape", check=True):
    """The rows of a query, fields by tab; None if the server does not answer."""
    p = subprocess.run(["psql", "-XqAt", "-F", "\t", "-v", "ON_ERROR_STOP=1", URL + db, "-c", text], capture_output=True, text=True)
    if p.returncode and check:
        return None
    return p.stdout.splitlines()


def number(text, db="ringtape"):
    rows = sql(text, db)
    return int(rows[0]) if rows else 0


running = []


def run(directory, db, *more, speed="max", log=None):
    running.append(subprocess.Popen([BIN, "run", "--source", f"csv:{TAPE}", "--rules", file, "--dir", directory, "--until-end",
                             "--speed", speed, "--set", f"sinks.postgres={URL}{db}", *more], stderr=open(path(log), "w") if log else subprocess.PIPE, text=True))
    return running[-1]


ALERT = 'replace(id::text, \'-\', \'\'), rule_id, rule_name, rule_version, symbol, event_ns, price, message, metadata, seq, kind, revision'
BAR = "symbol, (extract(epoch from start) * 1000000000)::bigint, open, high, low, close, volume, vwap, trades, revision"


def ns(text):
    import calendar
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) * 10**9 + int(text[20:29])


def alert_row(a):
    return (a["id"], a["rule_id"], a["rule_name"], a["rule_version"], a["symbol"], ns(a["timestamp"]), a["price"], a["message"],
            json.dumps(a["metadata"], sort_keys=True), a["seq"], a["kind"], a["revision"])


def decimals(text):
    return json.loads(text, parse_float=Decimal)


try:
    file = rules("r.json", *EVERYTHING, {"id": "dark", "mode": "shadow", "trigger": "cross", "cooldown": 5, "expr": "price > vwap(session)"})
    ringtape("replay", f"csv:{TAPE}", "--rules", file, "--alerts", path("want.jsonl"), "--shadows", path("dark.jsonl"), "--bars", path("want.csv"))
    want, dark = (sorted(alert_row(json.loads(l)) for l in open(path(f"{f}.jsonl"))) for f in ("want", "dark"))
    directory = new_dir()
    p = run(directory, "ringtape", "--scanners", "2", "--drain-timeout", "240",
            "--set", f"sinks.sqlite={path('events.db')}", "--alerts", path("run.jsonl"), "--bars", path("run.csv"), speed="800", log="log")
    log = lambda: open(path("log")).read()
    # Behind each kill the market stands still until all works again: the run cannot end before, and what is killed next
    # has had the time to say so.
    for nth, (least, victim) in enumerate(((1500, "publisher"), (5000, "server"), (9000, "publisher"))):
        there = wait_for(lambda: number("SELECT count(*) FROM alert_history") > least, 120)
        pid, ingest = role_pid(p, "publisher"), role_pid(p, "ingest")
        if not ok(there and pid and ingest, f"{least} alerts are there, and the run goes on", log()):
            break
        if victim == "publisher":
            os.kill(pid, signal.SIGKILL)
        else:
            server("kill")
        os.kill(ingest, signal.SIGSTOP)
        if victim == "publisher":
            again = wait_for(lambda: role_pid(p, "publisher") not in (None, pid) and log().count("sink postgres: at offset") == (2 if nth == 0 else 3), 120)
            ok(again, "the publisher was killed in mid-run, its successor's sink has connected", log())
        else:
            down = sql("SELECT 1") is None
            ok(wait_for(lambda: "sink postgres: " in log() and "trying again" in log(), 60), "the server was killed in mid-run: the sink says so", log())
            ok(down and server("start").strip() == str(port), "and started again", open(path("pg/log")).read()[-2000:])
            ok(wait_for(lambda: "sink postgres: works again after" in log(), 120), "the sink has come back", log())
        os.kill(ingest, signal.SIGCONT)
    p.wait(timeout=300 * PATIENCE)
    ok(p.returncode == 0, "the run ends in good order", f"{p.returncode}\n{log()}")

    def as_row(line):
        f = line.split("\t")
        return (f[0], f[1], f[2], int(f[3]), f[4], int(f[5]), float(f[6]) if f[6] else None, f[7],
                json.dumps(json.loads(f[8]), sort_keys=True), int(f[9]), f[10], int(f[11]))
    got = sorted(as_row(l) for l in sql(f"SELECT {ALERT} FROM alert_history"))
    ok(len(got) == len(want) and [g[0] for g in got] == [w[0] for w in want], f"alert_history: each of {len(want)} exactly once", len(got))
    ok(got == want, "… with the same content", [x for x in zip(got, want) if x[0] != x[1]][:3])
    got = sorted(as_row(l) for l in sql(f"SELECT {ALERT} FROM shadow_alerts"))
    ok(len(dark) > 10 and got == dark, f"shadow_alerts: each of {len(dark)} exactly once, the same content", len(got))
    ok(sql("SELECT count(*) FROM alert_history WHERE \"timestamp\" <> to_timestamp(event_ns / 1000000000) + event_ns % 1000000000 / 1000 * interval '1 us'") == ["0"],
       "timestamp is event_ns in microseconds")
    exact = {json.loads(l)["id"]: re for l in open(path("want.jsonl")) for re in [str(decimals(l)["price"])]}
    ok({l.split("\t")[0]: l.split("\t")[1] for l in sql("SELECT replace(id::text, '-', ''), price FROM alert_history")} == exact,
       "prices are the same decimals, digit for digit")

    # What replay writes as CSV: the header tells the columns.
    rows = list(csv.DictReader(open(path("want.csv"))))
    bars = [dict(zip(("symbol", "ns", "open", "high", "low", "close", "volume", "vwap", "trades", "revision"), l.split("\t")))
            for l in sql(f"SELECT {BAR} FROM bars_1m")]
    key = lambda b: (b["symbol"], int(b["ns"]))
    ok(len(bars) == len(rows) == len(set(map(key, bars))) == 2254, "bars_1m: 2,254 bars, each once", len(bars))
    fields = ("open", "high", "low", "close", "volume", "trades")
    have = sorted((b["symbol"], *(Decimal(b[f]) for f in fields)) for b in bars)
    need = sorted((r["symbol"], *(Decimal(r[f if f in r else {"trades": "n"}.get(f, f)]) for f in fields)) for r in rows)
    ok(have == need, "… with the same content", [x for x in zip(have, need) if x[0] != x[1]][:3])
    ok(number("SELECT count(*) FROM bars_1m_latest") == 2254, "bars_1m_latest has each bar")
    ok(sql("SELECT relid FROM pg_partition_tree('alert_history') WHERE isleaf ORDER BY 1::text") ==
       ["alert_history_2013_10", "alert_history_2013_11"], "partitions: the tape's month and the next",
       sql("SELECT relid FROM pg_partition_tree('alert_history')"))
    ok(sql("SELECT count(*), max(version) FROM ringtape_migrations") == [f"{len(DOWN)}\t{len(DOWN)}"], "each migration was applied once")

    db = sqlite3.connect(path("events.db"))
    lite = sorted((*r[:8], json.dumps(json.loads(r[8]), sort_keys=True), *r[9:]) for r in db.execute(
        "SELECT id, rule_id, rule_name, rule_version, symbol, event_ns, price, message, metadata, seq, kind, revision FROM alert_history"))
    ok(lite == want, f"SQLite: each of {len(want)} alerts exactly once, the same content", len(lite))
    ok(db.execute("SELECT count(DISTINCT id), count(*) FROM shadow_alerts").fetchone() == (len(dark), len(dark)), "SQLite: those in shadow too")
    ok(db.execute("SELECT count(*), count(DISTINCT symbol || start) FROM bars_1m").fetchone() == (2254, 2254), "SQLite: 2,254 bars, each once")
    db.close()

    # Two nodes that start together on a database without tables.
    sql("CREATE DATABASE two")
    short = path("short.csv")
    with open(short, "w") as f:
        f.writelines(l for l, _ in zip(zstd_lines(TAPE), range(60000)))
    TAPE = short
    two = [run(new_dir(), "two", "--set", f"node.name=n{i}") for i in range(2)]
    errs = [q.communicate(timeout=60 * PATIENCE)[1] for q in two]
    ok([q.returncode for q in two] == [0, 0], "two publishers start together on an empty database", "\n".join(errs))
    ok(sql("SELECT count(*) FROM ringtape_migrations", "two") == [str(len(DOWN))] and sum(f"applied {len(DOWN)} migration" in e for e in errs) == 1,
       "… and one of them migrates", "\n".join(errs))
    n = number("SELECT count(*) FROM alert_history", "two")
    ok(n > 0 and sql("SELECT count(DISTINCT id) FROM alert_history", "two") == [str(n // 2)] and
       sql("SELECT count(*) FROM bars_1m b JOIN bars_1m c USING (symbol, start) WHERE b.revision <> c.revision", "two") == ["0"] and
       sql("SELECT count(DISTINCT next_offset), count(*) FROM ringtape_cursor", "two") == ["1\t2"],
       "… each has delivered all of its events, bars are there once", n)

    # Down, and up again: the outbox has all events still.
    for version, down in reversed(list(enumerate(DOWN, 1))):
        subprocess.run(["psql", "-Xq1", "-v", "ON_ERROR_STOP=1", URL + "two", "-f", down,
                        "-c", f"DELETE FROM ringtape_migrations WHERE version = {version}"], check=True, capture_output=True)
    ok(sql("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')", "two") == ["ringtape_migrations"],
       "down leaves nothing but ringtape_migrations")
    q = run(new_dir(), "two", "--set", "node.name=n0")
    err = q.communicate(timeout=60 * PATIENCE)[1]
    ok(q.returncode == 0 and number("SELECT count(*) FROM alert_history", "two") == n // 2, "and up again", err)

    # What a failure says. A sink that cannot connect lets the run end with 4.
    def fails(what, db, *texts, sets=()):
        q = run(new_dir(), db, "--drain-timeout", "1", *[a for s in sets for a in ("--set", s)])
        err = q.communicate(timeout=60 * PATIENCE)[1]
        ok(q.returncode == 4 and all(t in err for t in texts), what, f"{q.returncode}\n{err}")

    with open(short, "w") as f:
        f.writelines(l for l, _ in zip(zstd_lines(os.path.join(EQUITY, "tape_20131008_trades.csv.zst")), range(3000)))
    sql("INSERT INTO ringtape_migrations (version, name) VALUES (99, 'later')", "two")
    fails("a database newer than the binary is refused", "two", "migration 99", f"up to {len(DOWN)}", "newer ringtape")
    fails("a database that is missing", "nowhere", 'database "nowhere" does not exist', "CREATE DATABASE")
    sql("CREATE DATABASE quiet")
    sql("ALTER DATABASE quiet SET default_transaction_read_only = on")
    fails("a database that takes no writes", "quiet", "25006", "primary")
    sql("CREATE ROLE guest LOGIN")
    URL = URL.replace("ringtape@", "guest@")
    fails("a user without the right to make tables", "postgres", "42501", "owner")
    URL = URL.replace("guest@", "ringtape@")
    q = subprocess.run([BIN, "run", "--source", f"csv:{short}", "--rules", file, "--dir", new_dir(), "--until-end", "--set",
                        f"sinks.postgres=postgresql://ringtape:hidden@127.0.0.1:{port}/two"], capture_output=True, text=True, timeout=60 * PATIENCE)
    ok(q.returncode != 0 and "postgres.password_file" in q.stderr and "hidden" not in q.stderr, "a URL with a password is refused and not repeated",
       f"{q.returncode}\n{q.stderr}")
finally:
    for q in running:
        q.poll() is None and q.kill()
    server("stop")
done()
