#!/usr/bin/env python3
"""PostgreSQL's ways to refuse: TLS and passwords, a new password while the instance runs, a full disk, a server that lost its
last second. Each is said with what to do, and at the end every alert is there once."""
import glob
from redis_server import *

if not glob.glob("/usr/lib/postgresql/*/bin/initdb"):
    print("ok - postgres # SKIP no PostgreSQL server is installed")
    sys.exit(0)
os.chmod(tmp, 0o711)  # the server runs as another user
SCRIPT = os.path.join(ROOT, "scripts/postgres.sh")
SMALL = path("small")  # a disk that is soon full
port, run, mounted = None, None, False


def sql(*texts):
    p = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", f"postgresql://admin@127.0.0.1:{port}/ringtape", *[w for t in texts for w in ("-c", t)]],
                       capture_output=True, text=True)
    if p.returncode:
        ok(False, f"SQL {texts}", p.stderr)
    return p.stdout.splitlines()


def count():
    return int((sql("SELECT CASE WHEN to_regclass('alert_history') IS NULL THEN 0 ELSE 1 END") or ["0"])[0]) and int(sql("SELECT count(*) FROM alert_history")[0])


def grows(n=30):
    now = count()
    return wait_for(lambda: count() >= now + n, 60)


def certificate(name, *args):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-keyout", path(name + ".key"), "-out", path(name + ".crt"), *args], check=True, capture_output=True)


def settings(ca, secret):
    """The settings file: which authority is trusted, which file has the password."""
    write("r.ini", f"[node]\nname = n\n[postgres]\npassword_file = {path(secret)}\nbatch = 100\n"
                   f"[sinks]\npostgres = postgresql://tape@127.0.0.1:{port}/ringtape?sslmode=verify-full&sslrootcert={path(ca)}\n")


def log():
    return open(run.log).read()


def says(before, *words, seconds=60):
    """Whether a line of the log behind `before` has all words."""
    return wait_for(lambda: any(all(w in l for w in words) for l in log()[before:].splitlines()), seconds)


def mount():
    """The small disk; False where we may not mount one."""
    os.mkdir(SMALL)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=700,uid=postgres", "none", SMALL], capture_output=True).returncode:
        return False
    return True


try:
    port = int(subprocess.run([SCRIPT, "start", path("pg")], capture_output=True, text=True).stdout.split()[-1])
    data = path("pg") + "/data"
    subprocess.run(["psql", "-Xq", f"postgresql://ringtape@127.0.0.1:{port}/ringtape", "-c", "CREATE ROLE admin LOGIN SUPERUSER"], check=True)
    sign = ("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:false", "-CA", path("ca.crt"), "-CAkey", path("ca.key"))
    certificate("ca"), certificate("other"), certificate("server", *sign)
    for end in ("key", "crt"):
        shutil.copy(path("server." + end), f"{data}/server.{end}")
        os.chmod(f"{data}/server.{end}", 0o600)
        if os.getuid() == 0:
            shutil.chown(f"{data}/server.{end}", "postgres")
    with open(f"{data}/pg_hba.conf", "w") as f:
        f.write("host all admin 127.0.0.1/32 trust\nhostssl all tape 127.0.0.1/32 scram-sha-256\n")
    sql("ALTER SYSTEM SET ssl = on", "ALTER SYSTEM SET password_encryption = 'scram-sha-256'", "SELECT pg_reload_conf()")
    sql("CREATE ROLE tape LOGIN PASSWORD 'first-secret'", "ALTER DATABASE ringtape OWNER TO tape", "ALTER SCHEMA public OWNER TO tape")
    mounted = os.getuid() == 0 and mount()
    if mounted:
        sql(f"CREATE TABLESPACE small OWNER tape LOCATION '{SMALL}'")
        sql("ALTER ROLE tape SET default_tablespace = small")

    URL = f"postgresql://tape@127.0.0.1:{port}"
    write("secret", "wrong-secret\n")
    settings("ca.crt", "secret")
    run = Run("run", "--config", path("r.ini"), "--drain-timeout", "60", rate=100)
    ok(says(0, "sink postgres: " + URL, "password authentication failed", "correct the file that postgres.password_file names"),
       "a wrong password: server, setting and fix are named", log())
    ok(run.p.poll() is None and count() == 0, "the instance goes on, the server has nothing")
    write("secret", "first-secret\n")
    ok(wait_for(lambda: count() > 30, 60), "the right one in the same file: it delivers, without a signal", log())
    ok(sql("SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'tape'") == ["t"], "over TLS")

    at = len(log())
    settings("other.crt", "secret")
    run.p.send_signal(signal.SIGHUP)
    ok(says(at, "sink postgres: " + URL, "certificate verify failed", "sslrootcert"), "a certificate that nobody vouches for: it is named", log())
    settings("ca.crt", "secret")
    run.p.send_signal(signal.SIGHUP)
    ok(grows(), "SIGHUP with the right authority: it goes on", log())

    at = len(log())
    sql("ALTER ROLE tape PASSWORD 'second-secret'", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tape'")
    ok(says(at, "password authentication failed"), "the password was changed at the server: the sink is down and says why", log())
    stuck = count()
    write("secret2", "second-secret\n")
    settings("ca.crt", "secret2")
    run.p.send_signal(signal.SIGHUP)
    ok(wait_for(lambda: count() > stuck + 30, 60), "SIGHUP with another password file: it goes on", log())

    at = len(log())
    sql("CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'could not extend file' USING ERRCODE = '53100'; END $$",
        "CREATE TRIGGER full_disk BEFORE INSERT ON alert_history FOR EACH ROW EXECUTE FUNCTION full_disk()")
    ok(says(at, "could not extend file (53100)", "the server's disk is full: make room"), "disk full (53100): it says so", log())
    stuck = count()
    ok(says(at, "breaker open"), "and tries one event at a time", log())
    ok(count() == stuck, "the server takes nothing")
    sql("DROP TRIGGER full_disk ON alert_history")
    ok(grows() and says(at, "works again after"), "room again: it goes on by itself", log())
    if mounted:
        at = len(log())
        with open(SMALL + "/filler", "wb", buffering=0) as f:
            try:
                while True:
                    f.write(bytes(4096))
            except OSError:
                pass
        ok(says(at, "No space left on device (53100)", "make room"), "a disk that is full in truth: the same", log())
        os.remove(SMALL + "/filler")
        ok(grows() and says(at, "works again after"), "the same when there is room", log())
    else:
        print("ok - a disk that is full in truth # SKIP no right to mount one")
    ok(not os.path.exists(run.dir + "/dead-letters"), "nothing became a dead letter")

    # As a replica that was promoted without the last transactions of its primary.
    keep = ("BEGIN ISOLATION LEVEL REPEATABLE READ", *(f"CREATE TABLE keep_{t} AS SELECT * FROM {t}" for t in ("alert_history", "bars_1m", "ringtape_cursor")), "COMMIT")
    sql(*keep)
    grows(100)
    at = len(log())
    sql("BEGIN", "SELECT 1 FROM ringtape_cursor FOR UPDATE", "TRUNCATE alert_history", "TRUNCATE bars_1m", "INSERT INTO alert_history SELECT * FROM keep_alert_history",
        "INSERT INTO bars_1m SELECT * FROM keep_bars_1m", "UPDATE ringtape_cursor c SET next_offset = k.next_offset FROM keep_ringtape_cursor k", "COMMIT")
    ok(says(at, "its cursor went back from"), "a server that lacks the last events: the cursor says so, they are delivered again", log())
    ok(grows(), "and it goes on", log())

    want = [json.loads(l)["id"] for l in run.end()]
    got = sql("SELECT replace(id::text, '-', '') FROM alert_history")
    ok(sorted(got) == sorted(want) and len(want) > 300, f"each of {len(want)} alerts is there exactly once", (len(got), len(set(got))))
    shown = ringtape("config", "--config", path("r.ini")).stdout
    ok(path("secret2") in shown, "`ringtape config` shows the file's name", shown)
    ok(not any(w in shown + log() for w in ("first-secret", "second-secret", "wrong-secret")), "and neither it nor the log a password")
    audit = ringtape("audit", "--dir", run.dir, "--config", path("r.ini"), code=None)
    ok(audit.returncode == 0 and "DOES NOT" not in audit.stdout, "the audit connects with the same settings, and holds", audit.stdout + audit.stderr)
finally:
    if run:
        run.kill()
    subprocess.run([SCRIPT, "kill", path("pg")], capture_output=True)
    if mounted:
        subprocess.run(["umount", SMALL])
done()
